import type { DeposedReason } from "../core.js";
import { tell } from "../options.js";
import type { LeaderLogger } from "./config.js";
import { nestCommon } from "./optional.js";

/** Maximum number of elections named in one line. */
const MOST_NAMED = 5;

let common: LeaderLogger | undefined;
const loggers = new WeakMap<LeaderLogger, LeaderLogger>();
/** The elections that were lost in this turn of the event loop, by what is said of them. */
const lost = new WeakMap<LeaderLogger, Map<string, string[]>>();

/** Nest's `Logger`, or the console without Nest. */
export function defaultLogger(): LeaderLogger {
    if (common) return common;
    const nest = nestCommon<{ Logger: new (context: string) => LeaderLogger }>();
    return (common = nest ? new nest.Logger("LeaderElector") : console);
}

/**
 * What is logged with: warnings and errors only, and nothing that a logger throws gets out. The same for all
 * that share a logger, so that a fault of their store is said once.
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

/** Warns that a term has ended: in one line of all elections that were lost at once. */
export function warnOfLoss(logger: LeaderLogger, election: string, reason: DeposedReason, why: string): void {
    const losses = lost.get(logger) ?? new Map<string, string[]>();
    if (!lost.has(logger)) {
        lost.set(logger, losses);
        queueMicrotask(() => {
            lost.delete(logger);
            for (const [said, elections] of losses) logger.warn(`${named(elections)}: ${said}`);
        });
    }
    const said = `no longer the leader (${reason})${why}`;
    losses.set(said, [...(losses.get(said) ?? []), JSON.stringify(election)]);
}

function named(elections: readonly string[]): string {
    const [first, ...more] = elections;
    if (more.length === 0) return `election ${first}`;
    const names = elections.slice(0, MOST_NAMED).join(", ");
    const rest = elections.length - MOST_NAMED;
    return `elections ${names}${rest > 0 ? ` and ${rest} more` : ""}`;
}
