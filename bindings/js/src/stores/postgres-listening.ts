import type { Notifier } from "../store.js";
import type { OnPayload, PgConnection, Pool } from "./postgres-pool.js";

/** The channel of release notifications. The payload is `schema/election`. */
export const CHANNEL = "elector";

interface Notification { readonly channel: string; readonly payload?: string | undefined }

/** The longest time between two tests, since an elector with a shorter lease may join later. */
const TEST_MS = 10_000;
/** The time limit for connecting, and for the answer to a test. */
const ANSWER_WITHIN_MS = 5_000;
/** The time limit for a clean end of the connection. */
const CLOSE_WITHIN_MS = 200;
/** The kernel probes the other end after this time without a packet. */
const KEEP_ALIVE_MS = 15_000;
/**
 * Turns off the role's limit for idle sessions. Behind a pooler the session is not ours, and nothing is set.
 */
const NO_IDLE_LIMIT = "SELECT set_config('idle_session_timeout', '0', false) FROM pg_settings " +
    "WHERE name = 'idle_session_timeout' AND pg_backend_pid() = $1::int";

export function onNotified(onPayload: OnPayload): (told: Notification) => void {
    return (told) => {
        if (told.channel === CHANNEL) onPayload(told.payload ?? "");
    };
}

/**
 * Listens on an extra connection with the pool's options, so that the pool keeps all of its own. The
 * connection is tested every `testMs()` milliseconds, replaced when it is lost, and does not keep the process
 * alive.
 */
export async function listenOn(
    pool: Pool,
    onPayload: OnPayload,
    notify: Notifier,
    warn: (message: string) => void,
    testMs: () => number,
): Promise<() => Promise<void>> {
    let connection: PgConnection | undefined;
    let isStopped = false;
    const start = async (): Promise<void> => {
        const made = new pool.Client(pool.options);
        const lost = () => {
            if (connection !== made || isStopped) return;
            connection = undefined;
            void close(made);
            // Releases until the next connection listens are missed, so every election may be free.
            notify();
            void retry(1);
        };
        made.on("error", lost);
        made.on("end", lost);
        made.on("notification", onNotified(onPayload));
        try {
            await within(ANSWER_WITHIN_MS, prepare(made));
        } catch (error) {
            void close(made);
            throw error;
        }
        if (isStopped) return close(made);
        connection = made;
        // Releases before this connection listened were missed, so every election may be free.
        notify();
        void test(made, testMs, () => connection === made).catch(lost);
    };
    const retry = async (attempt: number): Promise<void> => {
        await pause(Math.min(30_000, 250 * 2 ** attempt));
        if (isStopped) return;
        await start().catch(() => retry(attempt + 1));
    };
    await start().catch(() => {
        warn("cannot connect to listen for releases; until that works, only reads of the row find a release");
        void retry(1);
    });
    return async () => {
        isStopped = true;
        const last = connection;
        connection = undefined;
        if (last) await close(last);
    };
}

async function prepare(made: PgConnection): Promise<void> {
    await made.connect();
    made.unref?.();
    made.connection?.stream?.setKeepAlive?.(true, KEEP_ALIVE_MS);
    if (typeof made.processID === "number") await made.query(NO_IDLE_LIMIT, [String(made.processID)]);
    await made.query(`LISTEN ${CHANNEL}`);
}

/**
 * Tests the connection at intervals, since a half-open connection is silent. Rejects once it does not answer.
 */
async function test(made: PgConnection, testMs: () => number, isUsed: () => boolean): Promise<void> {
    for (;;) {
        await pause(Math.min(testMs(), TEST_MS));
        if (!isUsed()) return;
        await within(ANSWER_WITHIN_MS, made.query("SELECT 1"));
    }
}

/** Closes a connection whose other end may be gone. */
async function close(made: PgConnection): Promise<void> {
    await within(CLOSE_WITHIN_MS, made.end()).catch(() => undefined);
    made.connection?.stream?.destroy?.();
}

/** Waits for an answer for `ms` milliseconds at most, and rejects after that. */
async function within<T>(ms: number, answer: PromiseLike<T>): Promise<T> {
    const late = pause(ms).then(() => Promise.reject(new Error(`no answer in ${ms} ms`)));
    return Promise.race([answer, late]);
}

/** Waits without keeping the process alive. */
function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
        const timer: unknown = setTimeout(resolve, ms);
        (timer as { unref?(): void }).unref?.();
    });
}
