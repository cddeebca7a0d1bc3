import type { RaftNodeId } from "./types.js";

/** What is known when there is no leader. */
export interface Host {
    readonly now: () => number;
    /** After how long without a leader that is worth a warning, in milliseconds. */
    readonly limitMs: number;
    /** Whether the node has left: it waits for nothing else. */
    readonly isLeft: () => boolean;
    /** The other members. */
    readonly others: () => readonly RaftNodeId[];
    /** Whether a node was heard lately. */
    readonly isHeard: (id: RaftNodeId) => boolean;
    readonly warn: (message: string) => void;
}

/** From one warning to the next. */
const EVERY_MS = 30_000;

/** Warns if there is no leader for long, and names the members that are silent. */
export class Leaderless {
    readonly #host: Host;
    #sinceMs: number;
    /** When the next warning is due. */
    #dueMs = 0;

    constructor(host: Host) {
        this.#host = host;
        this.#sinceMs = host.now();
    }

    /** The leader has changed. */
    changed(hasLeader: boolean): void {
        this.#sinceMs = hasLeader ? Infinity : this.#host.now();
    }

    /** Warns if it is time to. */
    check(): void {
        if (this.#sinceMs === Infinity) return;
        const { limitMs, isLeft, others, isHeard, warn } = this.#host;
        const now = this.#host.now();
        if (now < Math.max(this.#sinceMs + limitMs, this.#dueMs) || isLeft()) return;
        this.#dueMs = now + EVERY_MS;
        const silent = others().filter((id) => !isHeard(id));
        const named = silent.length > 0 ? ` These members are silent: ${silent.join(", ")}.` : "";
        const seconds = Math.round((now - this.#sinceMs) / 1_000);
        warn(
            `there has been no leader for ${seconds} s.${named} A majority of the members must run, ` +
                "reach each other and, if they were started with `members`, have the same list",
        );
    }
}
