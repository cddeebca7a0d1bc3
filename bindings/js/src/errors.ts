import type { Failure } from "./core.js";

/** What went wrong, for programs. */
export type ElectorErrorCode =
    /** An option is out of bounds or of the wrong type. */
    | "INVALID_OPTIONS"
    /** This candidate does not lead (any more): roll back the transaction that it wanted to guard. */
    | "NOT_LEADER"
    /** Somebody released this elector while it was waited for. */
    | "RELEASED"
    /** This elector runs other work as leader already. */
    | "BUSY"
    /** The store failed, or did not answer in time; it is tried again. */
    | "STORE"
    /** The store refused for a reason that does not go away by itself: a permission, another table. */
    | "STORE_REFUSED"
    /** The store's leases are not kept in PostgreSQL, so no transaction can be guarded. */
    | "NO_GUARD"
    /** The core panicked. This elector is never leader again; please report it. */
    | "PANIC";

/** The one error of this package: `code` for programs, `message` for people. */
export class ElectorError extends Error {
    override readonly name = "ElectorError";
    constructor(readonly code: ElectorErrorCode, message: string, options?: { cause?: unknown }) {
        super(message);
        if (options && "cause" in options) Object.defineProperty(this, "cause", { value: options.cause });
    }
}

/** A failure of a store. */
export class StoreError extends ElectorError {
    /** `unsent`: certainly not executed; `unknown`: perhaps; `refused`: it will not go away by itself. */
    readonly failure: Failure;
    constructor(failure: Failure, message: string, options?: { cause?: unknown }) {
        super(failure === "refused" ? "STORE_REFUSED" : "STORE", message, options);
        this.failure = failure;
    }
}

/** An error of others as one line. */
export function oneLine(error: unknown): string {
    // What Node says of a host with several addresses has no message of its own.
    const { errors } = (error ?? {}) as { errors?: unknown };
    if (error instanceof Error && error.message === "" && Array.isArray(errors)) {
        return errors.map(oneLine).join(", ");
    }
    const text = error instanceof Error ? error.message || error.name : String(error);
    return text.replace(/\s+/g, " ").trim();
}
