import { RaftMachine } from "./core.js";
import type { RaftqOptions } from "./options.js";

/** The founding list of these options. */
export function founders(options: RaftqOptions): { id: string; isWitness: boolean }[] | undefined {
    return options.members?.map((member) => {
        return typeof member === "string"
            ? { id: member, isWitness: false }
            : { id: member.id, isWitness: member.witness ?? false };
    });
}

/** A machine of these options. */
export function machineOf(
    options: RaftqOptions, id: string, state: Uint8Array | undefined, now: number,
): RaftMachine {
    const [random] = crypto.getRandomValues(new BigUint64Array(1)) as unknown as [bigint];
    const machineOptions = {
        id,
        // From 1 to 2^53 - 1.
        incarnation: Number(random >> 11n) || 1,
        seed: options.seed ?? random,
        heartbeatMs: options.heartbeat,
        electionMinMs: options.minimumElectionTime,
        electionMaxMs: options.maximumElectionTime,
        priority: options.priority ?? 0,
        isWitness: options.witness ?? false,
        members: founders(options),
    };
    return new RaftMachine(machineOptions, state, now);
}
