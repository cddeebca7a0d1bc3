/**
 * Any client with `query(text, values)`: a `Pool` or `Client` of `pg`, PGlite, Neon, TypeORM's `DataSource`.
 */
export interface Queryable {
    query(text: string, values?: string[]): PromiseLike<unknown>;
}

/** The `query` of a {@link Queryable} as a function. */
export type QueryFunction = (text: string, values?: string[]) => PromiseLike<unknown>;

/** A row of a client's answer: values by column name. */
export type SqlRow = Readonly<Record<string, unknown>>;

/** The rows of a client's answer, whatever its shape: an array, or an object with `rows` or `results`. */
export function rowsOf(answer: unknown): readonly SqlRow[] {
    if (Array.isArray(answer)) return answer as SqlRow[];
    const { rows, results } = (answer ?? {}) as { rows?: unknown; results?: unknown };
    const found = rows ?? results;
    return Array.isArray(found) ? (found as SqlRow[]) : [];
}

/**
 * Whether a client is known to be in a transaction of the application. A rollback of that transaction would
 * undo a statement that was answered.
 */
export function isInTransaction(client: object): boolean {
    // In this order: `pg`; better-sqlite3 and Bun; Node.
    const known = client as {
        getTransactionStatus?(): unknown; readonly inTransaction?: unknown; readonly isTransaction?: unknown;
    };
    const status = known.getTransactionStatus?.();
    return status === "T" || status === "E" || known.inTransaction === true || known.isTransaction === true;
}

/** The error message for such a client. */
export const IN_TRANSACTION = "the application has an open transaction on this client; give the " +
    "store a pool, or a client that only it uses";

/** A 64-bit number, which clients return as text, as a number or as a bigint. */
export function big(value: unknown): bigint {
    return typeof value === "bigint" ? value : BigInt(value as string | number);
}

/** A 64-bit number, or `undefined` for NULL. */
export function maybeBig(value: unknown): bigint | undefined {
    return value === null || value === undefined ? undefined : big(value);
}

/** A text, or `undefined` for NULL. */
export function maybeText(value: unknown): string | undefined {
    return value === null || value === undefined ? undefined : String(value);
}
