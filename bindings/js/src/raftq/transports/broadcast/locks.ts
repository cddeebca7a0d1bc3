import { ElectorError } from "../../../errors.js";
import type { RaftNodeId } from "../../types.js";

/** How long a lock is waited for: nodes that watch it take it for a moment when it is released. */
const LOCK_MS = 5_000;

/**
 * The Web Locks of the tabs and workers of a channel: each holds one, named after the id of its node, which
 * the browser releases when it ends in any way. Browsers have them in secure contexts only. Without them no
 * lock is held, and no end is noticed.
 */
export class TabLocks {
    readonly #manager = (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
    readonly #prefix: string;

    constructor(channel: string) {
        this.#prefix = `${JSON.stringify(["elector-wasm/raftq", channel])} `;
    }

    /**
     * Holds the lock of a node until this tab or worker ends or the signal is aborted. Rejects with `BUSY` if
     * another tab or worker has the id.
     */
    hold(id: RaftNodeId, signal: AbortSignal): Promise<void> {
        return new Promise((resolve, reject) => {
            if (!this.#manager) return resolve();
            const granted = () => {
                resolve();
                return new Promise<void>((release) => signal.addEventListener("abort", () => release()));
            };
            const options = { signal: AbortSignal.timeout(LOCK_MS) };
            const busy = `another tab or worker has the node ${id}: give each an id of its own`;
            this.#manager.request(this.#prefix + id, options, granted).catch((cause: unknown) => {
                const isBusy = (cause as { name?: unknown } | null)?.name === "TimeoutError";
                // Some documents may not use the API, as those in a sandbox.
                if (isBusy) reject(new ElectorError("BUSY", busy, { cause }));
                else resolve();
            });
        });
    }

    /** The ids of the nodes whose locks are held. */
    async running(): Promise<RaftNodeId[]> {
        const { held = [] } = await this.#manager?.query().catch(() => undefined) ?? {};
        const names = held.filter(({ mode }) => mode === "exclusive").map(({ name = "" }) => name);
        const own = names.filter((name) => name.startsWith(this.#prefix));
        return own.map((name) => name.slice(this.#prefix.length));
    }

    /** Calls `ended` once the tab or worker of a node has ended, unless the signal is aborted before. */
    watch(id: RaftNodeId, signal: AbortSignal, ended: () => void): void {
        // Shared: another one that watches and is suspended must not be waited for.
        const options = { mode: "shared", signal } as const;
        // Rejects if it is aborted.
        this.#manager?.request(this.#prefix + id, options, ended).catch(() => undefined);
    }
}
