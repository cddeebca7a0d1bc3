import { AN_ID, isName, shown } from "../names.js";
import { refuse } from "../options.js";
import type { Raftq } from "../raftq.js";
import type { RaftMessage, RaftNode, RaftNodeId, UnsubscribeFunc } from "../types.js";
import { TabLocks } from "./broadcast/locks.js";
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
    readonly #locks: TabLocks;

    constructor(name: string) {
        if (typeof name !== "string") refuse(`the name is ${shown(name)}; give a text, equal in all tabs`);
        this.#name = name;
        this.#locks = new TabLocks(name);
    }

    /**
     * Carries the messages of a node, which is then started with this id. Resolves to what ends that, once
     * each node that runs has told of itself: with Web Locks it waits for those that are suspended too.
     * Rejects with `BUSY` if another tab or worker has this id.
     */
    async attach(raft: Raftq, id: RaftNodeId): Promise<UnsubscribeFunc> {
        if (!isName(id)) refuse(`the id is ${shown(id)}; ${AN_ID}`);
        const ending = new AbortController();
        await this.#locks.hold(id, ending.signal);
        const attached = new Attached(raft, id, new BroadcastChannel(this.#name), this.#locks, ending);
        // A node that knew of no other would found a cluster of its own.
        await attached.meetAll();
        return () => attached.detach();
    }
}

/** A node on a channel. */
class Attached {
    readonly #raft: Raftq;
    readonly #id: RaftNodeId;
    readonly #channel: BroadcastChannel;
    readonly #locks: TabLocks;
    readonly #ending: AbortController;
    readonly #stopCarrying: UnsubscribeFunc;
    /** The nodes that have told of themselves, and run. */
    readonly #watched = new Set<RaftNodeId>();
    /** What to call when a node tells of itself. */
    readonly #awaited = new Map<RaftNodeId, () => void>();

    constructor(
        raft: Raftq, id: RaftNodeId, channel: BroadcastChannel, locks: TabLocks, ending: AbortController,
    ) {
        this.#raft = raft;
        this.#id = id;
        this.#channel = channel;
        this.#locks = locks;
        this.#ending = ending;
        channel.onmessage = ({ data }: { data: Arrived | null }) => this.#arrived(data ?? {});
        this.#stopCarrying = carry(raft, (event, message) => {
            if (message.from.id !== id) {
                refuse(`the node was attached to a BroadcastTransport as ${id}: start it with this id`);
            }
            this.#post({ event, message });
        });
    }

    /** Tells all of this node, and resolves once each node that runs has told of itself or has ended. */
    async meetAll(): Promise<void> {
        this.#tell("came");
        const running = await this.#locks.running();
        const unmet = running.filter((other) => other !== this.#id && !this.#watched.has(other));
        await Promise.all(unmet.map((other) => this.#met(other)));
    }

    /** Ends it: nothing is carried any more, and the lock is released. */
    detach(): void {
        this.#stopCarrying();
        this.#channel.close();
        this.#ending.abort();
    }

    #post(post: Post): void {
        this.#channel.postMessage(post);
    }

    #tell(event: "came" | "there"): void {
        this.#post({ event, node: { ...this.#raft.getNode(), id: this.#id } });
    }

    #arrived({ event, message, node }: Arrived): void {
        if (isArrival(event)) {
            if (idOf(message?.destination) === this.#id) {
                void this.#raft.dispatch(event, message as RaftMessage);
            }
            return;
        }
        if (event !== "came" && event !== "there") return;
        void this.#raft.dispatch("ackNode", node as RaftNode);
        const id = idOf(node);
        if (id === undefined || id === this.#id) return;
        this.#watch(id, node?.session);
        this.#awaited.get(id)?.();
        if (event === "came") this.#tell("there");
    }

    /** Resolves once a node that runs has told of itself, or has ended. */
    #met(id: RaftNodeId): Promise<void> {
        return new Promise((resolve) => {
            const done = new AbortController();
            const end = () => {
                this.#awaited.delete(id);
                done.abort();
                resolve();
            };
            this.#awaited.set(id, end);
            this.#locks.watch(id, done.signal, end);
        });
    }

    /** Tells the node when the tab or worker of another one has ended. */
    #watch(id: RaftNodeId, session: string | undefined): void {
        if (this.#watched.has(id)) return;
        this.#watched.add(id);
        this.#locks.watch(id, this.#ending.signal, () => {
            this.#watched.delete(id);
            void this.#raft.dispatch("ackNode", { id, time: 0, session });
        });
    }
}
