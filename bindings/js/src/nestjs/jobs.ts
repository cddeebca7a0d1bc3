import { types } from "node:util";
import { hold, systemClock } from "../clock.js";

/** The longest time that a timer accepts. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The jobs in progress, so that a shutdown can wait for them. */
export class Jobs {
    readonly #running = new Map<Promise<unknown>, string>();
    #idle: (() => void)[] = [];

    /**
     * Counts a job until its promise settles, and returns what the job returned. A job that returned no
     * promise has ended.
     */
    track<T>(name: string, returned: T): T {
        if (!types.isPromise(returned)) return returned;
        this.#running.set(returned, name);
        const over = (): void => {
            this.#running.delete(returned);
            if (this.#running.size > 0) return;
            for (const resolve of this.#idle.splice(0)) resolve();
        };
        returned.then(over, over);
        return returned;
    }

    /** The names of the jobs in progress. */
    get names(): string[] {
        return [...new Set(this.#running.values())];
    }

    /**
     * Waits until no job is in progress, for `ms` milliseconds at most. Keeps the process alive meanwhile.
     */
    async settled(ms: number): Promise<void> {
        if (this.#running.size === 0 || ms === 0) return;
        let timer: unknown;
        const late = new Promise<void>((resolve) => {
            timer = systemClock.setTimeout(resolve, Math.min(ms, LONGEST_TIMER_MS));
            hold(timer, "alive");
        });
        await Promise.race([late, new Promise<void>((resolve) => this.#idle.push(resolve))]);
        systemClock.clearTimeout(timer);
    }
}
