import { ElectorError } from "../../errors.js";
import { AN_ID, isName, shown } from "../names.js";
import { refuse } from "../options.js";
import type { Raftq } from "../raftq.js";
import type { RaftMessage, RaftNode, RaftNodeId, UnsubscribeFunc } from "../types.js";
import type { Arrival } from "./carry.js";
import { carry, idOf, isArrival } from "./carry.js";

/** What is posted: a message for one node; or to all, that a node came, or that a node was there before. */
type Post =
    | { readonly event: Arrival; readonly message: RaftMessage }
    | { readonly event: "came" | "there"; readonly node: RaftNode };

/** What arrives. Other code of this origin may post anything. */
type Arrived = {
    readonly event?: unknown;
    readonly message?: Partial<RaftMessage> | null;
    readonly node?: Partial<RaftNode> | null;
};

/** How long a lock is waited for: nodes that watch it take it for a moment when it is released. */
const LOCK_MS = 5_000;

/**
 * Joins the tabs and workers of one origin, over a `BroadcastChannel` of this name. They find each other. If
 * a tab or worker ends in any way, the others learn that from its Web Lock, where the browser has these, and
 * the leader removes its node.
 *
 * ```js
 * const id = crypto.randomUUID();
 * await new BroadcastTransport("my-application").attach(raft, id);
 * await raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
 * ```
 */
export class BroadcastTransport {
    readonly #name: string;

    constructor(name: string) {
        if (typeof name !== "string") refuse(`the name is ${shown(name)}; give a text, equal in all tabs`);
        this.#name = name;
    }

    /**
     * Carries the messages of a node, which is then started with this id. Resolves to what ends that, once
     * each node that runs has told of itself: with Web Locks it waits for those that are suspended too.
     * Rejects with `BUSY` if another tab or worker has this id.
     */
    async attach(raft: Raftq, id: RaftNodeId): Promise<UnsubscribeFunc> {
        if (!isName(id)) refuse(`the id is ${shown(id)}; ${AN_ID}`);
        const ending = new AbortController();
        await this.#hold(id, ending.signal);
        const channel = new BroadcastChannel(this.#name);
        const post = (posted: Post) => channel.postMessage(posted);
        const node = () => ({ ...raft.getNode(), id });
        const watched = new Set<RaftNodeId>();
        const awaited = new Map<RaftNodeId, () => void>();
        channel.onmessage = ({ data }: { data: Arrived | null }) => {
            const { event, message, node: other } = data ?? {};
            if (isArrival(event)) {
                if (idOf(message?.destination) === id) void raft.dispatch(event, message as RaftMessage);
                return;
            }
            if (event !== "came" && event !== "there") return;
            void raft.dispatch("ackNode", other as RaftNode);
            const otherId = idOf(other);
            if (otherId === undefined || otherId === id) return;
            this.#watch(raft, { id: otherId, session: other?.session }, watched, ending.signal);
            awaited.get(otherId)?.();
            if (event === "came") post({ event: "there", node: node() });
        };
        const stopCarrying = carry(raft, (event, message) => {
            if (message.from.id !== id) {
                refuse(`the node was attached to a BroadcastTransport as ${id}: start it with this id`);
            }
            post({ event, message });
        });
        post({ event: "came", node: node() });
        // A node that knew of no other would found a cluster of its own.
        const unmet = (await this.#running()).filter((other) => other !== id && !watched.has(other));
        await Promise.all(unmet.map((other) => this.#met(other, awaited)));
        return () => {
            stopCarrying();
            channel.close();
            ending.abort();
        };
    }

    /** Holds a lock until this tab or worker ends or the signal is aborted. */
    #hold(id: RaftNodeId, signal: AbortSignal): Promise<void> {
        return new Promise((resolve, reject) => {
            const manager = locks();
            if (!manager) return resolve();
            const granted = () => {
                resolve();
                return new Promise<void>((release) => signal.addEventListener("abort", () => release()));
            };
            const held = manager.request(this.#lockOf(id), { signal: AbortSignal.timeout(LOCK_MS) }, granted);
            const busy = `another tab or worker has the node ${id}: give each an id of its own`;
            held.catch((cause: unknown) => {
                const isBusy = (cause as { name?: unknown } | null)?.name === "TimeoutError";
                // Some documents may not use the API, as those in a sandbox.
                if (isBusy) reject(new ElectorError("BUSY", busy, { cause }));
                else resolve();
            });
        });
    }

    /** The ids of the nodes that run, as their locks tell. */
    async #running(): Promise<RaftNodeId[]> {
        const { held = [] } = await locks()?.query().catch(() => undefined) ?? {};
        const prefix = this.#lockOf("");
        const names = held.filter(({ mode }) => mode === "exclusive").map(({ name = "" }) => name);
        return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    }

    /** Resolves once a node that runs has told of itself, or has ended. */
    #met(id: RaftNodeId, awaited: Map<RaftNodeId, () => void>): Promise<void> {
        return new Promise((resolve) => {
            const done = new AbortController();
            const end = () => {
                awaited.delete(id);
                done.abort();
                resolve();
            };
            awaited.set(id, end);
            const options = { mode: "shared", signal: done.signal } as const;
            locks()?.request(this.#lockOf(id), options, end).catch(() => undefined);
        });
    }

    /** Tells a node when the tab or worker of another one has ended: that releases its lock. */
    #watch(
        raft: Raftq,
        { id, session }: Pick<RaftNode, "id" | "session">,
        watched: Set<RaftNodeId>,
        signal: AbortSignal,
    ): void {
        const manager = locks();
        if (!manager || watched.has(id)) return;
        watched.add(id);
        const gone = () => {
            watched.delete(id);
            void raft.dispatch("ackNode", { id, time: 0, session });
        };
        // Shared: another one that watches and is suspended must not be waited for. Rejects if it is aborted.
        manager.request(this.#lockOf(id), { mode: "shared", signal }, gone).catch(() => undefined);
    }

    #lockOf(id: RaftNodeId): string {
        return `${JSON.stringify(["elector-wasm/raftq", this.#name])} ${id}`;
    }
}

/** The Web Locks API, which browsers have in secure contexts only. */
function locks(): LockManager | undefined {
    return (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
}
