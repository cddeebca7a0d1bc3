import { explainPostgresError, postgresFailure } from "../core.js";
import { StoreError, oneLine } from "../errors.js";

/** The fields of a client's error beside its message. */
interface ClientError {
    readonly code?: unknown;
    readonly severity?: unknown;
    /** The server's function that raised the error. */
    readonly routine?: unknown;
    readonly driverError?: unknown;
    readonly cause?: unknown;
}

/** A SQLSTATE. Each has a digit, unlike the system's codes, such as EPIPE. */
const SQLSTATE = /^(?=.*[0-9])[0-9A-Z]{5}$/;
/** Errors of a client that has sent nothing yet. */
const NEVER_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EMFILE|ENFILE)$/;
/** Errors of this process, not of the server. */
const NO_DESCRIPTOR = /^(EMFILE|ENFILE)$/;
const DESCRIPTOR_ADVICE = "; no file descriptor is left; raise the limit (ulimit -n), or close some of " +
    "those in /proc/PID/fd";
/** The message of `pg` when its pool gave no connection within `connectionTimeoutMillis`. */
const NO_CONNECTION = /timeout exceeded when trying to connect/;

/**
 * The StoreError for a client's error. If the connection was lost, the outcome is `unknown`. `asked`
 * completes "cannot …".
 */
export function judge(store: string, asked: string, error: unknown): StoreError {
    const found = innermost(error);
    const code = codeOf(found);
    if (SQLSTATE.test(code)) {
        const routine = typeof found.routine === "string" ? found.routine : undefined;
        const endsSession = found.severity === "FATAL" || found.severity === "PANIC";
        const said = explainPostgresError(oneLine(error), code, routine);
        const message = `${store}: cannot ${asked}: ${said}`;
        return new StoreError(postgresFailure(code, endsSession), message, { cause: error });
    }
    const unsent = NEVER_SENT.test(code) || NO_CONNECTION.test(oneLine(error));
    const advice = NO_DESCRIPTOR.test(code) ? DESCRIPTOR_ADVICE : "";
    const message = `${store}: cannot ${asked}: ${oneLine(error)}${advice}`;
    return new StoreError(unsent ? "unsent" : "unknown", message, { cause: error });
}

/** The SQLSTATE or the system's code of a client's error; empty if it has none. */
export function codeOf(error: unknown): string {
    const { code } = innermost(error);
    return typeof code === "string" ? code : "";
}

/** The error of the driver, which TypeORM wraps. */
function innermost(error: unknown): ClientError {
    const given = (typeof error === "object" && error !== null ? error : {}) as ClientError;
    if (typeof given.code === "string") return given;
    const inner = given.driverError ?? given.cause;
    return typeof inner === "object" && inner !== null ? innermost(inner) : given;
}
