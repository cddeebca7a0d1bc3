import type { Store } from "../store.js";
import type { Queryable } from "../stores/client.js";
import type { PostgresListener } from "../stores/postgres-pool.js";
import { postgresStore } from "../stores/postgres.js";
import { invalid } from "./invalid.js";

/** A TypeORM `DataSource`. */
export interface DataSourceLike extends Queryable {
    readonly options: object;
    readonly driver: object;
}

/** A TypeORM `Repository`; only its `DataSource` is used, which was called `connection` before version 1. */
export interface RepositoryLike {
    readonly manager: {
        readonly dataSource?: DataSourceLike;
        readonly connection?: DataSourceLike;
    };
}

/** Where leases can be kept: a TypeORM repository or `DataSource`, a PostgreSQL client, or a store. */
export type LeaseSource = RepositoryLike | (Queryable & PostgresListener) | Store;

/** The options of the table. */
export interface TableOptions {
    readonly schema?: string | undefined;
    readonly createTableOnInit?: boolean | undefined;
}

type Client = Queryable & PostgresListener;

const stores = new WeakMap<object, Map<string, Store>>();

/**
 * The store for a source. All candidates that use one table through one client share a store, and so its
 * statements.
 */
export function storeOf(source: LeaseSource, options: TableOptions): Store {
    if (isStore(source)) return source;
    const { manager } = source as Partial<RepositoryLike>;
    const given = manager?.dataSource ?? manager?.connection ?? (source as Client);
    const dataSource = isDataSource(given) ? given : undefined;
    // With `synchronize: true` the application lets TypeORM make tables, so this one may be made too.
    const createTable = (options.createTableOnInit ?? true) || synchronizes(dataSource);
    const schema = options.schema ?? "public";
    const key = JSON.stringify([schema, createTable]);
    const made = stores.get(given) ?? new Map<string, Store>();
    stores.set(given, made);
    const client = dataSource ? poolOf(dataSource) : (given as Client);
    const store = made.get(key) ?? postgresStore(client, { schema, createTable });
    made.set(key, store);
    return store;
}

function isStore(source: LeaseSource): source is Store {
    return typeof (source as Partial<Store>).execute === "function";
}

interface TypeOrmOptions { readonly type?: unknown; readonly synchronize?: unknown }

function isDataSource(given: object): given is DataSourceLike {
    const { options, driver } = given as Partial<DataSourceLike>;
    const type = (options as TypeOrmOptions | undefined)?.type;
    if (typeof type !== "string" || !driver) return false;
    if (type === "postgres" || type === "aurora-postgres") return true;
    return invalid(`cannot keep leases in the TypeORM DataSource: its type is '${type}', not postgres; ` +
        "give the LeaderElectorModule a PostgreSQL `client`, or a `store`");
}

function synchronizes(dataSource: DataSourceLike | undefined): boolean {
    return (dataSource?.options as TypeOrmOptions | undefined)?.synchronize === true;
}

/**
 * The pool of `pg` under TypeORM. Renewals bypass TypeORM, so that they do not fill the application's SQL
 * log. The pool is read at each call, since a `DataSource` that is initialized again has another one.
 */
function poolOf(dataSource: DataSourceLike): Client {
    return {
        query(text, values) {
            const { master } = dataSource.driver as { master?: Partial<Queryable> };
            return typeof master?.query === "function"
                ? master.query(text, values)
                : dataSource.query(text, values);
        },
        get driver() {
            return dataSource.driver;
        },
    };
}
