/** The options of a machine. Times are milliseconds; an unset time is derived from the lease. */
export interface MachineOptions {
    /** The election's name, 1 to 255 bytes. */
    readonly election: string;
    /** This candidate's name, 1 to 255 bytes. */
    readonly candidate: string;
    /** A random 64-bit number, different for every machine that is ever made. Two machines with the same
     * number may adopt each other's lease. */
    readonly incarnation: bigint;
    /** Seeds the jitter. */
    readonly seed: bigint;
    /** A text that is published while this candidate leads: an address, a version. At most 64 KiB. */
    readonly meta?: string | undefined;
    /** How long a grant or a renewal lasts; 100 to 86 400 000. Default: 10 000. It bounds how long a crashed
     * leader blocks the next leader; an outage of the store that lasts longer ends the term. */
    readonly leaseMs?: number | undefined;
    /** The maximum time from one renewal to the next; at least 10. Default: 30 % of the lease. */
    readonly renewMs?: number | undefined;
    /** How much earlier a renewal may be sent, drawn anew for each renewal. Default: 20 % of the lease, at
     * most two thirds of `renewMs`. */
    readonly jitterMs?: number | undefined;
    /** The pause after an operation that failed at once; at least 10. Default: 5 % of the lease. */
    readonly retryMs?: number | undefined;
    /** How much earlier than 99 % of the lease trust ends; at least 1. Default: max(250, lease / 15). If it
     * is too small, work that was checked just before the end of trust can overlap with the next leader's. */
    readonly marginMs?: number | undefined;
    /** How long before the end of trust new work must stop. Default: a tenth of the lease. Work in progress
     * that takes longer may still run when trust ends. */
    readonly graceMs?: number | undefined;
    /** Take over only a row that stood unchanged for a full lease of this candidate's own clock. It costs one
     * lease of waiting at every change of leader. Set it for all candidates of an election. */
    readonly strict?: boolean | undefined;
    /** Campaign and renew only while `alive` is called at least every half lease. */
    readonly progressGate?: boolean | undefined;
}

/** The phase of a machine. */
export type Phase = "standby" | "candidate" | "leader" | "draining";

/** Why a term ended. */
export type DeposedReason = "released" | "expired" | "lost" | "stalled" | "revoked";

/** One consistent answer to the question whether this candidate leads. */
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

/** The leader of an election. */
export interface Leader {
    /** The candidate's name. */
    readonly candidate: string;
    /** The name with the candidate's incarnation, as the store keeps it. */
    readonly id: string;
    /** The term's token; absent if another program wrote the row. */
    readonly token?: bigint;
    /** The text that the leader published. */
    readonly meta?: string;
}

/** An event of a candidate. All events of a term, from `elected` to its one `deposed`, carry its token. */
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

/** The condition of an acquire on the row: none, that there is no row, or that the row is unchanged. */
export type Unchanged =
    | { readonly condition: "any" }
    | { readonly condition: "absent" }
    | { readonly condition: "same"; readonly rowToken?: bigint; readonly rowExpiresUs: bigint };

/** An operation for the store. */
export type Operation =
    | { readonly op: "look" }
    | ({ readonly op: "acquire"; readonly holder: string; readonly leaseMs: number; readonly meta?: string }
        & Unchanged)
    | { readonly op: "renew"; readonly holder: string; readonly token: bigint; readonly leaseMs: number }
    | { readonly op: "release"; readonly holder: string; readonly token: bigint };

/** One operation on the machine's election. The reply must repeat `id`. After `deadlineMs` the machine goes
 * on without a reply. */
export type Request = { readonly id: number; readonly deadlineMs: number } & Operation;

/** An output of a machine. Poll until it is a `wait`, and call `timeout` in that window. */
export type Output =
    | ({ readonly kind: "send" } & Request)
    | ({ readonly kind: "event" } & MachineEvent)
    | { readonly kind: "wait"; readonly earliestMs: number; readonly latestMs: number };

/** A row as the store shows it. */
export interface Row {
    /** The holder as the store keeps it; absent or empty in a row that was released or revoked. */
    readonly holder?: string | undefined;
    /** The row's token; absent if another program wrote the row. */
    readonly token?: bigint | undefined;
    /** The expiry on the store's clock. */
    readonly expiresUs: bigint;
    /** The remaining time of the lease, computed by the store; 0 if the row may be taken. */
    readonly remainingUs: bigint;
    /** The length of the lease; absent if the row does not record it. */
    readonly leaseMs?: number | undefined;
    readonly meta?: string | undefined;
}

/** Whether the store executed an operation that failed. `unsent`: certainly not; `unknown`: perhaps, now or
 * later; `refused`: not, for a reason that will not go away by itself. */
export type Failure = "unsent" | "unknown" | "refused";

/** The outcome of a request. */
export type Outcome =
    | { readonly outcome: "seen"; readonly row?: Row | undefined }
    | { readonly outcome: "granted"; readonly token: bigint }
    | { readonly outcome: "renewed" | "lost" | "released" | Failure };

/** The answer to a request, with the store's clock when it executed it. */
export type Reply = { readonly id: number; readonly nowUs?: bigint; readonly timeline?: bigint } & Outcome;

/** The type of the `id` column of the table in PostgreSQL. */
export type IdType = "text" | "integer" | "bigint";

/** A statement for PostgreSQL. `src/core/sql/postgres.rs` documents its parameters and columns. */
export type PostgresStatement =
    | "migrate" | "columns" | "lacking" | "keeps" | "look" | "acquire" | "renew" | "release" | "cleanUp"
    | "guard";

/** A statement for SQLite. `src/core/sql/sqlite_server.rs` documents its parameter and columns. */
export type SqliteStatement =
    | "createTable" | "look" | "acquire" | "renew" | "release" | "raiseFloor" | "cleanUp";

/** A row that the statement `columns` returns: a column of the table, as the client converts it. */
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

/** Whether a table in PostgreSQL can hold leases. The statement `migrate` mends an `incomplete` table. */
export type TableVerdict =
    | {
        readonly verdict: "usable";
        readonly idType: IdType;
        /** The database's encoding, if it lacks characters. */
        readonly encoding?: string;
        /** Why candidates cannot use the table, if row security hides it from them. */
        readonly hidden?: string;
    }
    | { readonly verdict: "incomplete" | "unusable"; readonly why: string };

/** The limits of hubs, which are equal in every language. */
export interface Limits {
    /** Maximum number of operations in one batch. */
    readonly mostJobs: number;
    /** Minimum time to wait for a batch, even if the deadlines of its operations pass earlier. */
    readonly shortestPatienceMs: number;
    /** The average time from one clean-up to the next. */
    readonly cleanUpEveryMs: number;
}
