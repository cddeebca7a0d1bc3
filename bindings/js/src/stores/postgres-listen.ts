import type { Notifier } from "../store.js";
import { CHANNEL, listenOn, onNotified } from "./postgres-listening.js";
import type { OnPayload, PgConnection, PostgresListener } from "./postgres-pool.js";
import { poolOf } from "./postgres-pool.js";

/**
 * Listens for releases, if the client can. Without it a release is only noticed later. A connection that has
 * been silent for `testMs()` milliseconds is tested.
 */
export async function listen(
    client: PostgresListener,
    schema: string,
    notify: Notifier,
    warn: (message: string) => void,
    testMs: () => number,
): Promise<() => void | Promise<void>> {
    const prefix = `${schema}/`;
    const onPayload: OnPayload = (payload) => {
        // No election has an empty name; such a payload is a test by another program.
        if (!payload.startsWith(prefix) || payload.length === prefix.length) return;
        notify(payload.slice(prefix.length));
    };
    if (typeof client.listen === "function") return stopOf(await client.listen(CHANNEL, onPayload));
    const pool = poolOf(client);
    if (pool) return listenOn(pool, onPayload, notify, warn, testMs);
    if (isConnection(client)) {
        const notified = onNotified(onPayload);
        client.on("notification", notified);
        await client.query(`LISTEN ${CHANNEL}`);
        notify();
        return () => void client.off("notification", notified);
    }
    return () => undefined;
}

/** The function that stops listening: PGlite returns it, postgres.js returns an object with it. */
function stopOf(listening: unknown): () => void | Promise<void> {
    if (typeof listening === "function") return listening as () => Promise<void>;
    const { unlisten } = (listening ?? {}) as { unlisten?: () => Promise<void> };
    return () => unlisten?.();
}

function isConnection(client: PostgresListener): client is PostgresListener & PgConnection {
    const given = client as Partial<PgConnection> & { processID?: unknown };
    return typeof given.on === "function" && typeof given.off === "function" && "processID" in given;
}
