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
import { fullName, methodUnder, outermost, replaced } from "./wrapping.js";

/** The argument of a method under `@OnElected()`. */
export interface ElectedTerm extends Term {
    readonly election: string;
}

/** The argument of a method under `@OnDeposed()`. */
export interface DeposedTerm {
    readonly election: string;
    readonly token: bigint;
    readonly reason: DeposedReason;
}

/**
 * The class of `async` functions. Compilers may rewrite them; then the metadata says what the method returns.
 */
const AsyncFunction = (async () => undefined).constructor;

/**
 * Runs the method on the leader only. On other nodes a call does nothing and returns a `NotRun` (a promise of
 * one if the method is `async`), and a route of a controller answers 503. On a controller's class: guards all
 * of its routes. `election`: a name of `forFeature()`; default: the election of `forRoot()`. An unknown name
 * is refused at the start.
 *
 * The call checks leadership when it begins. A term can end while the method runs, so a long method should
 * check `workForMs`, or use `runAsLeader()` or `guard()`.
 *
 * In a process that has made no Nest application, as in a unit test of a plain object, a call runs the
 * method. In an application without `forRoot()` a call throws.
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
        // Some compilers emit the return type as metadata, and some keep `async`.
        const returns: unknown = Reflect.getMetadata("design:returntype", target, key);
        const wrapper = replaced(found, (original) => {
            const isAsync = returns === Promise || original instanceof AsyncFunction;
            const isRoute = (called?: Method) => called && Reflect.hasMetadata("path", called);
            return function (this: object | undefined, ...values: unknown[]): unknown {
                const elections = electionsOf(this, "LeaderOnly", method);
                if (!elections) return original.apply(this, values);
                const service = elections.get(election);
                if (service.amILeader()) return service.jobs.track(method, original.apply(this, values));
                // Decorators above this one set the route's metadata on this wrapper, or on a function that
                // replaced it.
                if (isRoute(wrapper) || isRoute(outermost(this, key))) throw unavailable(service);
                const refusal = new NotRun(service);
                return isAsync ? Promise.resolve(refusal) : refusal;
            };
        });
        Reflect.defineMetadata(ELECTION, { election }, wrapper);
    };
}

/**
 * Calls the method, with an {@link ElectedTerm}, each time this node is elected. `election`: a name of
 * `forFeature()`; default: the election of `forRoot()`. The term's `signal` is aborted at the soft deadline;
 * the method must then return. After that abort the term is given up, even if the store answers in time, and
 * the method is called again in the next term.
 */
export function OnElected(election?: string): MethodDecorator {
    return eventDecorator("OnElected", ON_ELECTED, election);
}

/**
 * Calls the method, with a {@link DeposedTerm}, when a term of this node ends. `election`: a name of
 * `forFeature()`; default: the election of `forRoot()`.
 */
export function OnDeposed(election?: string): MethodDecorator {
    return eventDecorator("OnDeposed", ON_DEPOSED, election);
}

function eventDecorator(decorator: string, about: string, election: string | undefined): MethodDecorator {
    return (target, key, descriptor) => {
        SetMetadata(about, { election })(target, key, methodUnder(decorator, target, key, descriptor));
    };
}
