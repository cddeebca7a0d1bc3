import type { Clock } from "../clock.js";
import { systemClock } from "../clock.js";
import type { Failure, Reply, Request, Row } from "../core.js";
import { limits } from "../core.js";
import { StoreError } from "../errors.js";
import type { Answer, Bell, Job, Store } from "../store.js";
import { failAll } from "../store.js";

const { cleanUpAtOnce, deadForMs } = limits();

interface Stored {
    holder: string;
    token: bigint;
    expiresUs: bigint;
    leaseMs: number;
    meta: string | undefined;
}

/**
 * Leases in this process's memory: for tests of your own, and for the electors of one process. It can fail,
 * hang, lose rows and step its clock when it is told to.
 */
export class MemoryStore implements Store {
    readonly name = "memory";
    readonly #rows = new Map<string, Stored>();
    /** The largest token of the rows that were cleaned up: the next of such an election must be larger. */
    #floor = 0n;
    readonly #bells = new Set<Bell>();
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
            const outcome = this.#do(job.election, job.request, nowUs);
            if (outcome.outcome === "released") released.push(job.election);
            if (error) failAll([job], answer, error);
            else answer(job, { id: job.request.id, nowUs, timeline: this.#timeline, ...outcome } as Reply);
        }
        for (const election of released) for (const bell of [...this.#bells]) bell(election);
    }

    listen(bell: Bell): Promise<() => void> {
        this.#bells.add(bell);
        return Promise.resolve(() => void this.#bells.delete(bell));
    }

    async cleanUp(): Promise<void> {
        await this.#hanging;
        const deadSinceUs = this.#nowUs() - BigInt(deadForMs) * 1_000n;
        let left = cleanUpAtOnce;
        for (const [election, { token, expiresUs }] of this.#rows) {
            if (expiresUs > deadSinceUs) continue;
            this.#floor = token > this.#floor ? token : this.#floor;
            this.#rows.delete(election);
            left -= 1;
            if (left === 0) return;
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
        return this.#rows.delete(election);
    }

    /** Steps the store's clock, forward if positive. */
    stepClock(byMs: number): void {
        this.#offsetUs += BigInt(Math.round(byMs * 1_000));
    }

    /** Puts the store on another timeline, as the promotion of a standby does. */
    setTimeline(timeline: bigint): void {
        this.#timeline = timeline;
    }

    // ---- Operations ----

    #do(election: string, request: Request, nowUs: bigint) {
        const stored = this.#rows.get(election);
        const endsUs = (leaseMs: number) => nowUs + BigInt(leaseMs) * 1_000n;
        if (request.op === "look") return { outcome: "seen", row: shown(stored, nowUs) };
        if (request.op === "acquire") {
            if (!mayTake(stored, request, nowUs)) return { outcome: "seen", row: shown(stored, nowUs) };
            const unixUs = BigInt(Date.now()) * 1_000n;
            const next = (stored?.token ?? this.#floor) + 1n;
            const { holder, leaseMs, meta } = request;
            const token = next > unixUs ? next : unixUs;
            this.#rows.set(election, { holder, token, expiresUs: endsUs(leaseMs), leaseMs, meta });
            return { outcome: "granted", token };
        }
        const own = stored?.holder === request.holder && stored.token === request.token ? stored : undefined;
        if (request.op === "release") {
            if (own) Object.assign(own, { holder: "", meta: undefined, expiresUs: nowUs });
            return { outcome: "released" };
        }
        if (!own || own.expiresUs <= nowUs) return { outcome: "lost" };
        Object.assign(own, { expiresUs: endsUs(request.leaseMs), leaseMs: request.leaseMs });
        return { outcome: "renewed" };
    }
}

function shown(stored: Stored | undefined, nowUs: bigint): Row | undefined {
    if (!stored) return undefined;
    const { holder, token, expiresUs, leaseMs, meta } = stored;
    const remainingUs = expiresUs > nowUs ? expiresUs - nowUs : 0n;
    return { holder, token, expiresUs, remainingUs, leaseMs, meta };
}

function mayTake(
    stored: Stored | undefined,
    request: Extract<Request, { op: "acquire" }>,
    nowUs: bigint,
): boolean {
    if (stored && stored.expiresUs > nowUs) return false;
    if (request.condition === "any") return true;
    if (request.condition === "absent") return !stored;
    return stored?.token === request.rowToken && stored?.expiresUs === request.rowExpiresUs;
}

const named = new Map<string, MemoryStore>();

/** The store of this name, one for all of a process; without a name a new one. `clock` is for tests. */
export function memoryStore(name?: string, clock: Clock = systemClock): MemoryStore {
    if (name === undefined) return new MemoryStore(clock);
    const store = named.get(name) ?? new MemoryStore(clock);
    named.set(name, store);
    return store;
}
