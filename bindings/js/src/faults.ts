import { oneLine } from "./errors.js";

/** What lasts is said again about so often. */
const AGAIN_MS = 5 * 60_000;

interface Fault {
    readonly since: number;
    saidAt: number;
    /** Seats with a request that failed this way, and none answered since. */
    readonly of: Set<object>;
}

/**
 * What keeps a store from answering, for people: each fault is said once when it begins, once in a while as
 * long as it lasts, and once when it is over; not for each candidate, nor for each attempt.
 */
export class Faults {
    readonly #faults = new Map<string, Fault>();

    constructor(private readonly store: string, private readonly say: (message: string) => void) {}

    /** A request of this seat failed. */
    failed(seat: object, error: Error, now: number): void {
        const { message, cause } = error;
        // One fault meets all kinds of requests, and its numbers may be others each time.
        const kind = (cause === undefined ? message : oneLine(cause)).replace(/\d+/g, "0");
        const known = this.#faults.get(kind);
        const fault = known ?? { since: now, saidAt: now, of: new Set() };
        this.#faults.set(kind, fault);
        fault.of.add(seat);
        if (!known) return this.say(message);
        if (now - fault.saidAt < AGAIN_MS) return;
        fault.saidAt = now;
        this.say(`${message}; for ${seconds(now - fault.since)} now`);
    }

    /** A request of this seat was answered. */
    answered(seat: object, now: number): void {
        let since = Infinity;
        for (const fault of this.#without(seat)) since = Math.min(since, fault.since);
        if (since < now) this.say(`${this.store}: it answers again, after ${seconds(now - since)}`);
    }

    /** This seat asks for nothing any more. */
    removed(seat: object): void {
        this.#without(seat);
    }

    /** Forgets a seat, and returns the faults that no seat has any more. */
    #without(seat: object): Fault[] {
        const over: Fault[] = [];
        for (const [kind, fault] of this.#faults) {
            if (!fault.of.delete(seat) || fault.of.size > 0) continue;
            this.#faults.delete(kind);
            over.push(fault);
        }
        return over;
    }
}

function seconds(ms: number): string {
    return `${Math.max(1, Math.round(ms / 1_000))} s`;
}
