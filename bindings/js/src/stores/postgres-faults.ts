import { explainPostgresError, postgresFailure } from "../core.js";
import { StoreError, oneLine } from "../errors.js";

/** What clients tell of an error beside its message. */
interface ClientError {
    readonly code?: unknown;
    readonly severity?: unknown;
    /** The server's function that refused. */
    readonly routine?: unknown;
    readonly driverError?: unknown;
    readonly cause?: unknown;
}

/** Every SQLSTATE has a digit, which tells it from a code of the system, such as EPIPE. */
const SQLSTATE = /^(?=.*[0-9])[0-9A-Z]{5}$/;
/** A client's own errors before anything was sent. */
const NEVER_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EMFILE|ENFILE)$/;
/** Of these the server is not at fault. */
const NO_DESCRIPTOR = /^(EMFILE|ENFILE)$/;
const RAISE_IT = "; no file descriptor is left; raise the limit (ulimit -n), and see in /proc/PID/fd what " +
    "keeps so many open";
/** What `pg` says when its pool gave no connection in `connectionTimeoutMillis`. */
const NO_CONNECTION = /timeout exceeded when trying to connect/;

/** What an error of a client means: a lost connection leaves it unknown. `asked` completes "cannot …". */
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
    const advice = NO_DESCRIPTOR.test(code) ? RAISE_IT : "";
    const message = `${store}: cannot ${asked}: ${oneLine(error)}${advice}`;
    return new StoreError(unsent ? "unsent" : "unknown", message, { cause: error });
}

/** The SQLSTATE or the system's code of a client's error, or "". */
export function codeOf(error: unknown): string {
    const { code } = innermost(error);
    return typeof code === "string" ? code : "";
}

/** TypeORM wraps the errors of its driver. */
function innermost(error: unknown): ClientError {
    const given = (typeof error === "object" && error !== null ? error : {}) as ClientError;
    if (typeof given.code === "string") return given;
    const inner = given.driverError ?? given.cause;
    return typeof inner === "object" && inner !== null ? innermost(inner) : given;
}
