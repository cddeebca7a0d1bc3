import { oneLine } from "./errors.js";

/** A fault that lasts is reported again at this interval. */
const REPEAT_MS = 5 * 60_000;

interface Fault {
    readonly since: number;
    reportedAt: number;
    /** The candidates with a request that failed this way and none answered since. */
    readonly candidates: Set<object>;
}

/**
 * Reports why a store does not answer: once when a fault begins, again every five minutes while it lasts, and
 * once when it has ended; not for each candidate, nor for each attempt.
 */
export class Faults {
    readonly #faults = new Map<string, Fault>();

    constructor(private readonly store: string, private readonly report: (message: string) => void) {}

    /** A request of this candidate failed. */
    failed(candidate: object, error: Error, now: number): void {
        const { message, cause } = error;
        // The same fault fails all kinds of requests, and numbers in its message may differ each time.
        const kind = (cause === undefined ? message : oneLine(cause)).replace(/\d+/g, "0");
        const known = this.#faults.get(kind);
        const fault = known ?? { since: now, reportedAt: now, candidates: new Set() };
        this.#faults.set(kind, fault);
        fault.candidates.add(candidate);
        if (!known) return this.report(message);
        if (now - fault.reportedAt < REPEAT_MS) return;
        fault.reportedAt = now;
        this.report(`${message} (for ${seconds(now - fault.since)} so far)`);
    }

    /** A request of this candidate was answered. */
    answered(candidate: object, now: number): void {
        let since = Infinity;
        for (const fault of this.#without(candidate)) since = Math.min(since, fault.since);
        if (since < now) this.report(`${this.store}: the store answers again, after ${seconds(now - since)}`);
    }

    /** This candidate sends no requests any more. */
    removed(candidate: object): void {
        this.#without(candidate);
    }

    /** Removes a candidate from all faults, and returns the faults that have no candidate left. */
    #without(candidate: object): Fault[] {
        const over: Fault[] = [];
        for (const [kind, fault] of this.#faults) {
            if (!fault.candidates.delete(candidate) || fault.candidates.size > 0) continue;
            this.#faults.delete(kind);
            over.push(fault);
        }
        return over;
    }
}

function seconds(ms: number): string {
    return `${Math.max(1, Math.round(ms / 1_000))} s`;
}
