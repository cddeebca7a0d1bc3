import "reflect-metadata";
import { electionsOf } from "./elections.js";
import type { Ticking } from "./metadata.js";
import { ONCE_PER_TICK } from "./metadata.js";
import { fullName, replaced } from "./wrapping.js";

/** What `@Cron` of `@nestjs/schedule` says about a method. */
export const CRON_OPTIONS = "SCHEDULE_CRON_OPTIONS";

/**
 * For methods under `@Cron`: each tick runs on exactly one node, even when leadership moves. The leader runs
 * it if there is one; else another node does, half a second later. A tick is claimed in the store before it
 * runs, so a node that crashes in the middle of it is not replaced for that tick.
 *
 * The election, by default that of `forRoot()`, and the job's name, by default `Class.method`, are what nodes
 * must agree on.
 */
export function OncePerTick(options: Ticking = {}): MethodDecorator {
    return (target, key, descriptor) => {
        const method = fullName(target, key);
        const wrapper = replaced(descriptor as PropertyDescriptor, (original) => {
            return async function (this: object, ...values: unknown[]): Promise<unknown> {
                const elections = electionsOf(this, "OncePerTick", method);
                const tick = elections.ticks.now(Reflect.getMetadata(CRON_OPTIONS, wrapper), method);
                const job = jobOf(options, this, key);
                const isOurs = await elections.ticks.claim(job, tick, elections.get(options.election));
                return isOurs ? original.apply(this, values) : undefined;
            };
        });
        Reflect.defineMetadata(ONCE_PER_TICK, options, wrapper);
    };
}

/** The name of a job. Classes that inherit one method have a job each. */
export function jobOf({ name }: Ticking, instance: object, key: string | symbol): string {
    return name ?? fullName(instance, key);
}
