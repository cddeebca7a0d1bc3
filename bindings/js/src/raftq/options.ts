import type { Clock } from "../clock.js";
import { ElectorError } from "../errors.js";
import { isName, shown } from "./names.js";
import type { PersistAgent, RaftNodeId } from "./types.js";

/** One of the first members of a cluster. */
export interface Founder {
    readonly id: RaftNodeId;
    /** Votes and keeps the data, and never leads. Default: false. */
    readonly witness?: boolean;
}

/** The options of a node. Times are in milliseconds. */
export interface RaftqOptions {
    /** From one heartbeat of the leader to the next: 1 to half of `minimumElectionTime`. */
    readonly heartbeat: number;
    /**
     * A node that hears no leader for a time between `minimumElectionTime` and `maximumElectionTime` stands
     * for election. The minimum is at most 60 000, the maximum larger, at most 600 000.
     */
    readonly minimumElectionTime: number;
    readonly maximumElectionTime: number;
    /** Where this node keeps its state, so that a crash or a restart loses nothing. */
    readonly persistAgent: PersistAgent;
    /**
     * The first members of the cluster, at most 64, equal on all of them, with this node among them. Read
     * only while the node has no state. Recommended: without it, nodes that start while they cannot reach
     * each other found two clusters.
     */
    readonly members?: readonly (RaftNodeId | Founder)[] | undefined;
    /** A node of higher priority is handed leadership once it has caught up; 0 to 255. Default: 0. */
    readonly priority?: number | undefined;
    /** Votes and keeps the data, and never leads. Default: false. */
    readonly witness?: boolean | undefined;
    /** A clock for tests. Default: the system's, with the time for which the machine was suspended. */
    readonly clock?: Clock | undefined;
    /** Seeds the election times, for tests. Default: random. */
    readonly seed?: bigint | undefined;
}

/** Options that were checked, with their defaults. */
export interface CheckedOptions extends RaftqOptions {
    readonly members: readonly Required<Founder>[] | undefined;
    readonly priority: number;
    readonly witness: boolean;
}

/** Throws an error about an option. */
export function refuse(message: string): never {
    throw new ElectorError("INVALID_OPTIONS", message);
}

/** Refuses what is no object, and names that are no options: a misspelt one would have no effect. */
export function checkNames(options: unknown, names: readonly string[]): asserts options is object {
    if (typeof options !== "object" || options === null) refuse("the options are missing; give an object");
    const unknown = Object.keys(options).find((name) => !names.includes(name));
    const all = names.join(", ");
    if (unknown !== undefined) refuse(`there is no option \`${unknown}\`; the options are ${all}`);
}

/** A copy of the options. Refuses what only JavaScript can get wrong; the machine checks the rest. */
export function checked(options: RaftqOptions): CheckedOptions {
    checkNames(options, NAMES);
    const { persistAgent, priority = 0, witness = false, clock, seed } = options;
    for (const name of ["persist", "restore"] as const) {
        const agent: Partial<PersistAgent> | undefined = persistAgent;
        if (typeof agent?.[name] === "function") continue;
        refuse(`\`persistAgent.${name}\` is no function; give an object with persist() and restore()`);
    }
    if (!Number.isInteger(priority) || priority < 0 || priority > 255) {
        refuse(`\`priority\` is ${shown(priority)}; give a whole number from 0 to 255`);
    }
    if (seed !== undefined && typeof seed !== "bigint") refuse(`\`seed\` is ${shown(seed)}; give a bigint`);
    for (const name of ["now", "setTimeout", "clearTimeout"] as const) {
        if (clock === undefined || typeof clock[name] === "function") continue;
        refuse(`\`clock.${name}\` is no function; give a clock, or none`);
    }
    const members = options.members === undefined ? undefined : checkedMembers(options.members);
    return {
        heartbeat: checkedTime(options, "heartbeat"),
        minimumElectionTime: checkedTime(options, "minimumElectionTime"),
        maximumElectionTime: checkedTime(options, "maximumElectionTime"),
        persistAgent, members, priority, witness: checkedWitness(witness), clock, seed,
    };
}

const NAMES = ["heartbeat", "minimumElectionTime", "maximumElectionTime", "persistAgent", "members",
    "priority", "witness", "clock", "seed"];

type Time = "heartbeat" | "minimumElectionTime" | "maximumElectionTime";

function checkedTime(options: RaftqOptions, name: Time): number {
    const value: unknown = options[name];
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 1e12) return Number(value);
    return refuse(`\`${name}\` is ${shown(value)}; give a whole number of milliseconds`);
}

function checkedWitness(value: unknown): boolean {
    return typeof value === "boolean" ? value : refuse(`\`witness\` is ${shown(value)}; give true or false`);
}

function checkedMembers(members: unknown): Required<Founder>[] {
    if (!Array.isArray(members)) return refuse("`members` is no array; give the ids of the first members");
    return (members as unknown[]).map((member) => {
        const founder: unknown = typeof member === "object" && member !== null ? member : { id: member };
        const { id, witness = false } = founder as { id?: unknown; witness?: unknown };
        if (isName(id)) return { id, witness: checkedWitness(witness) };
        const found = id === undefined ? "a member without an id" : shown(id);
        return refuse(`\`members\` has ${found}; give ids, texts of 1 to 64 bytes`);
    });
}
