import { ElectorError, oneLine } from "../errors.js";
import type { Emitted, UnsubscribeFunc } from "./types.js";

type Listener = (message: never) => unknown;

/** The listeners of a node. */
export class Bus {
    readonly #listeners = new Map<string, Set<Listener>>();

    /** A bus for these events. */
    constructor(events: readonly string[]) {
        for (const event of events) this.#listeners.set(event, new Set());
    }

    /** Calls the listener at each event of this name. Throws if there is no such event. */
    subscribe(event: string, listener: Listener): UnsubscribeFunc {
        const listeners = this.#listeners.get(event);
        if (!listeners) {
            const all = [...this.#listeners.keys()].join(", ");
            const why = `there is no event \`${event}\`; the events are ${all}`;
            throw new ElectorError("INVALID_OPTIONS", why);
        }
        if (typeof listener !== "function") {
            throw new ElectorError("INVALID_OPTIONS", `the listener of \`${event}\` is no function`);
        }
        // An object of its own: the same function may be subscribed twice.
        const own: Listener = (message) => listener(message);
        listeners.add(own);
        return () => void listeners.delete(own);
    }

    /** Calls the listeners. What one of them throws, or rejects with later, is logged and goes no further. */
    emit<E extends keyof Emitted>(event: E, message: Emitted[E]): void {
        const listeners = [...this.#listeners.get(event) ?? []];
        if (event === "log" && listeners.length === 0) shout(message as Emitted["log"]);
        for (const listener of listeners) {
            // Another listener may have ended its subscription.
            if (!this.#listeners.get(event)?.has(listener)) continue;
            try {
                const result = listener(message as never);
                if (isThenable(result)) {
                    Promise.resolve(result).catch((error: unknown) => this.#failed(event, error));
                }
            } catch (error) {
                this.#failed(event, error);
            }
        }
    }

    #failed(event: string, error: unknown): void {
        // A listener of `log` that throws would be called without end.
        if (event === "log") return;
        this.emit("log", { message: `a listener of \`${event}\` failed: ${oneLine(error)}`, level: "error" });
    }
}

/** Whether a value is a promise, of whatever kind. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
    return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/** An error that no listener of `log` hears goes to the console. */
function shout({ message, level }: Emitted["log"]): void {
    if (level === "error") console.error(`raftq: ${message}`);
}
