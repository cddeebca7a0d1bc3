/** Time and timers. Only tests replace the system's. */
export interface Clock {
    /** Milliseconds since any fixed instant; never goes back. */
    now(): number;
    /** Calls `callback` once, after `ms` milliseconds. */
    setTimeout(callback: () => void, ms: number): unknown;
    /** Cancels a timer. */
    clearTimeout(timer: unknown): void;
}

/** A larger difference between the two clocks counts as a suspend. `Date.now` has whole milliseconds. */
const TOLERANCE_MS = 2;

/**
 * A clock that also counts the time for which the machine was suspended, as far as JavaScript can know.
 *
 * `performance.now()` stops during a suspend on some systems, and `Date.now()` may be set. So this clock
 * follows `performance.now()`, and adds what `Date.now()` has advanced beyond it: a suspend ends trust. A
 * wall clock that is set forward also ends trust, which is safe. Not detected: a suspend during which the
 * wall clock was set back by as much.
 */
export function bootClock(read: { performance(): number; date(): number }): () => number {
    const started = read.performance();
    let apart = read.date() - started;
    let added = 0;
    return () => {
        const steady = read.performance();
        const date = read.date();
        const ahead = date - steady - apart;
        if (ahead > TOLERANCE_MS) {
            // A busy machine may have held the process up between the two readings: that is no suspend, and
            // the first clock has counted it by now.
            const missed = date - read.performance() - apart;
            if (missed > TOLERANCE_MS) {
                added += missed;
                apart += missed;
            }
        } else if (ahead < -TOLERANCE_MS) {
            apart += ahead;
        }
        return steady + added;
    };
}

interface NodeTimer { unref?(): void }

const monotonic = globalThis.performance;
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

/** The clock of this process. Its timers do not keep the process alive. */
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

/** Waits for `done`, until the instant `untilMs` at the latest. Keeps the process alive meanwhile. */
export async function waitUntil(done: Promise<unknown>, clock: Clock, untilMs: number): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
        timer = clock.setTimeout(resolve, Math.max(0, untilMs - clock.now()));
        hold(timer, "alive");
    });
    await Promise.race([done, late]);
    clock.clearTimeout(timer);
}

/** Lets a timer keep the process alive (`"alive"`), or not (`"free"`). */
export function hold(timer: unknown, process: "alive" | "free"): void {
    const handle = timer as { ref?(): void; unref?(): void } | undefined;
    if (process === "alive") handle?.ref?.();
    else handle?.unref?.();
}
