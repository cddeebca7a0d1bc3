import type { Change, Changes } from "./changes.js";
import type { Phase } from "./core.js";
import { ElectorError } from "./errors.js";

/**
 * The remaining times of a term, in milliseconds; each renewal extends them. A `Leadership` counts from the
 * instant of its answer, a `Term` from each reading.
 */
export interface Deadlines {
    /**
     * The time until the hard deadline, when trust in the lease ends; 0 without a term. Everything that only
     * the leader may do must have ended by then: another candidate can lead from that instant on.
     */
    readonly trustedForMs: number;
    /**
     * The time until the soft deadline, `graceMs` before the hard one; 0 without a term and after that
     * deadline. Start no new work after it. A draining candidate must not start new work at all; for it, this
     * is the time that the work in progress may still take.
     */
    readonly workForMs: number;
}

/** The term under which `work` runs. */
export interface Term extends Deadlines {
    /** The fencing token of the term. Pass it to every resource that checks tokens. */
    readonly token: bigint;
    /** Aborted when the work must stop: it must start nothing new, end what is in progress, and return. */
    readonly signal: AbortSignal;
}

/** The elector under which work runs, as `runAsLeader` uses it. */
export interface Candidate {
    readonly election: string;
    readonly token: bigint | undefined;
    readonly leadership: Deadlines & { readonly phase: Phase; readonly token?: bigint };
    readonly lastError: ElectorError | undefined;
    /** The number of calls of `release()` and `drain()`. */
    readonly stoodDown: number;
    /** The work was cut off and has not returned. */
    isCutOff: boolean;
    campaign(): void;
    release(): Promise<void>;
    drain(): void;
    /** Drains because the work was cut off: the candidate campaigns again afterwards. */
    windDown(): void;
    /** Drains with the bound set before, or without one; no campaign follows. */
    leaveToDrain(): void;
    changes(): Changes;
    on(event: "stopNewWork" | "deposed", listener: (change: Change) => void): () => void;
    /** Resolves once there is no term, no campaign and no request in progress. */
    whenSettled(): Promise<void>;
    /** Counts the waits for this elector: the process must not end before them. */
    keepAlive(by: 1 | -1): void;
}

/** The term of `token`. Each reading of a deadline asks the elector; it is 0 once the term has ended. */
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
            // The elector was released or drained by another caller. The work has returned, so a drain waits
            // for nothing.
            if (elector.stoodDown !== stoodDown) throw released(elector);
            // Work that was cut off runs again only under a new token, so the rest of this term is released.
            void elector.release();
            ({ stoodDown } = elector);
            elector.campaign();
        }
    } finally {
        // A term that drains for other work goes on draining, and this candidate does not campaign after it.
        if (drained !== undefined && drainOf(elector) === drained) elector.leaveToDrain();
        else if (!isKept()) await elector.release();
        elector.keepAlive(-1);
    }
}

/** The token of the draining term, if there is one. */
function drainOf({ leadership }: Candidate): bigint | undefined {
    return leadership.phase === "draining" ? leadership.token : undefined;
}

async function elected(elector: Candidate, stop: AbortSignal | undefined): Promise<bigint> {
    stop?.throwIfAborted();
    // Subscribed only while it waits: unread changes of a long term would pile up.
    const changes = elector.changes();
    const stopped = () => void changes.return();
    stop?.addEventListener("abort", stopped, { once: true });
    try {
        // A candidate that stands down without a term has no event, so `whenSettled()` is watched as well.
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
        // While the work stops, no other candidate should lead, nor this one without working.
        if (elector.leadership.phase !== "draining") elector.windDown();
        elector.isCutOff = true;
        const text = `the term ${token} has ended or soon will; stop this work`;
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
