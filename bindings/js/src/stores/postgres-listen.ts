import type { Bell } from "../store.js";
import type { PgConnection, Pool } from "./postgres-pool.js";
import { poolOf } from "./postgres-pool.js";

/** The channel on which a release is told. The payload is `schema/election`. */
const CHANNEL = "elector";

type Heard = (payload: string) => void;
interface Notification { readonly channel: string; readonly payload?: string | undefined }

/**
 * What a client may have that notifications come through: `listen(channel, callback)` of PGlite or
 * postgres.js, the events of a `Client` of `pg`, or what a `Pool` of `pg` makes connections with. A TypeORM
 * `DataSource` has such a pool.
 */
export interface PostgresListener {
    listen?(channel: string, heard: Heard): PromiseLike<unknown>;
    readonly Client?: unknown;
    readonly options?: unknown;
    readonly driver?: unknown;
}

/** Listens for releases if the client can. Nothing depends on it but how soon a release is noticed. */
export async function listen(
    client: PostgresListener,
    schema: string,
    bell: Bell,
    warn: (message: string) => void,
): Promise<() => void | Promise<void>> {
    const prefix = `${schema}/`;
    const heard: Heard = (payload) => {
        // No election has an empty name: it is somebody's test.
        if (payload.startsWith(prefix) && payload.length > prefix.length) bell(payload.slice(prefix.length));
    };
    if (typeof client.listen === "function") return ended(await client.listen(CHANNEL, heard));
    const pool = poolOf(client);
    if (pool) return listenOn(pool, heard, bell, warn);
    if (isConnection(client)) {
        const notified = onNotified(heard);
        client.on("notification", notified);
        await client.query(`LISTEN ${CHANNEL}`);
        bell();
        return () => void client.off("notification", notified);
    }
    return () => undefined;
}

function onNotified(heard: Heard): (told: Notification) => void {
    return (told) => {
        if (told.channel === CHANNEL) heard(told.payload ?? "");
    };
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

/**
 * A connection of its own, with what the pool makes its connections with: one of the pool's would be missing
 * there. Made anew when it is lost, and it keeps no process alive.
 */
async function listenOn(
    pool: Pool,
    heard: Heard,
    bell: Bell,
    warn: (message: string) => void,
): Promise<() => Promise<void>> {
    let connection: PgConnection | undefined;
    let over = false;
    const start = async (): Promise<void> => {
        const made = new pool.Client(pool.options);
        const lost = () => {
            if (connection !== made || over) return;
            connection = undefined;
            void again(1);
        };
        made.on("error", lost);
        made.on("end", lost);
        made.on("notification", onNotified(heard));
        try {
            await made.connect();
            made.unref?.();
            await made.query(`LISTEN ${CHANNEL}`);
        } catch (error) {
            made.end().catch(() => undefined);
            throw error;
        }
        if (over) return made.end();
        connection = made;
        // What was released before was not heard of.
        bell();
    };
    const again = async (attempt: number): Promise<void> => {
        await new Promise<void>((resolve) => {
            const timer: unknown = setTimeout(resolve, Math.min(30_000, 250 * 2 ** attempt));
            (timer as { unref?(): void }).unref?.();
        });
        if (over) return;
        await start().catch(() => again(attempt + 1));
    };
    await start().catch(() => {
        warn("no connection to listen on could be made; releases are noticed by looking only, until one can");
        void again(1);
    });
    return async () => {
        over = true;
        await connection?.end();
    };
}
