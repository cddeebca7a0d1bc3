import { Inject, Injectable } from "@nestjs/common";
import { ModulesContainer } from "@nestjs/core";
import { oneLine } from "../errors.js";
import { LeaderElections } from "./elections.js";

/** The health of one election, as terminus expects it. */
export type LeaderHealth<Key extends string> = Record<Key, {
    readonly status: "up" | "down";
    readonly election: string;
    readonly leading: boolean;
    /** The leader that this node last saw in the store. */
    readonly leader?: string;
    /** Why the store does not answer. */
    readonly message?: string;
}>;

/**
 * A health indicator for `@nestjs/terminus` 10 and newer. An election is up, on the leader and on other
 * nodes, while its store answers.
 */
@Injectable()
export class LeaderHealthIndicator {
    constructor(
        @Inject(LeaderElections) private readonly elections: LeaderElections,
        @Inject(ModulesContainer) private readonly modules: ModulesContainer,
    ) {}

    /** Reports on an election of `forFeature()`; without a name, on that of `forRoot()`. */
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

/** The error by which terminus 10 recognizes a failed indicator. */
class Down extends Error {
    readonly isHealthCheckError = true;
    constructor(message: string, readonly causes: object) {
        super(message);
    }
}

/**
 * Whether terminus 10 is in use, which counts any indicator that returns as up. Found by the methods of its
 * classes. An import would make bundlers include the whole package, and some of them cannot.
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
        // From version 11 on, a class with `check()` has a constructor without parameters.
        return !has("check").some(({ length }) => length === 0);
    }
    return false;
}
