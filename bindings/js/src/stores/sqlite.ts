import type { Reply, Request, SqliteStatement } from "../core.js";
import { sqliteSql } from "../core.js";
import { StoreError, oneLine } from "../errors.js";
import type { Answer, Job, Notifier, Store } from "../store.js";
import { failAll, ofKind } from "../store.js";
import type { SqlRow } from "./client.js";
import { IN_TRANSACTION, big, isInTransaction, maybeText, rowsOf } from "./client.js";
import { shown, token } from "./row.js";

/** A prepared statement of better-sqlite3, `node:sqlite`, `bun:sqlite` or D1. */
export interface SqliteStatementLike {
    bind?(...values: string[]): SqliteStatementLike;
    all(...values: string[]): unknown;
}

/** A SQLite client: it has one of these methods. */
export type SqliteClient =
    /** better-sqlite3, `node:sqlite`, `bun:sqlite`, Cloudflare D1. */
    | { prepare(text: string): SqliteStatementLike }
    /** `@libsql/client`. */
    | { execute(statement: { sql: string; args: string[] }): PromiseLike<unknown> }
    /** The `sql` of a Durable Object's storage. */
    | { exec(text: string, ...values: string[]): { toArray(): unknown[] } };

/**
 * A store in a SQLite table, on the application's own database: better-sqlite3, `node:sqlite`, libSQL,
 * Cloudflare D1, or a Durable Object's `ctx.storage.sql`. SQLite 3.38 or newer.
 *
 * Leases count on the wall clock of the database's machine: if it is set forward, leases expire early, and a
 * candidate that had not read the clock before can lead beside the old leader (`strict` prevents that).
 * Electors of one process are notified of each other's releases at once; others find them by looking, within
 * a third of a lease.
 */
export function sqliteStore(db: SqliteClient): Store {
    return new SqliteStore(db);
}

type Kind<K extends Request["op"]> = Job & { request: Extract<Request, { op: K }> };
type WithoutClock<R> = R extends unknown ? Omit<R, "id" | "nowUs" | "timeline"> : never;
type Outcome = WithoutClock<Reply>;

class SqliteStore implements Store {
    readonly name = "sqlite";
    readonly #notifiers = new Set<Notifier>();
    readonly #texts = new Map<SqliteStatement, string>();
    readonly #db: SqliteClient;
    readonly #run: (text: string, values: string[]) => unknown;
    #made: Promise<unknown> | undefined;

    constructor(db: SqliteClient) {
        this.#db = db;
        this.#run = runner(db);
    }

    async execute(jobs: readonly Job[], answer: Answer): Promise<void> {
        try {
            await this.#makeTable();
        } catch (error) {
            const { failure, message } = judge("make the table leader_lease", error);
            const never = failure === "refused" ? failure : "unsent";
            return failAll(jobs, answer, new StoreError(never, message, { cause: error }));
        }
        await this.#release(ofKind(jobs, "release"), answer);
        await this.#renew(ofKind(jobs, "renew"), answer);
        await this.#acquire(ofKind(jobs, "acquire"), answer);
        await this.#look(ofKind(jobs, "look"), answer);
    }

    listen(notify: Notifier): Promise<() => void> {
        this.#notifiers.add(notify);
        return Promise.resolve(() => void this.#notifiers.delete(notify));
    }

    async cleanUp(): Promise<void> {
        await this.#makeTable();
        // Deletes only rows whose tokens the floor covers, whatever happens between the two statements.
        const floor = await this.#rows("raiseFloor");
        if (floor.length > 0) await this.#rows("cleanUp");
    }

    async #look(jobs: readonly Job[], answer: Answer): Promise<void> {
        await this.#ask("look at leases", jobs, answer, async () => {
            const rows = await this.#rows("look", jobs.map((job) => ({ id: job.election })));
            for (const row of rows) {
                const job = jobs[Number(row["ord"])];
                if (job) reply(job, row["now_us"], { outcome: "seen", row: shown(row) }, answer);
            }
        });
    }

    async #acquire(jobs: Kind<"acquire">[], answer: Answer): Promise<void> {
        const left = new Set(jobs);
        await this.#ask("acquire leases", jobs, answer, async () => {
            const rows = await this.#rows("acquire", jobs.map(({ election, request }) => ({
                id: election,
                holder: request.holder,
                meta: request.meta ?? null,
                lease_ms: request.leaseMs,
                condition: request.condition,
                token: request.condition === "same" ? number(request.rowToken) : null,
                expires_us: request.condition === "same" ? number(request.rowExpiresUs) : null,
            })));
            for (const row of rows) {
                const granted = token(row["token"]);
                const job = jobs.find((found) => left.has(found) && isOf(row, found, found.request.holder));
                if (!job || granted === undefined) continue;
                left.delete(job);
                reply(job, row["now_us"], { outcome: "granted", token: granted }, answer);
            }
        }, left);
        // Jobs that were not granted get the rows as they are now.
        await this.#look([...left], answer);
    }

    async #renew(jobs: Kind<"renew">[], answer: Answer): Promise<void> {
        await this.#ask("renew leases", jobs, answer, async () => {
            const rows = await this.#rows("renew", jobs.map(({ election, request }) => ({
                id: election, holder: request.holder, token: number(request.token), lease_ms: request.leaseMs,
            })));
            for (const job of jobs) {
                const { holder, token: held } = job.request;
                const row = rows.find((found) => isOf(found, job, holder) && token(found["token"]) === held);
                reply(job, row?.["now_us"], { outcome: row ? "renewed" : "lost" }, answer);
            }
        });
    }

    async #release(jobs: Kind<"release">[], answer: Answer): Promise<void> {
        await this.#ask("release leases", jobs, answer, async () => {
            const rows = await this.#rows("release", jobs.map(({ election, request }) => ({
                id: election, holder: request.holder, token: number(request.token),
            })));
            for (const job of jobs) reply(job, undefined, { outcome: "released" }, answer);
            for (const row of rows) for (const notify of [...this.#notifiers]) notify(String(row["id"]));
        });
    }

    /** Runs a statement for its jobs, if there are any. `open` has the jobs without an answer. */
    async #ask(
        asked: string,
        jobs: readonly Job[],
        answer: Answer,
        statement: () => Promise<void>,
        open: ReadonlySet<Job> & { clear?(): void } = new Set(jobs),
    ): Promise<void> {
        if (jobs.length === 0) return;
        try {
            await statement();
        } catch (error) {
            failAll([...open], answer, judge(asked, error));
            open.clear?.();
        }
    }

    #makeTable(): Promise<unknown> {
        this.#made ??= this.#rows("createTable");
        this.#made.catch(() => (this.#made = undefined));
        return this.#made;
    }

    async #rows(statement: SqliteStatement, elements?: readonly object[]): Promise<readonly SqlRow[]> {
        const text = this.#texts.get(statement) ?? sqliteSql(statement);
        this.#texts.set(statement, text);
        if (isInTransaction(this.#db)) throw new StoreError("unsent", `sqlite: ${IN_TRANSACTION}`);
        return rowsOf(await this.#run(text, elements ? [JSON.stringify(elements)] : []));
    }
}

function reply(job: Job, nowUs: unknown, outcome: Outcome, answer: Answer): void {
    const clock = nowUs === undefined || nowUs === null ? {} : { nowUs: big(nowUs), timeline: 0n };
    answer(job, { id: job.request.id, ...clock, ...outcome } as Reply);
}

function isOf(row: SqlRow, job: Job, holder: string): boolean {
    return maybeText(row["id"]) === job.election && maybeText(row["leader_id"]) === holder;
}

/** JSON has no bigints; tokens and times are exact as numbers. */
function number(value: bigint | undefined): number | null {
    return value === undefined ? null : Number(value);
}

/** The function that runs a statement on this client. */
function runner(db: SqliteClient): (text: string, values: string[]) => unknown {
    if ("prepare" in db && typeof db.prepare === "function") {
        return (text, values) => {
            const statement = db.prepare(text) as SqliteStatementLike & { reader?: boolean; run?(): unknown };
            // better-sqlite3 runs a statement that returns no rows only by `run`.
            if (statement.reader === false) return statement.run?.();
            return typeof statement.bind === "function" && values.length > 0
                ? statement.bind(...values).all()
                : statement.all(...values);
        };
    }
    if ("execute" in db && typeof db.execute === "function") {
        return (sql, args) => db.execute({ sql, args });
    }
    if ("exec" in db && typeof db.exec === "function") {
        return (text, values) => db.exec(text, ...values).toArray();
    }
    const wanted = "prepare(text), execute({ sql, args }) or exec(text, …)";
    throw new StoreError("refused", `sqlite: the client has no method ${wanted}; pass a supported client`);
}

/**
 * The StoreError for a client's error. A statement that SQLite refused was not executed; that of a client
 * behind a network may have been (`unknown`).
 */
function judge(asked: string, error: unknown): StoreError {
    if (error instanceof StoreError) return error;
    const text = oneLine(error);
    const code = String((error as { code?: unknown } | undefined)?.code ?? "");
    const said = `sqlite: cannot ${asked}: ${text}`;
    if (/BUSY|LOCKED/.test(code) || /database (table )?is locked/.test(text)) {
        return new StoreError("unsent", `${said}; another connection holds the lock; Elector retries`);
    }
    // Node has one code, ERR_SQLITE_ERROR, for all errors, so their texts are matched too.
    const never = /^SQLITE_(ERROR|READONLY|NOTADB|CORRUPT|PERM|CANTOPEN)/.test(code);
    if (never || /no such|syntax error/.test(text)) {
        const advice = "is it SQLite 3.38 or newer, and may the process write to the database?";
        return new StoreError("refused", `${said}; ${advice}`);
    }
    return new StoreError("unknown", said, { cause: error });
}
