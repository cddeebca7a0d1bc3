import type { Change, Changes } from "./changes.js";
import type { Phase } from "./core.js";
import { ElectorError } from "./errors.js";

/**
 * How long a term still lasts, in milliseconds; a renewal extends it. A `Leadership` counts from the instant
 * of its answer, a `Term` from each reading.
 */
export interface Deadlines {
    /**
     * The time until the hard deadline, when trust in the term ends; 0 without a term. Everything that only
     * the leader may do must have ended by then: another candidate can lead from that instant on.
     */
    readonly trustedForMs: number;
    /**
     * The time until the soft deadline, `graceMs` before the hard one; 0 without a term and past that
     * deadline. Start nothing new by then. A draining candidate starts nothing new at all: for it this is how
     * long the work in progress may still run.
     */
    readonly workForMs: number;
}

/** The term that a piece of work runs under. */
export interface Term extends Deadlines {
    /** The fencing token, for every resource that checks it. */
    readonly token: bigint;
    /** Aborted when the work is to stop: it starts nothing new, and what is in progress must end. */
    readonly signal: AbortSignal;
}

/** The elector that work runs under: what `runAsLeader` asks of it and tells it. */
export interface Candidate {
    readonly election: string;
    readonly token: bigint | undefined;
    readonly leadership: Deadlines & { readonly phase: Phase; readonly token?: bigint };
    readonly lastError: ElectorError | undefined;
    /** How often this candidate was made to stand down: by `release()` or `drain()`. */
    readonly stoodDown: number;
    /** The work was cut off and has not returned. */
    isCutOff: boolean;
    campaign(): void;
    release(): Promise<void>;
    drain(): void;
    /** Drains because the work was cut off: the candidate campaigns again afterwards. */
    windDown(): void;
    /** Drains without a bound, or with that of before; no campaign follows. */
    leaveToDrain(): void;
    changes(): Changes;
    on(event: "stopNewWork" | "deposed", listener: (change: Change) => void): () => void;
    /** Resolves once there is nothing to lead, to try or to tell the store. */
    whenSettled(): Promise<void>;
    /** Counts the waits for this elector: the process must not end before them. */
    keepAlive(by: 1 | -1): void;
}

/** The term under `token`. Its deadlines are read from the elector each time; 0 once it is over. */
export function termOf(elector: Pick<Candidate, "leadership">, token: bigint, signal: AbortSignal): Term {
    const now = (): Deadlines | undefined => {
        const { leadership } = elector;
        return leadership.token === token ? leadership : undefined;
    };
    return {
        token,
        signal,
        get trustedForMs() {
            return now()?.trustedForMs ?? 0;
        },
        get workForMs() {
            return now()?.workForMs ?? 0;
        },
    };
}

/** See `Elector.runAsLeader`. */
export async function runAsLeader<T>(
    elector: Candidate,
    work: (term: Term) => T | PromiseLike<T>,
    stop: AbortSignal | undefined,
    isKept: () => boolean = () => false,
): Promise<T> {
    stop?.throwIfAborted();
    elector.keepAlive(1);
    const drained = drainOf(elector);
    try {
        elector.campaign();
        let { stoodDown } = elector;
        for (;;) {
            const token = elector.token ?? (await elected(elector, stop));
            const ended = await term(elector, token, work, stop);
            if (ended.done) return ended.value;
            // Somebody drained it or gave it up; the work is gone, so a drain has nothing to wait for.
            if (elector.stoodDown !== stoodDown) throw released(elector);
            // A new term has a new token; the rest of this one is of no use to work that was cut off.
            void elector.release();
            ({ stoodDown } = elector);
            elector.campaign();
        }
    } finally {
        // A term that is kept for other work goes on to drain, and this candidate does not stand after it.
        if (drained !== undefined && drainOf(elector) === drained) elector.leaveToDrain();
        else if (!isKept()) await elector.release();
        elector.keepAlive(-1);
    }
}

/** The term that drains, if one does. */
function drainOf({ leadership }: Candidate): bigint | undefined {
    return leadership.phase === "draining" ? leadership.token : undefined;
}

async function elected(elector: Candidate, stop: AbortSignal | undefined): Promise<bigint> {
    stop?.throwIfAborted();
    // Not for longer than it waits: what nobody reads would pile up in a long term.
    const changes = elector.changes();
    const stopped = () => void changes.return();
    stop?.addEventListener("abort", stopped, { once: true });
    try {
        // A candidate that stands down says no event, so its promise of having settled is watched as well.
        for await (const change of watch(elector, changes)) {
            if (change === "settled") break;
            if (change.event === "elected" && elector.token === change.token) return change.token;
        }
    } finally {
        stop?.removeEventListener("abort", stopped);
        void changes.return();
    }
    stop?.throwIfAborted();
    throw elector.lastError?.code === "PANIC" ? elector.lastError : released(elector);
}

async function* watch(
    elector: Candidate,
    changes: AsyncIterable<Change>,
): AsyncGenerator<Change | "settled", void> {
    const settled = elector.whenSettled().then(() => ({ done: false as const, value: "settled" as const }));
    const iterator = changes[Symbol.asyncIterator]();
    for (;;) {
        const next = await Promise.race([settled, iterator.next()]);
        if (next.done) return;
        yield next.value;
    }
}

type Ended<T> = { done: true; value: T } | { done: false };

async function term<T>(
    elector: Candidate,
    token: bigint,
    work: (term: Term) => T | PromiseLike<T>,
    stop: AbortSignal | undefined,
): Promise<Ended<T>> {
    const controller = new AbortController();
    const over = (change: Change) => {
        if (!("token" in change) || change.token !== token || controller.signal.aborted) return;
        // While the work winds down nobody else should start, nor should this candidate lead without working.
        if (elector.leadership.phase !== "draining") elector.windDown();
        elector.isCutOff = true;
        const text = `the term ${token} is over, or about to be`;
        controller.abort(stop?.aborted ? stop.reason : new ElectorError("NOT_LEADER", text));
    };
    const ends = [elector.on("stopNewWork", over), elector.on("deposed", over)];
    const stopped = () => {
        elector.drain();
        controller.abort(stop?.reason);
    };
    stop?.addEventListener("abort", stopped, { once: true });
    try {
        stop?.throwIfAborted();
        if (elector.token !== token) return { done: false };
        const value = await work(termOf(elector, token, controller.signal));
        stop?.throwIfAborted();
        return controller.signal.aborted ? { done: false } : { done: true, value };
    } catch (error) {
        if (stop?.aborted || !controller.signal.aborted) throw stop?.aborted ? stop.reason : error;
        return { done: false };
    } finally {
        stop?.removeEventListener("abort", stopped);
        for (const end of ends) end();
        elector.isCutOff = false;
    }
}

function released(elector: Candidate): ElectorError {
    const message = `election ${JSON.stringify(elector.election)}: the elector was released meanwhile; ` +
        "campaign again to go on";
    return new ElectorError("RELEASED", message);
}
