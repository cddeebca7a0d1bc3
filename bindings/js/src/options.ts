import type { Clock } from "./clock.js";
import type { MachineOptions } from "./core.js";
import { ElectorError } from "./errors.js";
import type { Store } from "./store.js";

/** Where an elector logs; `console` fits. Without a logger nothing is logged. */
export interface Logger {
    debug?(message: string): void;
    info?(message: string): void;
    warn?(message: string): void;
    error?(message: string): void;
}

/** Logs a message. An exception of the logger must neither end a term nor keep a change from its readers. */
export function tell(logger: Logger | undefined, level: keyof Logger, message: string): void {
    try {
        logger?.[level]?.(message);
    } catch {
        // There is no other place to report it.
    }
}

/** Options of the machine that the elector sets itself. */
type Own = "candidate" | "incarnation" | "seed";

/**
 * The options of an {@link Elector}. Times are in milliseconds. All but `election` and `store` have defaults.
 * The constructor throws `INVALID_OPTIONS`, with the numbers, if a value is out of bounds or the times leave
 * no room for three renewal attempts before the soft deadline.
 */
export interface ElectorOptions extends Omit<MachineOptions, Own> {
    /**
     * Where leases are kept: `postgresStore`, `sqliteStore` or `memoryStore`. Candidates of one election
     * exclude each other only if all of them use the same table.
     */
    readonly store: Store;
    /**
     * This candidate's name in logs and rows, 1 to 255 bytes. Default: `host-pid`, or a random name where
     * there is no process. Two candidates may share a name: a random number distinguishes them.
     */
    readonly candidate?: string | undefined;
    /**
     * Where elections, losses and faults of the store are logged. Default: nowhere. A logger that blocks also
     * blocks renewals, and can so end a term.
     */
    readonly logger?: Logger | undefined;
    /**
     * A clock for tests. Default: `systemClock`. With a clock that runs slower than real time two candidates
     * can lead at once.
     */
    readonly clock?: Clock | undefined;
}

const TIMES = ["leaseMs", "renewMs", "jitterMs", "retryMs", "marginMs", "graceMs"] as const;

function refuse(message: string): never {
    throw new ElectorError("INVALID_OPTIONS", message);
}

/** Refuses a value that is not a number of milliseconds. */
export function checkDuration(name: string, value: unknown): void {
    if (typeof value === "number" && value >= 0 && value < 1e12) return;
    refuse(`\`${name}\` is ${String(value)}; give a number of milliseconds, at least 0 and less than 10^12`);
}

/** Refuses what only JavaScript can get wrong; the machine checks the rest. */
export function checkOptions(options: ElectorOptions): void {
    if (typeof options.election !== "string") refuse("`election` is missing; give the election's name");
    for (const name of ["election", "candidate", "meta"] as const) {
        const value: unknown = options[name];
        if (value === undefined) continue;
        if (typeof value !== "string") refuse(`\`${name}\` is not a string; give a string`);
        // Stores would keep a different text or refuse it, and some clients abort the process.
        const at = value.search(/\p{Surrogate}/u);
        if (at < 0) continue;
        refuse(`\`${name}\` has half a character (a lone surrogate) at index ${at}; cut the text elsewhere`);
    }
    for (const name of TIMES) {
        if (options[name] !== undefined) checkDuration(name, options[name]);
    }
    const store: unknown = options.store;
    if (typeof (store as Store | undefined)?.execute !== "function") {
        refuse("`store` is missing; make one with postgresStore, sqliteStore or memoryStore");
    }
}

/** The machine's options, from those of the elector. */
export function machineOptions(options: ElectorOptions, seed: bigint): MachineOptions {
    return { ...options, candidate: options.candidate ?? defaultCandidate(), incarnation: random64(), seed };
}

/** A random number of 64 bits. */
export function random64(): bigint {
    return crypto.getRandomValues(new BigUint64Array(1))[0] as bigint;
}

interface Process {
    readonly pid?: number;
    readonly env?: Record<string, string | undefined>;
    getBuiltinModule?(name: string): { hostname?(): string } | undefined;
}

/** `host-pid`, which tells an operator where to look; where there is no process, a random name. */
function defaultCandidate(): string {
    const process = (globalThis as { process?: Process }).process;
    if (typeof process?.pid !== "number" || process.pid < 1) return `js-${crypto.randomUUID().slice(0, 8)}`;
    let host: string | undefined;
    try {
        host = process.getBuiltinModule?.("node:os")?.hostname?.() ?? process.env?.["HOSTNAME"];
    } catch {
        // Deno needs a permission to read the host's name.
    }
    return `${(host || "host").slice(0, 200)}-${process.pid}`;
}
