import type { Notifier } from "../store.js";
import { CHANNEL, listenOn, onNotified } from "./postgres-listening.js";
import type { Heard, PgConnection, PostgresListener } from "./postgres-pool.js";
import { poolOf } from "./postgres-pool.js";

/**
 * Listens for releases if the client can. Nothing depends on it but how soon a release is noticed. `testMs`
 * says how long a connection may be trusted that says nothing.
 */
export async function listen(
    client: PostgresListener,
    schema: string,
    notify: Notifier,
    warn: (message: string) => void,
    testMs: () => number,
): Promise<() => void | Promise<void>> {
    const prefix = `${schema}/`;
    const heard: Heard = (payload) => {
        // No election has an empty name: it is somebody's test.
        if (!payload.startsWith(prefix) || payload.length === prefix.length) return;
        notify(payload.slice(prefix.length));
    };
    if (typeof client.listen === "function") return ended(await client.listen(CHANNEL, heard));
    const pool = poolOf(client);
    if (pool) return listenOn(pool, heard, notify, warn, testMs);
    if (isConnection(client)) {
        const notified = onNotified(heard);
        client.on("notification", notified);
        await client.query(`LISTEN ${CHANNEL}`);
        notify();
        return () => void client.off("notification", notified);
    }
    return () => undefined;
}

/** PGlite gives the function that ends it, postgres.js an object with one. */
function ended(listening: unknown): () => void | Promise<void> {
    if (typeof listening === "function") return listening as () => Promise<void>;
    const { unlisten } = (listening ?? {}) as { unlisten?: () => Promise<void> };
    return () => unlisten?.();
}

function isConnection(client: PostgresListener): client is PostgresListener & PgConnection {
    const given = client as Partial<PgConnection> & { processID?: unknown };
    return typeof given.on === "function" && typeof given.off === "function" && "processID" in given;
}
