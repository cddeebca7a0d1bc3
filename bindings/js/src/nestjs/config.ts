import type { ElectorOptions } from "../options.js";
import type { Store } from "../store.js";
import type { Queryable } from "../stores/client.js";
import type { PostgresListener } from "../stores/postgres-pool.js";
import { invalid } from "./invalid.js";

/** A logger for warnings and errors: Nest's `Logger`, `console`, or one of your own. */
export interface LeaderLogger {
    warn(message: string): void;
    error(message: string): void;
}

/**
 * The configuration of one candidate. Times are in milliseconds. The first seven options and
 * `baseCleanInterval` are those of `nest-leader-election`. Times that do not fit together are refused at the
 * start, with their numbers.
 */
export interface LeaderElectorConfig {
    /**
     * The length of a lease that is not renewed; up to 86 400 000. Default: 10000. It must leave room for
     * three renewals and the margin of 250 ms: at least 560, or 900 with a `renewalInterval` of half a lease.
     * Too short, and a slow store or a blocked event loop ends terms; too long, and the election has no
     * leader for that long after a crash.
     */
    readonly leaseDuration?: number | undefined;
    /**
     * The longest time from one renewal to the next. Default: 3000, at most 30 % of the lease. A larger value
     * than half a lease is reduced to half a lease. Too long, and few renewals can fail before the term ends;
     * too short only costs operations.
     */
    readonly renewalInterval?: number | undefined;
    /**
     * How much earlier than `renewalInterval` a renewal may be sent, drawn anew each time. Default: 2000. A
     * larger value than two thirds of the interval is reduced to that. With 0, replicas that start together
     * burden the store at the same instants.
     */
    readonly jitterRange?: number | undefined;
    /**
     * The election, as a number. Default: 1. Applications with the same table and the same number elect one
     * common leader, so give each application its own.
     */
    readonly lockId?: number | undefined;
    /**
     * The schema of the table `leader_lease`, any identifier. Default: `public`. Replicas with different
     * schemas do not see each other, and can lead at once.
     */
    readonly schema?: string | undefined;
    /**
     * Whether to make the schema and the table if they are missing. Default: true. With false, the
     * application does not start until a migration has made the table.
     */
    readonly createTableOnInit?: boolean | undefined;
    /** This candidate's name in logs and rows. Default: `host-pid`. */
    readonly instanceId?: string | undefined;
    /** Without effect: expired rows are deleted about once a minute. */
    readonly baseCleanInterval?: number | undefined;
    /** The election by name, instead of `lockId`; 1 to 255 bytes. */
    readonly election?: string | undefined;
    /**
     * A text that others can read while this candidate leads, such as its address. At most 64 KiB. Default:
     * none. Do not put secrets in it: the HTTP answers of other replicas show it.
     */
    readonly meta?: string | undefined;
    /**
     * Takes over only a row that has not changed for a full lease of this candidate's own clock. Default:
     * false. That protects against forward steps of the store's clock and against commits that a promoted
     * standby has lost; each change of leader takes one lease longer. All replicas should use the same value.
     */
    readonly strict?: boolean | undefined;
    /**
     * How long a shutdown waits for jobs in progress, with the lease renewed for them. Default: the larger of
     * 30000 and half a lease. A job that takes longer has only the rest of the lease, which then expires
     * without a release. Kubernetes kills a pod after 30 s by default: set its
     * `terminationGracePeriodSeconds` to more than `drainMs`.
     */
    readonly drainMs?: number | undefined;
    /** Where warnings go; `false` turns them off. Default: Nest's `Logger`, or `console` without Nest. */
    readonly logger?: LeaderLogger | false | undefined;
}

/** The options of `forRoot()`. Without `client` and `store` the module uses TypeORM's `DataSource`. */
export interface LeaderElectorModuleOptions extends LeaderElectorConfig {
    /** A client for PostgreSQL: a `Pool` of `pg`, PGlite, anything with `query(text, values)`. */
    readonly client?: (Queryable & PostgresListener) | undefined;
    /** A store for leases outside of PostgreSQL. `schema` and `createTableOnInit` are then ignored. */
    readonly store?: Store | undefined;
}

/** A class for `useClass` and `useExisting` of `forRootAsync`. */
export interface LeaderElectorOptionsFactory {
    createLeaderElectorOptions(): LeaderElectorModuleOptions | Promise<LeaderElectorModuleOptions>;
}

const LEASE = 10_000;
const RENEWAL = 3_000;
const JITTER = 2_000;
const DRAIN = 30_000;

/** The name of a configuration's election. */
export function electionOf(config: LeaderElectorConfig): string {
    return config.election ?? String(config.lockId ?? 1);
}

/** The length of a configuration's lease. */
export function leaseOf(config: LeaderElectorConfig): number {
    return config.leaseDuration ?? LEASE;
}

/** How long a shutdown waits for jobs in progress. */
export function drainOf(config: LeaderElectorConfig): number {
    const { drainMs = Math.max(DRAIN, leaseOf(config) / 2) } = config;
    if (typeof drainMs === "number" && drainMs >= 0 && drainMs < 1e12) return drainMs;
    return invalid(`\`drainMs\` is ${String(drainMs)}; give a number of milliseconds, at least 0 and less ` +
        "than 10^12");
}

/** The settings in which two candidates for one election must agree, with defaults filled in. */
export function settingsOf(config: LeaderElectorConfig) {
    const { leaseMs, renewMs, jitterMs } = timesOf(config);
    const { instanceId, meta, strict = false, logger } = config;
    const times = { leaseDuration: leaseMs, renewalInterval: renewMs, jitterRange: jitterMs };
    return { ...times, instanceId, meta, strict, drainMs: drainOf(config), logger };
}

type Times = Pick<ElectorOptions, "leaseMs" | "renewMs" | "jitterMs">;

/**
 * The elector's times. Renewals are made to fit the lease: `nest-leader-election` advised a lease "2-3x
 * longer than renewalInterval", but a third attempt must fit before the lease ends. More frequent renewals do
 * no harm.
 */
export function timesOf(config: LeaderElectorConfig): Times {
    const leaseMs = leaseOf(config);
    const longest = config.renewalInterval === undefined ? leaseMs * 0.3 : leaseMs / 2;
    const renewMs = Math.min(config.renewalInterval ?? RENEWAL, longest);
    return { leaseMs, renewMs, jitterMs: Math.min(config.jitterRange ?? JITTER, (renewMs * 2) / 3) };
}
