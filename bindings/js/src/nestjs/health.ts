import { Inject, Injectable } from "@nestjs/common";
import { ModulesContainer } from "@nestjs/core";
import { oneLine } from "../errors.js";
import { LeaderElections } from "./elections.js";

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

/**
 * A health indicator for `@nestjs/terminus` 10 and newer. An election is up, on leaders and others, while
 * the store that decides it answers.
 */
@Injectable()
export class LeaderHealthIndicator {
    constructor(
        @Inject(LeaderElections) private readonly elections: LeaderElections,
        @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    ) {}

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
        if (lastError && isTerminus10(this.modules)) throw new Down(`${key} is down`, health);
        return health;
    }
}

/** What terminus 10 knows for the error of an indicator. */
class Down extends Error {
    readonly isHealthCheckError = true;
    constructor(message: string, readonly causes: object) {
        super(message);
    }
}

/**
 * Terminus 10 takes for up whatever an indicator returns. It is found by what its classes do, not imported:
 * a bundler would take in all of it, and not all bundlers can.
 */
function isTerminus10(modules: ModulesContainer): boolean {
    for (const { providers } of modules.values()) {
        const classes = [...providers.values()].flatMap(({ metatype }) => {
            return typeof metatype === "function" && metatype.prototype ? [metatype] : [];
        });
        const has = (method: string) => {
            return classes.filter(({ prototype }) => Object.hasOwn(prototype as object, method));
        };
        if (has("executeHealthIndicators").length === 0) continue;
        // Since version 11 there is a service for indicators, which needs nothing itself.
        return !has("check").some(({ length }) => length === 0);
    }
    return false;
}
