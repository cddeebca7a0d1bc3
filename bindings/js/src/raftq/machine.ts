import { random64 } from "../options.js";
import { RaftMachine } from "./core.js";
import type { CheckedOptions } from "./options.js";

/** A machine of these options. */
export function machineOf(
    options: CheckedOptions, id: string, state: Uint8Array | undefined, now: number,
): RaftMachine {
    const machineOptions = {
        id,
        // From 1 to 2^53 - 1.
        incarnation: Number(random64() >> 11n) || 1,
        seed: options.seed ?? random64(),
        heartbeatMs: options.heartbeat,
        electionMinMs: options.minimumElectionTime,
        electionMaxMs: options.maximumElectionTime,
        priority: options.priority,
        isWitness: options.witness,
        members: options.members?.map((member) => ({ id: member.id, isWitness: member.witness })),
    };
    return new RaftMachine(machineOptions, state, now);
}
