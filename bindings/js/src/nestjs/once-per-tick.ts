import "reflect-metadata";
import type { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import type { Ticking } from "./metadata.js";
import { ONCE_PER_TICK } from "./metadata.js";
import { electionsOf } from "./owners.js";
import { NotRun } from "./refusal.js";
import type { CronArguments, CronOptions } from "./ticks.js";
import { isMarked } from "./ticks.js";
import type { Method } from "./wrapping.js";
import { fullName, methodUnder, outermost, replaced } from "./wrapping.js";

/** The metadata key of `@Cron` in `@nestjs/schedule`. */
const CRON_OPTIONS = "SCHEDULE_CRON_OPTIONS";

/** The options of `@Cron` on a method, if it has that decorator. */
export function cronOf(method: object): CronOptions | undefined {
    return Reflect.getMetadata(CRON_OPTIONS, method) as CronOptions | undefined;
}

/**
 * Runs each tick of a method under `@Cron` on exactly one node, even when leadership moves. The leader runs
 * the tick if there is one; else another node does, half a second later. A tick is claimed in the store
 * before it runs, so no other node runs the tick of a node that crashed during it.
 *
 * All nodes must use the same `name`, whatever their builds call the class, and the same election (default:
 * that of `forRoot()`). With different names or elections a tick runs once for each of them. If you call the
 * method yourself, it runs if this node leads, and else resolves to a `NotRun`. Without a Nest application,
 * and without `forRoot()`, calls behave as those under `@LeaderOnly()`.
 */
export function OncePerTick(options: Ticking): MethodDecorator {
    return (target, key, descriptor) => {
        const method = fullName(target, key);
        checkName(options, method);
        const found = methodUnder("OncePerTick", target, key, descriptor as PropertyDescriptor | undefined);
        const wrapper = replaced(found, (original) => {
            // Whether a decorator above this one was seen to pass on the arguments of cron's call.
            let passesOn = false;
            return async function (this: object | undefined, ...values: unknown[]): Promise<unknown> {
                const elections = electionsOf(this, "OncePerTick", method);
                if (!elections) return original.apply(this, values);
                const first = outermost(this, key) ?? wrapper;
                // `@Cron` may be above that decorator.
                const cron = cronOf(wrapper) ?? cronOf(first) ?? {};
                passesOn ||= isMarked(cron, values);
                const passing: CronArguments = passesOn || first === wrapper ? "passed on" : "maybe lost";
                const made = { original, cron, passing, self: this, values };
                const run = call(elections, options, made);
                return elections.get(options.election).jobs.track(options.name, run);
            };
        });
        Reflect.defineMetadata(ONCE_PER_TICK, options, wrapper);
    };
}

interface Call {
    readonly original: Method;
    readonly cron: CronOptions;
    /** Whether the arguments of cron's call reach this function. */
    readonly passing: CronArguments;
    readonly self: object | undefined;
    readonly values: unknown[];
}

/** Runs a tick that this node has claimed, or a call of the application's own if this node leads. */
async function call(elections: LeaderElections, options: Ticking, made: Call): Promise<unknown> {
    const { original, cron, passing, self, values } = made;
    const service = elections.get(options.election);
    const { ticks } = elections.application;
    if (!ticks.isTick(cron, values, passing)) {
        return service.amILeader() ? original.apply(self, values) : new NotRun(service);
    }
    const tick = await ticks.now(options.name, cron, service);
    try {
        const isOurs = await ticks.claim(options.name, tick, service);
        return isOurs ? await original.apply(self, []) : new NotRun(service);
    } finally {
        ticks.ended(options.name, service);
    }
}

/**
 * Refuses a job without a name. Two builds may name a class differently, and each would run a tick that is
 * named after it.
 */
function checkName(options: unknown, method: string): void {
    const { name } = (options ?? {}) as { name?: unknown };
    if (typeof name === "string" && name !== "") return;
    const was = JSON.stringify(method);
    invalid(`@OncePerTick() on ${method} has no \`name\`, by which all builds claim a tick. ` +
        `Write @OncePerTick({ name: ${was} }), which was the default before, or choose any name once no ` +
        "older replica runs");
}
