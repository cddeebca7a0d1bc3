/** Time and timers. Only tests bring their own. */
export interface Clock {
    /** Milliseconds from any origin; only grows. */
    now(): number;
    /** Calls back once, after so many milliseconds. */
    setTimeout(callback: () => void, ms: number): unknown;
    /** Forgets a timer. */
    clearTimeout(timer: unknown): void;
}

/** How far the two clocks may part before it counts as a suspend. `Date.now` has whole milliseconds. */
const TOLERANCE_MS = 2;

/**
 * A clock that also counts the time for which the machine was suspended, as far as JavaScript can know.
 *
 * `performance.now()` stands still in a suspend on some systems, and `Date.now()` may be set. So this
 * follows the first, and whenever the second has gone further, that is added: a suspend ends trust, and so
 * does a wall clock that is set forward, which is safe. What is not seen is a suspend during which the wall
 * clock was set back by as much.
 */
export function bootClock(read: { performance(): number; date(): number }): () => number {
    let apart = read.date() - read.performance();
    let added = 0;
    return () => {
        const steady = read.performance();
        const now = read.date() - steady;
        if (now - apart > TOLERANCE_MS) {
            added += now - apart;
            apart = now;
        } else if (apart - now > TOLERANCE_MS) {
            apart = now;
        }
        return steady + added;
    };
}

interface NodeTimer { unref?(): void }

const monotonic = globalThis.performance;
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

/** This process's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
    now: bootClock({ performance: () => monotonic.now(), date: Date.now }),
    setTimeout(callback, ms) {
        const timer: unknown = startTimer(callback, ms);
        (timer as NodeTimer).unref?.();
        return timer;
    },
    clearTimeout(timer) {
        stopTimer(timer as ReturnType<typeof setTimeout>);
    },
};

/** Waits for something, but no longer than until an instant. Keeps the process alive meanwhile. */
export async function orLater(done: Promise<unknown>, clock: Clock, untilMs: number): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
        timer = clock.setTimeout(resolve, Math.max(0, untilMs - clock.now()));
        hold(timer, true);
    });
    await Promise.race([done, late]);
    clock.clearTimeout(timer);
}

/** Has a timer keep the process alive, or not. */
export function hold(timer: unknown, alive: boolean): void {
    const handle = timer as { ref?(): void; unref?(): void } | undefined;
    if (alive) handle?.ref?.();
    else handle?.unref?.();
}
