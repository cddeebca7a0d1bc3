import { SetMetadata, UseGuards } from "@nestjs/common";
import "reflect-metadata";
import type { DeposedReason } from "../core.js";
import type { Term } from "../run.js";
import { LeaderGuard } from "./guard.js";
import { ELECTION, ON_DEPOSED, ON_ELECTED } from "./metadata.js";
import { electionsOf } from "./owners.js";
import { NotRun } from "./refusal.js";
import { unavailable } from "./unavailable.js";
import type { Method } from "./wrapping.js";
import { fullName, methodUnder, replaced, standing } from "./wrapping.js";

/** What a method under `@OnElected()` is called with. */
export interface ElectedTerm extends Term {
    readonly election: string;
}

/** What a method under `@OnDeposed()` is called with. */
export interface DeposedTerm {
    readonly election: string;
    readonly token: bigint;
    readonly reason: DeposedReason;
}

/** Code that a compiler has rewritten has no such functions; what they return is then told otherwise. */
const AsyncFunction = (async () => undefined).constructor;

/**
 * Only the leader runs this method. Elsewhere a call does nothing and returns a `NotRun`, and a route of a
 * controller answers 503. On a controller's class: all of its routes. Without a name: the election of
 * `forRoot()`. In a process that has made no application of Nest, as in a unit test of a plain object, a call
 * runs it. An application without `forRoot()` runs it nowhere: a call throws.
 */
export function LeaderOnly(election?: string): ClassDecorator & MethodDecorator {
    return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
        if (key === undefined) {
            SetMetadata(ELECTION, { election })(target as () => void);
            UseGuards(LeaderGuard)(target as () => void);
            return;
        }
        const method = fullName(target, key);
        const found = methodUnder("LeaderOnly", target, key, descriptor);
        // Some compilers tell what a method returns, and some keep it `async`.
        const returns: unknown = Reflect.getMetadata("design:returntype", target, key);
        const wrapper = replaced(found, (original) => {
            const isAsync = returns === Promise || original instanceof AsyncFunction;
            const isRoute = (called?: Method) => called && Reflect.hasMetadata("path", called);
            return function (this: object | undefined, ...values: unknown[]): unknown {
                const elections = electionsOf(this, "LeaderOnly", method);
                if (!elections) return original.apply(this, values);
                const service = elections.get(election);
                if (service.amILeader()) return service.jobs.track(method, original.apply(this, values));
                // Decorators above this one say it of the function in its place, or of one of their own.
                if (isRoute(wrapper) || isRoute(standing(this, key))) throw unavailable(service);
                const refusal = new NotRun(service);
                return isAsync ? Promise.resolve(refusal) : refusal;
            };
        });
        Reflect.defineMetadata(ELECTION, { election }, wrapper);
    };
}

/**
 * Called at each election of this node, with an {@link ElectedTerm}. A term whose signal was aborted since it
 * might end soon is given up, even if the store answers in the last moment: the next one calls it again.
 */
export function OnElected(election?: string): MethodDecorator {
    return said("OnElected", ON_ELECTED, election);
}

/** Called at the end of each term of this node, with a {@link DeposedTerm}. */
export function OnDeposed(election?: string): MethodDecorator {
    return said("OnDeposed", ON_DEPOSED, election);
}

function said(decorator: string, about: string, election: string | undefined): MethodDecorator {
    return (target, key, descriptor) => {
        SetMetadata(about, { election })(target, key, methodUnder(decorator, target, key, descriptor));
    };
}
