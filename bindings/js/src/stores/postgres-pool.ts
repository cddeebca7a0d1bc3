import { oneLine } from "../errors.js";

/** Called with the payload of each notification on a channel. */
export type OnPayload = (payload: string) => void;

/**
 * The parts of a client through which notifications can come: `listen(channel, callback)` of PGlite or
 * postgres.js, the events of a `Client` of `pg`, or the class and options with which a `Pool` of `pg` makes
 * connections. A TypeORM `DataSource` has such a pool.
 */
export interface PostgresListener {
    listen?(channel: string, onPayload: OnPayload): PromiseLike<unknown>;
    readonly Client?: unknown;
    readonly options?: unknown;
    readonly driver?: unknown;
}

/** A connection of `pg`. */
export interface PgConnection {
    connect(): Promise<unknown>;
    query(text: string, values?: string[]): PromiseLike<unknown>;
    on(event: string, listener: (...values: never[]) => void): unknown;
    off(event: string, listener: (...values: never[]) => void): unknown;
    end(): Promise<void>;
    unref?(): void;
    /** The server's process for this connection, as the other end announced it; a pooler invents one. */
    readonly processID?: unknown;
    readonly connection?: { readonly stream?: Partial<Stream> } | undefined;
}

interface Stream {
    setKeepAlive(on: boolean, afterMs: number): unknown;
    destroy(): unknown;
}

/** A pool of `pg`, with the class and the options of its connections. */
export interface Pool { readonly Client: new (options: unknown) => PgConnection; readonly options: unknown }

/** The pool of `pg` that this client is, or that a TypeORM `DataSource` has. */
export function poolOf(client: PostgresListener): Pool | undefined {
    if (typeof client.Client === "function" && client.options) return client as unknown as Pool;
    const master = (client.driver as { master?: PostgresListener } | undefined)?.master;
    return master ? poolOf(master) : undefined;
}

/**
 * Lets the process end while connections of a pool of `pg` are idle. Otherwise leases would keep it alive for
 * ever: each look restarts the time after which the pool closes an idle connection. The pool is read at each
 * call, since a TypeORM `DataSource` that is initialized again has another one.
 */
export function letProcessEnd(client: PostgresListener): void {
    const options = poolOf(client)?.options as { allowExitOnIdle?: boolean } | undefined;
    if (options) options.allowExitOnIdle = true;
}

interface Emitter {
    on(event: "error", listener: (error: unknown) => void): unknown;
    listenerCount(event: "error"): number;
}

/**
 * Adds an `error` listener to a pool of `pg`. The pool emits `error` for each idle connection that the server
 * ends, which ends the process if there is no listener, although the pool replaces the connection. The
 * listener warns unless the application has one of its own. A single connection gets none: it is not
 * replaced.
 */
export function surviveLostConnections(client: PostgresListener, warn: (message: string) => void): void {
    const pool = client as PostgresListener & Partial<Emitter>;
    if (poolOf(client) !== client || typeof pool.on !== "function") return;
    if (typeof pool.listenerCount !== "function" || pool.listenerCount("error") > 0) return;
    let warned: string | undefined;
    pool.on("error", (error) => {
        const message = `a connection of the pool was lost: ${oneLine(error)}`;
        // A server that stops ends all connections with the same message.
        if (message === warned || (pool as Emitter).listenerCount("error") > 1) return;
        warned = message;
        warn(message);
    });
}
