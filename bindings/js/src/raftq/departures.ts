import { remember } from "./bounded.js";
import { isName } from "./names.js";

/** A node that left, as this node was told. */
export interface Departure {
    readonly id: string;
    /** Which run left, if the application knows; `undefined`: the run that was the newest at `atMs`. */
    readonly session: string | undefined;
    /** When this node was told, and until when it remembers that, on its clock. */
    readonly atMs: number;
    readonly untilMs: number;
}

/** The newest run of a node. */
interface Run {
    readonly session: string;
    /** When it was heard first, on the clock of this node. */
    readonly sinceMs: number;
    /** When it was heard last, in milliseconds since 1970. */
    readonly time: number;
}

/** The most runs and departures that a node remembers: more than a cluster has members. */
const MOST = 128;

/**
 * Which nodes this one was told have left (`ackNode` with `time: 0`), and which runs of nodes it has heard: a
 * departure is that of one run. A node that is heard of again has not left.
 */
export class Departures {
    readonly #departures = new Map<string, Departure>();
    readonly #runs = new Map<string, Run>();

    /** Remembers a departure, and returns true, unless it is that of another run than the newest one. */
    add(departure: Departure): boolean {
        const { id, session } = departure;
        if (!this.mayHaveLeft(id, session, departure.atMs)) return false;
        remember(this.#departures, id, departure, MOST);
        return true;
    }

    /**
     * Whether the newest run that was heard of a node may be the one that left: it has this session or,
     * without a session, was first heard by `beforeMs`. True if no run was heard.
     */
    mayHaveLeft(id: string, session: string | undefined, beforeMs: number): boolean {
        const newest = this.#runs.get(id);
        if (!newest) return true;
        return session === undefined ? newest.sinceMs <= beforeMs : newest.session === session;
    }

    /** Forgets that a node has left. Returns whether it had. */
    remove(id: string): boolean {
        return this.#departures.delete(id);
    }

    /** A message of this run of a node arrived. It may have been sent before the node left. */
    heard(id: string, session: string, nowMs: number): void {
        const before = this.#runs.get(id);
        const sinceMs = before?.session === session ? before.sinceMs : nowMs;
        remember(this.#runs, id, { session, sinceMs, time: Date.now() }, MOST);
        const departure = this.#departures.get(id);
        if (!departure || this.mayHaveLeft(id, departure.session, departure.atMs)) return;
        this.#departures.delete(id);
    }

    /** When a node was last heard, in milliseconds since 1970; `undefined` if it was not. */
    lastHeard(id: string): number | undefined {
        return this.#runs.get(id)?.time;
    }

    get isEmpty(): boolean {
        return this.#departures.size === 0;
    }

    /** Those that are still remembered. */
    at(nowMs: number): Departure[] {
        for (const [id, { untilMs }] of this.#departures) {
            if (nowMs >= untilMs) this.#departures.delete(id);
        }
        return [...this.#departures.values()];
    }
}

/** A departure in a message to the leader. */
export interface Report {
    readonly id: string;
    readonly session: string | undefined;
    /** How long ago the sender was told, in milliseconds. */
    readonly agoMs: number;
}

/** The body of a message with a report. */
export function reportBytes(report: Report): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(report));
}

/** The report in the body of a message; `undefined` if there is none. Never throws. */
export function reportOf(body: Uint8Array): Report | undefined {
    try {
        const text = new TextDecoder().decode(body);
        const { id, session, agoMs } = JSON.parse(text) as { [K in keyof Report]?: unknown };
        if (!isName(id) || typeof agoMs !== "number" || agoMs < 0) return undefined;
        return session === undefined || isName(session) ? { id, session, agoMs } : undefined;
    } catch {
        return undefined;
    }
}
