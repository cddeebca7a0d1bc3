import type { Clock } from "../clock.js";
import { hold } from "../clock.js";
import { ElectorError, oneLine } from "../errors.js";
import { isThenable } from "./bus.js";
import { fromBase64, toBase64 } from "./envelope.js";
import { Throttle } from "./throttle.js";
import type { LogMessage, PersistAgent, PersistedState, RaftNode } from "./types.js";

/** What a writer needs of its node. */
export interface Host {
    readonly node: RaftNode;
    readonly clock: Clock;
    /** How long a write may take, in milliseconds. */
    readonly limitMs: number;
    /** A write has ended. */
    readonly ended: (ticket: number, isDurable: boolean) => void;
    /** The agent has returned from a write that nothing waits for any more. */
    readonly idle: () => void;
    readonly log: (level: LogMessage["level"], message: string) => void;
}

interface Write {
    readonly ticket: number;
    readonly data: PersistedState;
    /** Ends the wait for it. */
    readonly timer: unknown;
}

/**
 * Gives an agent one state after the other. A state is given to it only when it has returned from the one
 * before: an agent that hangs must not write an older state over a newer one later.
 */
export class Writer {
    readonly #agent: PersistAgent;
    readonly #host: Host;
    /** The agent has not returned yet. */
    #isBusy = false;
    /** The write that the machine waits for. */
    #awaited: Write | undefined;
    #isClosed = false;
    #isFaulty = false;
    readonly #faults: Throttle;
    /** Resolves once it is closed and the agent has returned. */
    readonly ended: Promise<void>;
    #ended!: () => void;

    constructor(agent: PersistAgent, host: Host) {
        this.#agent = agent;
        this.#host = host;
        this.#faults = new Throttle(() => host.clock.now(), (message) => host.log("error", message));
        this.ended = new Promise((resolve) => (this.#ended = resolve));
    }

    /** Writes this state once the agent is free. The machine waits for one write at a time. */
    write(ticket: number, bytes: Uint8Array): void {
        const data: PersistedState = { raftq: 1, id: this.#host.node.id, state: toBase64(bytes) };
        const timer = this.#host.clock.setTimeout(() => this.#late(ticket), this.#host.limitMs);
        hold(timer, "alive");
        this.#awaited = { ticket, data, timer };
        if (!this.#isBusy) this.#begin(this.#awaited);
    }

    /** Whether the newest state is durable, and the agent has returned. */
    get hasKeptAll(): boolean {
        return !this.#isBusy && !this.#awaited && !this.#isFaulty;
    }

    /** Reports no write any more. */
    close(): void {
        this.#isClosed = true;
        if (!this.#isBusy) this.#ended();
        if (this.#awaited) this.#host.clock.clearTimeout(this.#awaited.timer);
        this.#awaited = undefined;
    }

    #begin(write: Write): void {
        this.#isBusy = true;
        let done: Promise<unknown> | undefined;
        try {
            const result: unknown = this.#agent.persist({ ...this.#host.node }, write.data);
            if (isThenable(result)) done = Promise.resolve(result);
        } catch (error) {
            return this.#returned(write, { error });
        }
        if (!done) return this.#returned(write);
        done.then(() => this.#returned(write), (error: unknown) => {
            this.#returned(write, { error });
        });
    }

    #returned(write: Write, failure?: { readonly error: unknown }): void {
        this.#isBusy = false;
        if (this.#isClosed) return this.#ended();
        if (failure) {
            const what = "persist() failed, so this node neither votes nor leads until it succeeds: ";
            this.#report(what + oneLine(failure.error));
        }
        const awaited = this.#awaited;
        if (awaited === write) {
            if (!failure) this.#succeeded();
            this.#forget(write);
            this.#host.ended(write.ticket, !failure);
        } else if (awaited) {
            this.#begin(awaited);
        } else {
            this.#host.idle();
        }
    }

    #late(ticket: number): void {
        const awaited = this.#awaited;
        if (awaited?.ticket !== ticket) return;
        this.#report(
            `persist() has not returned for ${this.#host.limitMs} ms, so this node neither votes nor leads ` +
                "until a later call succeeds",
        );
        this.#forget(awaited);
        this.#host.ended(ticket, false);
    }

    #succeeded(): void {
        if (this.#isFaulty) this.#host.log("info", "persist() succeeded again");
        this.#isFaulty = false;
    }

    #report(what: string): void {
        this.#isFaulty = true;
        this.#faults.say(what);
    }

    #forget(write: Write): void {
        this.#host.clock.clearTimeout(write.timer);
        this.#awaited = undefined;
    }
}

/** The machine's state in what an agent restored; `undefined` at a first start. */
export function restored(id: string, data: unknown): Uint8Array | undefined {
    if (data === undefined) return undefined;
    try {
        const { raftq, state } = (data ?? {}) as Partial<PersistedState>;
        if (raftq === 1 && typeof state === "string") return fromBase64(state);
    } catch {
        // Refused below.
    }
    throw refusedState(id, `what restore() returned is not what persist() was given. ${LOST}`);
}

/** What to do about a state that is damaged. */
export const LOST = "restore() must return what persist() kept last for this node. If that is lost, remove " +
    "it: the node then joins as a new member. Do that only while a majority of the other members run";

/** The error for a state that cannot be used. */
export function refusedState(id: string, why: string): ElectorError {
    return new ElectorError("INVALID_STATE", `cannot start node ${id}: ${why}`);
}
