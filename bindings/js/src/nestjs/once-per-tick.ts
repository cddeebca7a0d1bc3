import "reflect-metadata";
import type { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import type { Ticking } from "./metadata.js";
import { ONCE_PER_TICK } from "./metadata.js";
import { electionsOf } from "./owners.js";
import { NotRun } from "./refusal.js";
import type { CronOptions } from "./ticks.js";
import { isMarked } from "./ticks.js";
import type { Method } from "./wrapping.js";
import { fullName, methodUnder, replaced, standing } from "./wrapping.js";

/** What `@Cron` of `@nestjs/schedule` says about a method. */
const CRON_OPTIONS = "SCHEDULE_CRON_OPTIONS";

/** What `@Cron` says about a method, if it stands on it. */
export function cronOf(method: object): CronOptions | undefined {
    return Reflect.getMetadata(CRON_OPTIONS, method) as CronOptions | undefined;
}

/**
 * For methods under `@Cron`: each tick runs on exactly one node, even when leadership moves. The leader runs
 * it if there is one; else another node does, half a second later. A tick is claimed in the store before it
 * runs, so a node that crashes in the middle of it is not replaced for that tick.
 *
 * Nodes must agree on the job's `name`, whatever their builds call its class, and on the election, by default
 * that of `forRoot()`. A call by hand runs where this node leads, and resolves to a `NotRun` elsewhere.
 * Without an application of Nest, and without `forRoot()`, the same holds as for `@LeaderOnly()`.
 */
export function OncePerTick(options: Ticking): MethodDecorator {
    return (target, key, descriptor) => {
        const method = fullName(target, key);
        checkName(options, method);
        const found = methodUnder("OncePerTick", target, key, descriptor as PropertyDescriptor | undefined);
        const wrapper = replaced(found, (original) => {
            // Whether a decorator above, which calls this, was seen to pass on what cron calls it with.
            let passes = false;
            return async function (this: object | undefined, ...values: unknown[]): Promise<unknown> {
                const elections = electionsOf(this, "OncePerTick", method);
                if (!elections) return original.apply(this, values);
                const first = standing(this, key) ?? wrapper;
                // `@Cron` may stand above that decorator.
                const cron = cronOf(wrapper) ?? cronOf(first) ?? {};
                passes ||= isMarked(cron, values);
                const made = { original, cron, passes: passes || first === wrapper, self: this, values };
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
    /** Whether what cron passes would have got here. */
    readonly passes: boolean;
    readonly self: object | undefined;
    readonly values: unknown[];
}

/** Runs a tick that is ours, or what was called by hand where this node leads. */
async function call(elections: LeaderElections, options: Ticking, made: Call): Promise<unknown> {
    const { original, cron, passes, self, values } = made;
    const service = elections.get(options.election);
    const { ticks } = elections.application;
    if (!ticks.isTick(cron, values, passes)) {
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

/** Two builds of one application may call a class differently, and would each run a tick named after it. */
function checkName(options: unknown, method: string): void {
    const { name } = (options ?? {}) as { name?: unknown };
    if (typeof name === "string" && name !== "") return;
    const was = JSON.stringify(method);
    invalid(`@OncePerTick() on ${method} has no \`name\`; it must be the same in all builds. ` +
        `Write @OncePerTick({ name: ${was} }) to keep the former default, or any name once no older ` +
        "replica runs");
}
