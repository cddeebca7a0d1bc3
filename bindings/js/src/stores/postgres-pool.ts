import { oneLine } from "../errors.js";

/** Called with the payload of each notification on a channel. */
export type Heard = (payload: string) => void;

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

/** A connection of `pg`. */
export interface PgConnection {
    connect(): Promise<unknown>;
    query(text: string, values?: string[]): PromiseLike<unknown>;
    on(event: string, listener: (...values: never[]) => void): unknown;
    off(event: string, listener: (...values: never[]) => void): unknown;
    end(): Promise<void>;
    unref?(): void;
    /** The process that serves it, as the other end announced it; a pooler makes one up. */
    readonly processID?: unknown;
    readonly connection?: { readonly stream?: Partial<Stream> } | undefined;
}

interface Stream {
    setKeepAlive(on: boolean, afterMs: number): unknown;
    destroy(): unknown;
}

/** A pool of `pg`, with what it makes its connections with. */
export interface Pool { readonly Client: new (options: unknown) => PgConnection; readonly options: unknown }

/** The pool that a client is, or that a TypeORM `DataSource` has. */
export function poolOf(client: PostgresListener): Pool | undefined {
    if (typeof client.Client === "function" && client.options) return client as unknown as Pool;
    const master = (client.driver as { master?: PostgresListener } | undefined)?.master;
    return master ? poolOf(master) : undefined;
}

/**
 * Has idle connections of a pool of `pg` keep no process alive. Leases would else do so for ever: each look
 * puts off the time after which the pool closes an idle connection. Looked for each time: a TypeORM
 * `DataSource` that is initialized again has another pool.
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
 * A pool of `pg` tells of each idle connection that the server ends by the event `error`, which ends the
 * process if nobody listens, although the pool just makes another one. So somebody listens, and warns where
 * the application does not listen itself. A single connection is left alone: it does not come back.
 */
export function surviveLostConnections(client: PostgresListener, warn: (message: string) => void): void {
    const pool = client as PostgresListener & Partial<Emitter>;
    if (poolOf(client) !== client || typeof pool.on !== "function") return;
    if (typeof pool.listenerCount !== "function" || pool.listenerCount("error") > 0) return;
    let warned: string | undefined;
    pool.on("error", (error) => {
        const message = `a connection of the pool was lost: ${oneLine(error)}`;
        // A server that stops ends them all with the same words.
        if (message === warned || (pool as Emitter).listenerCount("error") > 1) return;
        warned = message;
        warn(message);
    });
}
