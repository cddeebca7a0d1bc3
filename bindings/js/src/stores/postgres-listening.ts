import type { Notifier } from "../store.js";
import type { Heard, PgConnection, Pool } from "./postgres-pool.js";

/** The channel on which a release is told. The payload is `schema/election`. */
export const CHANNEL = "elector";

interface Notification { readonly channel: string; readonly payload?: string | undefined }

/** A connection is tested at least so often, since an elector with a shorter lease may join later. */
const TEST_MS = 10_000;
/** How long connecting may take, and the answer to a test. */
const ANSWER_WITHIN_MS = 5_000;
/** How long the server gets to hear that we go. */
const GOODBYE_MS = 200;
/** After so long without a packet the kernel asks whether the other end is there. */
const KEEP_ALIVE_MS = 15_000;
/** No limit of the role ends an idle session. Behind a pooler it is not ours, and nothing is set. */
const REST = "SELECT set_config('idle_session_timeout', '0', false) FROM pg_settings " +
    "WHERE name = 'idle_session_timeout' AND pg_backend_pid() = $1::int";

export function onNotified(heard: Heard): (told: Notification) => void {
    return (told) => {
        if (told.channel === CHANNEL) heard(told.payload ?? "");
    };
}

/**
 * Listens on a connection of its own, with what the pool makes its connections with: one of the pool's
 * would be missing there. It is tested each `testMs`, made anew when it is lost, and keeps no process
 * alive.
 */
export async function listenOn(
    pool: Pool,
    heard: Heard,
    notify: Notifier,
    warn: (message: string) => void,
    testMs: () => number,
): Promise<() => Promise<void>> {
    let connection: PgConnection | undefined;
    let over = false;
    const start = async (): Promise<void> => {
        const made = new pool.Client(pool.options);
        const lost = () => {
            if (connection !== made || over) return;
            connection = undefined;
            void hangUp(made);
            // What is released until the next one listens is not heard of.
            notify();
            void again(1);
        };
        made.on("error", lost);
        made.on("end", lost);
        made.on("notification", onNotified(heard));
        try {
            await within(ANSWER_WITHIN_MS, prepare(made));
        } catch (error) {
            void hangUp(made);
            throw error;
        }
        if (over) return hangUp(made);
        connection = made;
        // What was released before was not heard of.
        notify();
        void test(made, testMs, () => connection === made).catch(lost);
    };
    const again = async (attempt: number): Promise<void> => {
        await pause(Math.min(30_000, 250 * 2 ** attempt));
        if (over) return;
        await start().catch(() => again(attempt + 1));
    };
    await start().catch(() => {
        warn("no connection to listen on could be made; releases are noticed by looking only, until one can");
        void again(1);
    });
    return async () => {
        over = true;
        const last = connection;
        connection = undefined;
        if (last) await hangUp(last);
    };
}

async function prepare(made: PgConnection): Promise<void> {
    await made.connect();
    made.unref?.();
    made.connection?.stream?.setKeepAlive?.(true, KEEP_ALIVE_MS);
    if (typeof made.processID === "number") await made.query(REST, [String(made.processID)]);
    await made.query(`LISTEN ${CHANNEL}`);
}

/** Tests the connection again and again, and fails once it does not answer: a half-open one says nothing. */
async function test(made: PgConnection, testMs: () => number, isUsed: () => boolean): Promise<void> {
    for (;;) {
        await pause(Math.min(testMs(), TEST_MS));
        if (!isUsed()) return;
        await within(ANSWER_WITHIN_MS, made.query("SELECT 1"));
    }
}

/** Closes a connection whose other end may be gone. */
async function hangUp(made: PgConnection): Promise<void> {
    await within(GOODBYE_MS, made.end()).catch(() => undefined);
    made.connection?.stream?.destroy?.();
}

/** Waits for an answer, but not for ever. */
async function within<T>(ms: number, answer: PromiseLike<T>): Promise<T> {
    const late = pause(ms).then(() => Promise.reject(new Error(`no answer in ${ms} ms`)));
    return Promise.race([answer, late]);
}

/** Keeps no process alive. */
function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
        const timer: unknown = setTimeout(resolve, ms);
        (timer as { unref?(): void }).unref?.();
    });
}
