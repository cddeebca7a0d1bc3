import type { DeposedReason } from "../core.js";
import { tell } from "../options.js";
import type { LeaderLogger } from "./config.js";
import { nestCommon } from "./optional.js";

/** The maximum number of elections named in one line. */
const MOST_NAMED = 5;

let common: LeaderLogger | undefined;
const loggers = new WeakMap<LeaderLogger, LeaderLogger>();
/** The elections whose terms ended in this turn of the event loop, by message. */
const lost = new WeakMap<LeaderLogger, Map<string, string[]>>();

/** Nest's `Logger`, or the console without Nest. */
export function defaultLogger(): LeaderLogger {
    if (common) return common;
    const nest = nestCommon<{ Logger: new (context: string) => LeaderLogger }>();
    return (common = nest ? new nest.Logger("LeaderElector") : console);
}

/**
 * Wraps a logger: only warnings and errors are logged, and its exceptions are caught. All candidates with one
 * logger share the wrapper, so that a fault of their store is reported once.
 */
export function loggerOf(logger: LeaderLogger): LeaderLogger {
    const known = loggers.get(logger);
    if (known) return known;
    const made: LeaderLogger = {
        warn: (message) => tell(logger, "warn", message),
        error: (message) => tell(logger, "error", message),
    };
    loggers.set(logger, made);
    return made;
}

/** Warns that a term has ended; one line names all elections whose terms ended at once. */
export function warnOfLoss(logger: LeaderLogger, election: string, reason: DeposedReason, why: string): void {
    const losses = lost.get(logger) ?? new Map<string, string[]>();
    if (!lost.has(logger)) {
        lost.set(logger, losses);
        queueMicrotask(() => {
            lost.delete(logger);
            for (const [message, elections] of losses) logger.warn(`${named(elections)}: ${message}`);
        });
    }
    const message = `no longer the leader (${reason})${why}`;
    losses.set(message, [...(losses.get(message) ?? []), JSON.stringify(election)]);
}

function named(elections: readonly string[]): string {
    const [first, ...more] = elections;
    if (more.length === 0) return `election ${first}`;
    const names = elections.slice(0, MOST_NAMED).join(", ");
    const rest = elections.length - MOST_NAMED;
    return `elections ${names}${rest > 0 ? ` and ${rest} more` : ""}`;
}
