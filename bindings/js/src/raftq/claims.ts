import type { Clock } from "../clock.js";
import { waitUntil } from "../clock.js";
import { ElectorError } from "../errors.js";
import type { PersistAgent, RaftNodeId } from "./types.js";

/** The use of a state: by a node that runs, or by a write of one that ended. */
interface Use {
    isRunning: boolean;
    /** Resolves once the agent has returned to the node. */
    ended: Promise<void>;
}

/** The states that nodes of this process use. */
const uses = new WeakMap<PersistAgent, Map<RaftNodeId, Use>>();

/** The right of one node to use its state. */
export class Claim {
    readonly #states: Map<RaftNodeId, Use>;
    readonly #id: RaftNodeId;
    readonly #use: Use;

    private constructor(states: Map<RaftNodeId, Use>, id: RaftNodeId) {
        this.#states = states;
        this.#id = id;
        this.#use = { isRunning: true, ended: Promise.resolve() };
        states.set(id, this.#use);
    }

    /**
     * Claims the state of a node, and waits until a write of an ended node has returned: it could otherwise
     * replace what this one writes. Throws `BUSY` if another node uses the state, or that write hangs.
     */
    static async make(agent: PersistAgent, id: RaftNodeId, clock: Clock, limitMs: number): Promise<Claim> {
        const states = uses.get(agent) ?? new Map<RaftNodeId, Use>();
        uses.set(agent, states);
        const untilMs = clock.now() + limitMs;
        for (let use = states.get(id); use; use = states.get(id)) {
            if (use.isRunning) {
                throw new ElectorError("BUSY", `cannot start node ${id}: it runs in this process already`);
            }
            if (clock.now() >= untilMs) {
                const why = "persist() of its previous run has not returned, and could overwrite newer state";
                throw new ElectorError("BUSY", `cannot start node ${id}: ${why}. Start the process again`);
            }
            await waitUntil(use.ended, clock, untilMs);
        }
        return new Claim(states, id);
    }

    /** The node has ended; `ended` resolves once the agent has returned to it. */
    end(ended: Promise<void>): void {
        this.#use.isRunning = false;
        this.#use.ended = ended.then(() => {
            if (this.#states.get(this.#id) === this.#use) this.#states.delete(this.#id);
        });
    }
}
