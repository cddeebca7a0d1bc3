import type { MachineEvent } from "./core.js";

/**
 * An event of one elector: what happened, when (by this machine's wall clock), in which election and for
 * which candidate.
 */
export type Change = MachineEvent & {
    readonly at: Date;
    readonly election: string;
    readonly candidate: string;
};

type Waiter = (result: IteratorResult<Change, undefined>) => void;

/** The events of one elector since `changes()` was called, in order. */
export class Changes implements AsyncIterableIterator<Change> {
    #unread: Change[] = [];
    #waiters: Waiter[] = [];
    #closed = false;
    readonly #onReturn: (changes: Changes) => void;

    /** @internal */
    constructor(onReturn: (changes: Changes) => void) {
        this.#onReturn = onReturn;
    }

    /** @internal */
    push(change: Change): void {
        const waiter = this.#waiters.shift();
        if (waiter) return waiter({ value: change, done: false });
        // A long term renews without end, so of several unread renewals in a row only the last is kept.
        if (change.event === "renewed" && this.#unread.at(-1)?.event === "renewed") this.#unread.pop();
        this.#unread.push(change);
    }

    /** @internal */
    close(): void {
        this.#closed = true;
        for (const waiter of this.#waiters.splice(0)) waiter({ value: undefined, done: true });
    }

    next(): Promise<IteratorResult<Change, undefined>> {
        const change = this.#unread.shift();
        if (change) return Promise.resolve({ value: change, done: false });
        if (this.#closed) return Promise.resolve({ value: undefined, done: true });
        return new Promise((resolve) => this.#waiters.push(resolve));
    }

    return(): Promise<IteratorResult<Change, undefined>> {
        this.#unread = [];
        this.close();
        this.#onReturn(this);
        return Promise.resolve({ value: undefined, done: true });
    }

    [Symbol.asyncIterator](): this {
        return this;
    }
}
