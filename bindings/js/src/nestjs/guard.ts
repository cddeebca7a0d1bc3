import type { CanActivate, ExecutionContext, Type } from "@nestjs/common";
import { Inject, Injectable, mixin } from "@nestjs/common";
import "reflect-metadata";
import { LeaderElections } from "./elections.js";
import type { Decorated } from "./metadata.js";
import { ELECTION } from "./metadata.js";
import { unavailable } from "./unavailable.js";

/**
 * A guard for controllers and routes: requests pass on the leader only; elsewhere the answer is 503 with the
 * leader's name and `meta`. The election is that of `LeaderGuard.for('name')`, else that of
 * `@LeaderOnly('name')` on the method or class, else that of `forRoot()`.
 */
@Injectable()
export class LeaderGuard implements CanActivate {
    /** The election of a guard made by `for()`. */
    protected readonly election: string | undefined = undefined;

    constructor(@Inject(LeaderElections) private readonly elections: LeaderElections) {}

    /** A guard for an election of `forFeature()`. */
    static for(election: string): Type<CanActivate> {
        class GuardOfElection extends LeaderGuard {
            protected override readonly election = election;
        }
        return mixin(GuardOfElection);
    }

    canActivate(context: ExecutionContext): boolean {
        const said = [context.getHandler(), context.getClass()]
            .map((target) => Reflect.getMetadata(ELECTION, target) as Decorated | undefined)
            .find((decorated) => decorated?.election !== undefined);
        const service = this.elections.get(this.election ?? said?.election);
        if (!service.amILeader()) throw unavailable(service);
        return true;
    }
}
