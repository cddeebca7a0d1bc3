import type { RaftMessage, RaftMessageKind, RaftNodeId } from "../../types.js";
import { idOf } from "../carry.js";
import type { Post } from "./post.js";

/** The kinds of messages that are answered, each with the kind of its answer. */
const ANSWERS: ReadonlyMap<unknown, RaftMessageKind> = new Map<RaftMessageKind, RaftMessageKind>([
    ["pre_vote", "pre_vote_answer"], ["vote", "vote_answer"], ["append", "append_answer"], ["seek", "here"],
    ["propose", "propose_answer"],
]);

/** The longest time for which a message is worth delivering, in milliseconds: the bound of its `timeout`. */
const LONGEST_MS = 60_000;
/** The share of that time for which a request waits: its client must not give up on it before. */
const SHARE = 0.5;
/** The most requests that wait: more than the kinds of answers of all members. */
const MOST_WAITING = 512;

/**
 * The requests that wait for the answer to their message. An answer that comes in the response saves a
 * request of its own.
 */
export class Answers {
    /** By sender, receiver and kind of the answer. */
    readonly #waiting = new Map<string, (answer?: Post) => void>();

    /**
     * The answer to a message from the network, once its node gives it. `undefined` if none is to come, if it
     * does not come in time, or if a newer request waits for it.
     */
    to({ kind, from, destination, timeout }: Partial<RaftMessage>): Promise<Post | undefined> | undefined {
        const answering = ANSWERS.get(kind);
        const [to, by] = [idOf(from), idOf(destination)];
        if (answering === undefined || to === undefined || by === undefined) return undefined;
        if (typeof timeout !== "number" || !(timeout > 0 && timeout <= LONGEST_MS)) return undefined;
        const key = keyOf(by, to, answering);
        this.#waiting.get(key)?.();
        return new Promise((resolve) => {
            const end = (post?: Post) => {
                clearTimeout(timer);
                if (this.#waiting.get(key) === end) this.#waiting.delete(key);
                resolve(post);
            };
            const timer = setTimeout(end, SHARE * timeout);
            // A process that ends does not wait for it.
            (timer as { unref?(): void }).unref?.();
            this.#waiting.set(key, end);
            const [oldest] = this.#waiting.values();
            if (this.#waiting.size > MOST_WAITING) oldest?.();
        });
    }

    /** Gives a message to the request that waits for it. Returns whether there is one. */
    give(post: Post): boolean {
        const { from, destination, kind } = post.message;
        const answer = this.#waiting.get(keyOf(from.id, destination.id, kind));
        answer?.(post);
        return answer !== undefined;
    }
}

function keyOf(from: RaftNodeId, to: RaftNodeId, kind: string): string {
    return JSON.stringify([from, to, kind]);
}
