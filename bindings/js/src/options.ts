import type { Clock } from "./clock.js";
import type { MachineOptions } from "./core.js";
import { ElectorError } from "./errors.js";
import type { Store } from "./store.js";

/** Where an elector says what goes on. `console` is one; by default nothing is said. */
export interface Logger {
    debug?(message: string): void;
    info?(message: string): void;
    warn?(message: string): void;
    error?(message: string): void;
}

/** Tells a logger. What it throws must neither cost a term nor keep a change from those who wait for it. */
export function tell(logger: Logger | undefined, level: keyof Logger, message: string): void {
    try {
        logger?.[level]?.(message);
    } catch {
        // There is nobody else to tell.
    }
}

/** What the elector itself tells the machine. */
type Own = "candidate" | "incarnation" | "seed";

/** What an {@link Elector} is made with. Times are in milliseconds; what is unset has a default. */
export interface ElectorOptions extends Omit<MachineOptions, Own> {
    /** Where leases are kept: `postgresStore`, `sqliteStore` or `memoryStore`. */
    readonly store: Store;
    /** This candidate's name, 1 to 255 bytes. Default: `host-pid`. Two may share a name. */
    readonly candidate?: string | undefined;
    /** Where to say what goes on. */
    readonly logger?: Logger | undefined;
    /** Only for tests. */
    readonly clock?: Clock | undefined;
}

const TIMES = ["leaseMs", "renewMs", "jitterMs", "retryMs", "marginMs", "graceMs"] as const;

function refuse(message: string): never {
    throw new ElectorError("INVALID_OPTIONS", message);
}

/** Refuses what is no number of milliseconds. */
export function checkDuration(name: string, value: unknown): void {
    if (typeof value === "number" && value >= 0 && value < 1e12) return;
    refuse(`\`${name}\` is ${String(value)}; give a number of milliseconds`);
}

/** Refuses what JavaScript may get wrong; the machine refuses the rest. */
export function checkOptions(options: ElectorOptions): void {
    if (typeof options.election !== "string") refuse("`election` is missing; give the election's name");
    for (const name of ["election", "candidate", "meta"] as const) {
        const value: unknown = options[name];
        if (value === undefined) continue;
        if (typeof value !== "string") refuse(`\`${name}\` is no string`);
        // Stores keep another text instead, or none, and some clients abort the process.
        const at = value.search(/\p{Surrogate}/u);
        if (at >= 0) refuse(`\`${name}\` has half a character at index ${at}; cut the text elsewhere`);
    }
    for (const name of TIMES) {
        if (options[name] !== undefined) checkDuration(name, options[name]);
    }
    const store: unknown = options.store;
    if (typeof (store as Store | undefined)?.execute !== "function") {
        refuse("`store` is missing; make one with postgresStore, sqliteStore or memoryStore");
    }
}

/** What the machine is told of the options. */
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

/** `host-pid`, which tells an operator where to look; elsewhere a name at random. */
function defaultCandidate(): string {
    const process = (globalThis as { process?: Process }).process;
    if (typeof process?.pid !== "number" || process.pid < 1) return `js-${crypto.randomUUID().slice(0, 8)}`;
    let host: string | undefined;
    try {
        host = process.getBuiltinModule?.("node:os")?.hostname?.() ?? process.env?.["HOSTNAME"];
    } catch {
        // Deno asks for a permission to tell it.
    }
    return `${(host || "host").slice(0, 200)}-${process.pid}`;
}
