import { postgresFailure } from "../core.js";
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

const MAKE_IT = "have its owner run what `elector schema --dialect postgres` prints";
/** Row security refuses under the code of rights that were not granted. */
const BY_ROW_SECURITY = /^(ExecWithCheckOptions|check_enable_rls)$/;
const POLICIES = "row security is on: have the table's owner make policies that let the role SELECT, " +
    "INSERT, UPDATE and DELETE the rows of its elections (CREATE POLICY)";
const GRANT = "grant the role USAGE on the schema and SELECT, INSERT, UPDATE, DELETE on the table";

/** What to do about it, by SQLSTATE (PostgreSQL manual, appendix A). What it means, the core knows. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
    [/^0A000$/, "if its table was changed meanwhile, this goes away by itself"],
    [/^25006$/, "it takes no writes; connect to the primary"],
    [/^28P01$/, "check the password"],
    [/^3D000$/, "create the database, or name another"],
    [/^3F000$/, "create the schema, or give another as `schema`"],
    [/^40003$/, ""],
    [/^(22P05|22021)$/, "the database's encoding lacks a character; use others, or a database in UTF8"],
    [/^42501$/, GRANT],
    [/^42P01$/, MAKE_IT],
    [/^(26000|42P05)$/, "a pooler must not share the client's prepared statements"],
    [/^(42703|42804|42883|22P02)$/, "the table has another shape; use a schema of its own"],
    [/^53300$/, "close some connections, or raise the server's limit or the role's"],
    [/^53100$/, "the server's disk is full; free some space"],
    [/^55P03$/, "another transaction holds its row or table; it is tried again"],
    [/^55000$/, "if it is a standby, connect to the primary"],
    [/^57014$/, "statement_timeout or an administrator ended it; it is tried again"],
    [/^57P03$/, "it is starting, stopping or recovering; it is tried again"],
    [/^28/, "check the role, and the server's pg_hba.conf"],
    [/^40/, "it is tried again"],
    [/^(22|23|42|44)/, MAKE_IT],
];

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
    const said = `${store}: cannot ${asked}: ${oneLine(error)}`;
    if (SQLSTATE.test(code)) {
        const byRowSecurity = BY_ROW_SECURITY.test(String(found.routine));
        const advice = byRowSecurity ? POLICIES : ADVICE.find(([pattern]) => pattern.test(code))?.[1];
        const endsSession = found.severity === "FATAL" || found.severity === "PANIC";
        const message = `${said} (SQLSTATE ${code})${advice ? `; ${advice}` : ""}`;
        return new StoreError(postgresFailure(code, endsSession), message, { cause: error });
    }
    const unsent = NEVER_SENT.test(code) || NO_CONNECTION.test(oneLine(error));
    const advice = NO_DESCRIPTOR.test(code) ? RAISE_IT : "";
    return new StoreError(unsent ? "unsent" : "unknown", said + advice, { cause: error });
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
