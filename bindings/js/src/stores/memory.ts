import type { Clock } from "../clock.js";
import { systemClock } from "../clock.js";
import type { Failure, Outcome, Reply } from "../core.js";
import { MemoryTable } from "../core.js";
import { StoreError, oneLine } from "../errors.js";
import type { Answer, Job, Notifier, Store } from "../store.js";
import { failAll } from "../store.js";

/**
 * A store in the memory of this process: for your own tests, and for the electors of one process. Methods
 * make it fail, hang, lose rows or step its clock.
 */
export class MemoryStore implements Store {
    readonly name = "memory";
    readonly #table = new MemoryTable();
    readonly #notifiers = new Set<Notifier>();
    readonly #clock: Clock;
    #offsetUs = 0n;
    #timeline = 1n;
    #failure: Failure | undefined;
    #hanging: Promise<void> | undefined;
    /** The number of executed batches, and of the operations in them. */
    readonly counted = { batches: 0, operations: 0 };

    /** @internal */
    constructor(clock: Clock) {
        this.#clock = clock;
    }

    async execute(jobs: readonly Job[], answer: Answer): Promise<void> {
        await this.#hanging;
        this.counted.batches += 1;
        this.counted.operations += jobs.length;
        const failure = this.#failure;
        const error = failure && new StoreError(failure, `memory: told to fail by failWith("${failure}")`);
        if (error && failure !== "unknown") return failAll(jobs, answer, error);
        const nowUs = this.#nowUs();
        const released: string[] = [];
        for (const job of jobs) {
            const outcome = this.#executed(job, nowUs);
            if (outcome instanceof StoreError) {
                failAll([job], answer, outcome);
                continue;
            }
            if (outcome.outcome === "released") released.push(job.election);
            if (error) failAll([job], answer, error);
            else answer(job, { id: job.request.id, nowUs, timeline: this.#timeline, ...outcome } as Reply);
        }
        for (const election of released) for (const notify of [...this.#notifiers]) notify(election);
    }

    listen(notify: Notifier): Promise<() => void> {
        this.#notifiers.add(notify);
        return Promise.resolve(() => void this.#notifiers.delete(notify));
    }

    async cleanUp(): Promise<void> {
        await this.#hanging;
        this.#table.cleanUp(this.#nowUs());
    }

    #executed({ election, request }: Job, nowUs: bigint): Outcome | StoreError {
        try {
            return this.#table.execute(election, request, nowUs, BigInt(Date.now()) * 1_000n);
        } catch (error) {
            const message = `memory: election ${JSON.stringify(election)}: ${oneLine(error)}`;
            return new StoreError("refused", message, { cause: error });
        }
    }

    #nowUs(): bigint {
        return BigInt(Math.round(this.#clock.now() * 1_000)) + this.#offsetUs;
    }

    // ---- For tests ----

    /**
     * Makes each operation fail in this way, until `failWith(undefined)`. With `unknown` operations are
     * executed, and only their answers are lost.
     */
    failWith(failure: Failure | undefined): void {
        this.#failure = failure;
    }

    /** Makes the store hang: it executes and answers nothing until you call the returned function. */
    hang(): () => void {
        let resume = () => {};
        const hanging = new Promise<void>((resolve) => (resume = resolve));
        this.#hanging = hanging;
        return () => {
            if (this.#hanging === hanging) this.#hanging = undefined;
            resume();
        };
    }

    /** Deletes a row, as an operator could by hand. Returns whether the row existed. */
    deleteRow(election: string): boolean {
        return this.#table.delete(election);
    }

    /** Steps the store's clock by `byMs` milliseconds: forward if positive, else back. */
    stepClock(byMs: number): void {
        this.#offsetUs += BigInt(Math.round(byMs * 1_000));
    }

    /** Changes the store's timeline, as the promotion of a standby does. */
    setTimeline(timeline: bigint): void {
        this.#timeline = timeline;
    }
}

const named = new Map<string, MemoryStore>();

/** The store of this name, shared by the whole process; without a name, a new store. `clock` is for tests. */
export function memoryStore(name?: string, clock: Clock = systemClock): MemoryStore {
    if (name === undefined) return new MemoryStore(clock);
    const store = named.get(name) ?? new MemoryStore(clock);
    named.set(name, store);
    return store;
}
