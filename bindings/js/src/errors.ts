import type { Failure } from "./core.js";

/** The kind of an error, for programs. */
export type ElectorErrorCode =
    /** An option is out of bounds or of the wrong type. */
    | "INVALID_OPTIONS"
    /** This candidate does not lead, or no longer: roll back the transaction that `guard()` was called in. */
    | "NOT_LEADER"
    /** `release()` or `drain()` was called while `runAsLeader()` waited or worked. */
    | "RELEASED"
    /** This elector already runs other work in `runAsLeader()`. */
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
    | "PANIC";

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

/** The message of any error, in one line. */
export function oneLine(error: unknown): string {
    // Node's error for a host with several addresses has no message, only one error for each address.
    const { errors } = (error ?? {}) as { errors?: unknown };
    if (error instanceof Error && error.message === "" && Array.isArray(errors)) {
        return errors.map(oneLine).join(", ");
    }
    const text = error instanceof Error ? error.message || error.name : String(error);
    return text.replace(/\s+/g, " ").trim();
}
