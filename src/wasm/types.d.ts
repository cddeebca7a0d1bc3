/** What a machine is made with. Times in milliseconds; what is unset is derived from the lease. */
export interface MachineOptions {
    /** The election's name, 1 to 255 bytes. */
    readonly election: string;
    /** This candidate's name, 1 to 255 bytes. */
    readonly candidate: string;
    /** A random 64-bit number, another one for each machine ever made. */
    readonly incarnation: bigint;
    /** Seeds the jitter. */
    readonly seed: bigint;
    /** A text for others to read while this candidate leads: an address, a version. At most 64 KiB. */
    readonly meta?: string | undefined;
    /** How long a grant or a renewal lasts; 100 to 86 400 000. Default: 10 000. */
    readonly leaseMs?: number | undefined;
    /** The latest time from one renewal to the next. Default: 30 % of the lease. */
    readonly renewMs?: number | undefined;
    /** How much earlier a renewal may be sent, drawn each time. Default: 20 % of the lease. */
    readonly jitterMs?: number | undefined;
    /** The pause after an operation that failed at once; at least 10. Default: 5 % of the lease. */
    readonly retryMs?: number | undefined;
    /** How much earlier than it must trust ends; at least 1. Default: max(250, lease / 15). */
    readonly marginMs?: number | undefined;
    /** How long before the end of trust new work must not be started. Default: a tenth of the lease. */
    readonly graceMs?: number | undefined;
    /** Take over only what stood unchanged for a full lease of this candidate's own clock. */
    readonly strict?: boolean | undefined;
    /** Campaign and renew only while `alive` is called at least every half lease. */
    readonly progressGate?: boolean | undefined;
}

/** Where a candidate stands. */
export type Phase = "standby" | "candidate" | "leader" | "draining";

/** Why a term ended. */
export type DeposedReason = "released" | "expired" | "lost" | "stalled" | "revoked";

/** One consistent answer to "do I lead?". */
export interface MachineLeadership {
    readonly isLeader: boolean;
    readonly phase: Phase;
    /** The term's token while the lease is trusted, draining included. */
    readonly token?: bigint;
    /** The hard deadline on the host's clock: when trust ends unless it is renewed; 0 without a term. */
    readonly trustedUntilMs: number;
    /** The soft deadline on the same clock: by then nothing new may be started; 0 without a term. */
    readonly workUntilMs: number;
    /** Why the latest term ended. */
    readonly reason?: DeposedReason;
}

/** Who leads. */
export interface Leader {
    /** The candidate's name. */
    readonly candidate: string;
    /** The name with the number of this one run of it, as the store keeps it. */
    readonly id: string;
    /** The term; absent where another program wrote the row. */
    readonly token?: bigint;
    /** The text that the leader published. */
    readonly meta?: string;
}

/** What happened. Between `elected` and its one `deposed` all events carry the same token. */
export type MachineEvent =
    | { readonly event: "elected"; readonly token: bigint }
    | { readonly event: "renewed"; readonly token: bigint }
    | { readonly event: "atRisk"; readonly token: bigint }
    | { readonly event: "stopNewWork"; readonly token: bigint }
    | { readonly event: "deposed"; readonly token: bigint; readonly reason: DeposedReason }
    | { readonly event: "leaderChanged"; readonly leader?: Leader }
    | { readonly event: "storeClockStepped"; readonly byUs: bigint }
    | { readonly event: "timelineChanged" }
    | { readonly event: "poisonedRow"; readonly remainingMs: number };

/** What an acquire demands of the row: nothing, that there is none, or that it still is as it was seen. */
export type Unchanged =
    | { readonly condition: "any" }
    | { readonly condition: "absent" }
    | { readonly condition: "same"; readonly rowToken?: bigint; readonly rowExpiresUs: bigint };

/** What to ask the store for. */
export type Operation =
    | { readonly op: "look" }
    | ({ readonly op: "acquire"; readonly holder: string; readonly leaseMs: number; readonly meta?: string }
        & Unchanged)
    | { readonly op: "renew"; readonly holder: string; readonly token: bigint; readonly leaseMs: number }
    | { readonly op: "release"; readonly holder: string; readonly token: bigint };

/** One operation on the machine's election; `id` is to be repeated in the reply, and after `deadlineMs` the
 * machine goes on without one. */
export type Request = { readonly id: number; readonly deadlineMs: number } & Operation;

/** What a machine says. Poll until it says `wait`: give a `timeout` in that window. */
export type Output =
    | ({ readonly kind: "send" } & Request)
    | ({ readonly kind: "event" } & MachineEvent)
    | { readonly kind: "wait"; readonly earliestMs: number; readonly latestMs: number };

/** A row as the store shows it. */
export interface Row {
    /** The holder as the store keeps it; absent or empty in a row that was released or revoked. */
    readonly holder?: string | undefined;
    /** Absent in a row that another program wrote. */
    readonly token?: bigint | undefined;
    /** The expiry on the store's clock. */
    readonly expiresUs: bigint;
    /** What is left of the lease, computed by the store; 0 if it may be taken. */
    readonly remainingUs: bigint;
    /** The whole lease, where the store knows it. */
    readonly leaseMs?: number | undefined;
    readonly meta?: string | undefined;
}

/** What a failure means for the operation that failed. `unsent`: certainly not executed; `unknown`: perhaps
 * executed, now or later; `refused`: for a reason that will not go away by itself. */
export type Failure = "unsent" | "unknown" | "refused";

/** What became of a request. */
export type Outcome =
    | { readonly outcome: "seen"; readonly row?: Row | undefined }
    | { readonly outcome: "granted"; readonly token: bigint }
    | { readonly outcome: "renewed" | "lost" | "released" | Failure };

/** The answer to a request, with the store's clock when it executed it. */
export type Reply = { readonly id: number; readonly nowUs?: bigint; readonly timeline?: bigint } & Outcome;

/** The type of the `id` column of the table in PostgreSQL. */
export type IdType = "text" | "integer" | "bigint";

/** A statement for PostgreSQL; its parameters and columns are told in `src/core/sql/postgres.rs`. */
export type PostgresStatement =
    | "migrate" | "columns" | "lacking" | "keeps" | "look" | "acquire" | "renew" | "release" | "cleanUp"
    | "guard";

/** A statement for SQLite; its parameter and columns are told in `src/core/sql/sqlite_server.rs`. */
export type SqliteStatement =
    | "createTable" | "look" | "acquire" | "renew" | "release" | "raiseFloor" | "cleanUp";

/** A row that the statement `columns` answers: a column of the table, as a client shows it. */
export interface ColumnRow {
    readonly name?: unknown;
    readonly type?: unknown;
    readonly modifier?: unknown;
    readonly is_key?: unknown;
    readonly is_demanded?: unknown;
    readonly is_logged?: unknown;
    readonly role?: unknown;
    readonly hidden?: unknown;
    readonly encoding?: unknown;
}

/** Whether leases can be kept in a table of PostgreSQL. The statement `migrate` mends an `incomplete` one. */
export type TableVerdict =
    | {
        readonly verdict: "usable";
        readonly idType: IdType;
        /** The database's encoding if that lacks characters. */
        readonly encoding?: string;
        /** Why candidates cannot use it, if row security hides it from them. */
        readonly hidden?: string;
    }
    | { readonly verdict: "incomplete" | "unusable"; readonly why: string };

/** The numbers by which hubs go, the same in every language. */
export interface Limits {
    /** Maximum number of operations in one batch. */
    readonly mostJobs: number;
    /** Minimum time to wait for a batch, even if the deadlines of its operations end before. */
    readonly shortestPatienceMs: number;
    /** The average time from one clean-up to the next. */
    readonly cleanUpEveryMs: number;
}
