import type { MachineEvent } from "./core.js";

/** One event of one elector: what happened, when by this machine's wall clock, and to whom. */
export type Change = MachineEvent & {
    readonly at: Date;
    readonly election: string;
    readonly candidate: string;
};

type Waiter = (result: IteratorResult<Change, undefined>) => void;

/** Everything that happens from the moment on at which this was made, in order. */
export class Changes implements AsyncIterableIterator<Change> {
    #unread: Change[] = [];
    #waiters: Waiter[] = [];
    #closed = false;
    readonly #left: (changes: Changes) => void;

    /** @internal */
    constructor(left: (changes: Changes) => void) {
        this.#left = left;
    }

    /** @internal */
    push(change: Change): void {
        const waiter = this.#waiters.shift();
        if (waiter) return waiter({ value: change, done: false });
        // Renewals come for as long as a term lasts, and one tells as much as many.
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
        this.#left(this);
        return Promise.resolve({ value: undefined, done: true });
    }

    [Symbol.asyncIterator](): this {
        return this;
    }
}
