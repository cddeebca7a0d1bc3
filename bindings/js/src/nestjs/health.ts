import { Inject, Injectable } from "@nestjs/common";
import { oneLine } from "../errors.js";
import { LeaderElections } from "./elections.js";
import { terminus as loaded } from "./optional.js";

/** What terminus is told of one election. */
export type LeaderHealth<Key extends string> = Record<Key, {
    readonly status: "up" | "down";
    readonly election: string;
    readonly leading: boolean;
    /** Who leads, as far as this node knows. */
    readonly leader?: string;
    /** What keeps the store from answering. */
    readonly message?: string;
}>;

interface Terminus {
    readonly HealthIndicatorService?: unknown;
    readonly HealthCheckError?: new (message: string, causes: unknown) => Error;
}

/**
 * A health indicator for `@nestjs/terminus` 10 and newer. An election is up, on leaders and others, while
 * the store that decides it answers.
 */
@Injectable()
export class LeaderHealthIndicator {
    constructor(@Inject(LeaderElections) private readonly elections: LeaderElections) {}

    /** Without a name: the election of `forRoot()`. */
    isHealthy<Key extends string>(key: Key, election?: string): LeaderHealth<Key> {
        const service = this.elections.get(election);
        const { lastError } = service.elector;
        const leader = service.leader()?.candidate;
        const health = {
            [key]: {
                status: lastError ? "down" : "up",
                election: service.elector.election,
                leading: service.amILeader(),
                ...(leader === undefined ? {} : { leader }),
                ...(lastError ? { message: oneLine(lastError) } : {}),
            },
        } as LeaderHealth<Key>;
        if (lastError) throwOnOldTerminus(key, health);
        return health;
    }
}

/** Before version 11 whatever an indicator returns counts as up. */
function throwOnOldTerminus(key: string, health: object): void {
    const terminus = loaded<Terminus>();
    if (!terminus || terminus.HealthIndicatorService || !terminus.HealthCheckError) return;
    throw new terminus.HealthCheckError(`${key} is down`, health);
}
