import type { Failure } from "./core.js";

/** The kind of an error, for programs. */
export type ElectorErrorCode =
    /** An option is out of bounds or of the wrong type. */
    | "INVALID_OPTIONS"
    /**
     * This candidate does not lead, or no longer: roll back the transaction that `guard()` was called in. In
     * raftq: `transfer()` on a node that does not lead.
     */
    | "NOT_LEADER"
    /** `release()` or `drain()` was called while `runAsLeader()` waited or worked. */
    | "RELEASED"
    /**
     * This elector already runs other work in `runAsLeader()`. In raftq: the node runs already, or a write of
     * its previous run has not returned.
     */
    | "BUSY"
    /** The store failed or did not answer in time. The elector retries. */
    | "STORE"
    /**
     * The store refused, and retrying does not help until the cause is removed: a missing permission, or a
     * table of another shape.
     */
    | "STORE_REFUSED"
    /** The store is not PostgreSQL, so it cannot guard transactions. */
    | "NO_GUARD"
    /** The core panicked. This elector never leads again; please report it. */
    | "PANIC"
    // ---- Only of `elector-wasm/raftq` ----
    /** The state of this node cannot be restored, is damaged or another node's, or was changed by others. */
    | "INVALID_STATE"
    /** The data cannot be written as JSON. */
    | "INVALID_DATA"
    /** The data is too large. It had no effect. */
    | "TOO_LARGE"
    /** No leader accepted the data in time, or before the node ended. It had no effect. */
    | "NOT_COMMITTED"
    /**
     * The answer was lost, or the node ended while it waited for it: the data may be committed, now or later,
     * or never. Of `leave()`: the node may still be a member.
     */
    | "UNKNOWN"
    /**
     * The node does not run, was not admitted to a cluster in time, has left, or is the only member and
     * cannot leave. Nothing had an effect.
     */
    | "NOT_MEMBER"
    /** Leadership was not handed over: no other node may lead, or it did not catch up in time. */
    | "TRANSFER_FAILED";

/** The only error class of this package: `code` for programs, `message` for people. */
export class ElectorError extends Error {
    override readonly name = "ElectorError";
    constructor(readonly code: ElectorErrorCode, message: string, options?: { cause?: unknown }) {
        super(message);
        if (options && "cause" in options) Object.defineProperty(this, "cause", { value: options.cause });
    }
}

/** A failure of a store. */
export class StoreError extends ElectorError {
    /** `unsent`: certainly not executed. `unknown`: perhaps executed. `refused`: retrying does not help. */
    readonly failure: Failure;
    constructor(failure: Failure, message: string, options?: { cause?: unknown }) {
        super(failure === "refused" ? "STORE_REFUSED" : "STORE", message, options);
        this.failure = failure;
    }
}

/** The message of any error, in one line. Never throws. */
export function oneLine(error: unknown): string {
    try {
        return lineOf(error);
    } catch {
        return "an error that cannot be printed";
    }
}

function lineOf(error: unknown): string {
    // Node's error for a host with several addresses has no message, only one error for each address.
    const { errors } = (error ?? {}) as { errors?: unknown };
    if (error instanceof Error && error.message === "" && Array.isArray(errors)) {
        return errors.map(oneLine).join(", ");
    }
    const text = error instanceof Error ? error.message || error.name : String(error);
    return text.replace(/\s+/g, " ").trim();
}
