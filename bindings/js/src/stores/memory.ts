import type { Clock } from "../clock.js";
import { systemClock } from "../clock.js";
import type { Failure, Outcome, Reply } from "../core.js";
import { MemoryTable } from "../core.js";
import { StoreError, oneLine } from "../errors.js";
import type { Answer, Job, Notifier, Store } from "../store.js";
import { failAll } from "../store.js";

/**
 * Leases in this process's memory: for tests of your own, and for the electors of one process. It can fail,
 * hang, lose rows and step its clock when it is told to.
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
    /** How many batches were executed, and how many operations were in them. */
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
        const error = failure && new StoreError(failure, `memory: told to fail (${failure})`);
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

    // ---- What a test may do to it ----

    /** From now on every operation fails so. With `unknown` it is executed, and only its answer is lost. */
    failWith(failure: Failure | undefined): void {
        this.#failure = failure;
    }

    /** From now on nothing is executed or answered until the returned function is called. */
    hang(): () => void {
        let goOn = () => {};
        const hanging = new Promise<void>((resolve) => (goOn = resolve));
        this.#hanging = hanging;
        return () => {
            if (this.#hanging === hanging) this.#hanging = undefined;
            goOn();
        };
    }

    /** Deletes a row as if by hand; says whether there was one. */
    deleteRow(election: string): boolean {
        return this.#table.delete(election);
    }

    /** Steps the store's clock, forward if positive. */
    stepClock(byMs: number): void {
        this.#offsetUs += BigInt(Math.round(byMs * 1_000));
    }

    /** Puts the store on another timeline, as the promotion of a standby does. */
    setTimeline(timeline: bigint): void {
        this.#timeline = timeline;
    }
}

const named = new Map<string, MemoryStore>();

/** The store of this name, one for all of a process; without a name a new one. `clock` is for tests. */
export function memoryStore(name?: string, clock: Clock = systemClock): MemoryStore {
    if (name === undefined) return new MemoryStore(clock);
    const store = named.get(name) ?? new MemoryStore(clock);
    named.set(name, store);
    return store;
}
