import type { Raftq } from "../raftq.js";
import type { RaftMessage, UnsubscribeFunc } from "../types.js";
import type { Arrival } from "./carry.js";
import { carry } from "./carry.js";

/**
 * Joins nodes of one process, for tests. A message arrives in a later microtask, and none is lost.
 *
 * ```js
 * const network = new MemoryTransport();
 * for (const raft of [a, b, c]) network.attach(raft);
 * ```
 */
export class MemoryTransport {
    readonly #nodes = new Set<Raftq>();

    /** Carries the messages of a node. Returns what ends that. */
    attach(raft: Raftq): UnsubscribeFunc {
        this.#nodes.add(raft);
        const end = carry(raft, (arrival, message) => {
            queueMicrotask(() => this.#deliver(raft, arrival, message));
        });
        return () => {
            this.#nodes.delete(raft);
            end();
        };
    }

    #deliver(from: Raftq, arrival: Arrival, message: RaftMessage): void {
        if (!this.#nodes.has(from)) return;
        for (const raft of this.#nodes) {
            if (raft.getNode().id === message.destination.id) void raft.dispatch(arrival, message);
        }
    }
}
