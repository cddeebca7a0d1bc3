import type { ElectorOptions } from "../options.js";
import type { Store } from "../store.js";
import type { Queryable } from "../stores/client.js";
import type { PostgresListener } from "../stores/postgres-pool.js";
import { invalid } from "./invalid.js";

/** Where warnings go: Nest's `Logger`, `console`, or a logger of your own. */
export interface LeaderLogger {
    warn(message: string): void;
    error(message: string): void;
}

/** How to stand for one election. Times are in milliseconds. The first seven are `nest-leader-election`'s. */
export interface LeaderElectorConfig {
    /**
     * How long a lease lasts unless it is renewed; up to 86 400 000. It must leave room for three renewals
     * and a margin of 250 ms: 560 do, and 900 with a `renewalInterval` of half a lease. Default: 10000.
     */
    readonly leaseDuration?: number | undefined;
    /** The latest time from one renewal to the next. More than half a lease counts as half. Default: 3000. */
    readonly renewalInterval?: number | undefined;
    /** How much earlier a renewal may be sent, drawn each time. At most two thirds of it. Default: 2000. */
    readonly jitterRange?: number | undefined;
    /** The election, as a number. Default: 1. */
    readonly lockId?: number | undefined;
    /** The schema of the table `leader_lease`, any identifier. Default: `public`. */
    readonly schema?: string | undefined;
    /** Make the schema and the table where they are missing. Default: true. */
    readonly createTableOnInit?: boolean | undefined;
    /** This candidate's name. Default: `host-pid`. */
    readonly instanceId?: string | undefined;
    /** Without effect: dead rows are removed about once a minute. */
    readonly baseCleanInterval?: number | undefined;
    /** The election by a name, instead of `lockId`. */
    readonly election?: string | undefined;
    /** A text for others to read while this candidate leads, such as its address. At most 64 KiB. */
    readonly meta?: string | undefined;
    /** Take over only what stood unchanged for a full lease of this candidate's own clock. */
    readonly strict?: boolean | undefined;
    /**
     * How long a shutdown waits for jobs that run, with the lease renewed for them. A job that takes longer
     * has what is left of the lease, which is not released and ends by itself. Default: the larger of 30000
     * and half a lease. Kubernetes kills a pod after 30 s by default: give it more than `drainMs`.
     */
    readonly drainMs?: number | undefined;
    /** Where warnings go; `false`: nowhere. Default: Nest's `Logger`, or `console` without Nest. */
    readonly logger?: LeaderLogger | false | undefined;
}

/** What the module is configured with. Without `client` and `store` it uses TypeORM's `DataSource`. */
export interface LeaderElectorModuleOptions extends LeaderElectorConfig {
    /** A client for PostgreSQL: a `Pool` of `pg`, PGlite, anything with `query(text, values)`. */
    readonly client?: (Queryable & PostgresListener) | undefined;
    /** Where leases are kept, if not in PostgreSQL. `schema` and `createTableOnInit` do not count then. */
    readonly store?: Store | undefined;
}

/** For `useClass` and `useExisting` of `forRootAsync`. */
export interface LeaderElectorOptionsFactory {
    createLeaderElectorOptions(): LeaderElectorModuleOptions | Promise<LeaderElectorModuleOptions>;
}

const LEASE = 10_000;
const RENEWAL = 3_000;
const JITTER = 2_000;
const DRAIN = 30_000;

/** The election that a configuration is about. */
export function electionOf(config: LeaderElectorConfig): string {
    return config.election ?? String(config.lockId ?? 1);
}

/** How long a lease lasts with this configuration. */
export function leaseOf(config: LeaderElectorConfig): number {
    return config.leaseDuration ?? LEASE;
}

/** How long a shutdown waits for jobs that run. */
export function drainOf(config: LeaderElectorConfig): number {
    const { drainMs = Math.max(DRAIN, leaseOf(config) / 2) } = config;
    if (typeof drainMs === "number" && drainMs >= 0 && drainMs < 1e12) return drainMs;
    return invalid(`\`drainMs\` is ${String(drainMs)}; give a number of milliseconds`);
}

/** What makes two candidates for one election different, with what is unset filled in. */
export function settingsOf(config: LeaderElectorConfig) {
    const { leaseMs, renewMs, jitterMs } = timesOf(config);
    const { instanceId, meta, strict = false, logger } = config;
    const times = { leaseDuration: leaseMs, renewalInterval: renewMs, jitterRange: jitterMs };
    return { ...times, instanceId, meta, strict, drainMs: drainOf(config), logger };
}

type Times = Pick<ElectorOptions, "leaseMs" | "renewMs" | "jitterMs">;

/**
 * What the elector is told. Renewals are made to fit the lease: "2-3x longer than renewalInterval" was the
 * advice, a third attempt must fit before the lease ends, and more frequent renewals do no harm.
 */
export function timesOf(config: LeaderElectorConfig): Times {
    const leaseMs = leaseOf(config);
    const longest = config.renewalInterval === undefined ? leaseMs * 0.3 : leaseMs / 2;
    const renewMs = Math.min(config.renewalInterval ?? RENEWAL, longest);
    return { leaseMs, renewMs, jitterMs: Math.min(config.jitterRange ?? JITTER, (renewMs * 2) / 3) };
}
