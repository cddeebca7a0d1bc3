/** Anything with `query(text, values)`: `Pool` or `Client` of `pg`, PGlite, Neon, TypeORM's `DataSource`. */
export interface Queryable {
    query(text: string, values?: string[]): PromiseLike<unknown>;
}

/** The same as a function. */
export type QueryFunction = (text: string, values?: string[]) => PromiseLike<unknown>;

/** A row as clients give it: by the columns' names. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** The rows of an answer, in whichever way the client gives them. */
export function rowsOf(answer: unknown): readonly SqlRow[] {
    if (Array.isArray(answer)) return answer as SqlRow[];
    const { rows, results } = (answer ?? {}) as { rows?: unknown; results?: unknown };
    const found = rows ?? results;
    return Array.isArray(found) ? (found as SqlRow[]) : [];
}

/**
 * Whether a client that tells is in a transaction of the application's own. What we did in it could be rolled
 * back after it was answered.
 */
export function isInTransaction(client: object): boolean {
    // Of `pg`, of better-sqlite3 and Bun, and of Node.
    const known = client as {
        getTransactionStatus?(): unknown; readonly inTransaction?: unknown; readonly isTransaction?: unknown;
    };
    const status = known.getTransactionStatus?.();
    return status === "T" || status === "E" || known.inTransaction === true || known.isTransaction === true;
}

/** What is said then. */
export const IN_TRANSACTION = "the application has a transaction open on this client; give leases a " +
    "client of their own, or a pool";

/** A 64-bit number, which clients give as text, as a number or as a bigint. */
export function big(value: unknown): bigint {
    return typeof value === "bigint" ? value : BigInt(value as string | number);
}

/** The same where there may be none. */
export function maybeBig(value: unknown): bigint | undefined {
    return value === null || value === undefined ? undefined : big(value);
}

/** A text, or none. */
export function maybeText(value: unknown): string | undefined {
    return value === null || value === undefined ? undefined : String(value);
}
