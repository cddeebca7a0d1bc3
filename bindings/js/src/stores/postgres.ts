import type { IdType, PostgresStatement, Reply, Request } from "../core.js";
import { busyRow, electionRefusal, postgresSql, suggestsChangedTable } from "../core.js";
import { StoreError } from "../errors.js";
import type { Answer, Job, Notifier, Store } from "../store.js";
import { failAll, ofKind } from "../store.js";
import type { Queryable, SqlRow } from "./client.js";
import { IN_TRANSACTION, big, isInTransaction, rowsOf } from "./client.js";
import { listen } from "./postgres-listen.js";
import { codeOf, judge } from "./postgres-faults.js";
import type { PostgresListener } from "./postgres-pool.js";
import { letProcessEnd, surviveLostConnections } from "./postgres-pool.js";
import type { Found } from "./postgres-table.js";
import { findTable } from "./postgres-table.js";
import { shown, token } from "./row.js";

/** The options of {@link postgresStore}. */
export interface PostgresOptions {
    /**
     * The schema of the table `leader_lease`, any identifier of 1 to 63 bytes. Default: `public`. Candidates
     * with different schemas do not see each other, and can lead at once.
     */
    readonly schema?: string | undefined;
    /**
     * Whether to make the schema and the table `leader_lease` if they are missing, or complete the table.
     * Default: true. With false, a missing table is refused until a migration makes it.
     */
    readonly createTable?: boolean | undefined;
    /**
     * Whether to listen for releases, so that the next candidate leads within milliseconds; without it a
     * release is found by looking, within a third of a lease. Default: true. A pool of `pg` gets one more
     * connection for it, outside of the pool: count it in the server's limit.
     */
    readonly listen?: boolean | undefined;
}

/**
 * A store in PostgreSQL, on the application's own client: any with `query(text, values)`. Each statement is a
 * transaction of its own, has bound parameters only, and is never prepared under a name, so it also works
 * through poolers. Candidates in Rust, Go, C and `nest-leader-election` use the same table.
 *
 * A pool of `pg` without a listener of `error` gets one, since a lost idle connection would otherwise end the
 * process.
 */
export function postgresStore(client: Queryable & PostgresListener, options: PostgresOptions = {}): Store {
    return new PostgresStore(client, options);
}

type Kind<K extends Request["op"]> = Job & { request: Extract<Request, { op: K }> };

class PostgresStore implements Store {
    readonly name: string;
    readonly #schema: string;
    #found: Promise<Found> | undefined;
    readonly #texts = new Map<string, string>();
    #warn: ((message: string) => void) | undefined;

    constructor(readonly client: Queryable & PostgresListener, readonly options: PostgresOptions) {
        this.#schema = options.schema ?? "public";
        this.name = `postgres (schema ${JSON.stringify(this.#schema)})`;
        const bytes = new TextEncoder().encode(this.#schema).length;
        if (bytes < 1 || bytes > 63 || this.#schema.includes("\0")) {
            const found = this.#schema.includes("\0") ? "contains NUL" : `has ${bytes} bytes`;
            throw new StoreError("refused", `${this.name}: the schema's name ${found}; use 1 to 63 bytes`);
        }
        if (typeof (client as Partial<Queryable> | undefined)?.query !== "function") {
            throw new StoreError("refused", `${this.name}: the client has no method query(text, values); ` +
                "pass a Pool of pg, or an object with that method");
        }
        surviveLostConnections(client, (message) => this.#warn?.(`${this.name}: ${message}`));
    }

    async execute(jobs: readonly Job[], answer: Answer): Promise<void> {
        if (isInTransaction(this.client)) {
            return failAll(jobs, answer, new StoreError("unsent", `${this.name}: ${IN_TRANSACTION}`));
        }
        letProcessEnd(this.client);
        let found: Found;
        try {
            found = await this.#table();
            await found.encoding.learn(this.client, jobs);
        } catch (error) {
            // No job was sent, so the outcome is not unknown.
            const said = error instanceof StoreError
                ? error
                : judge(this.name, "use the table leader_lease", error);
            const failure = said.failure === "refused" ? "refused" : "unsent";
            return failAll(jobs, answer, new StoreError(failure, said.message, { cause: error }));
        }
        const held: Job[] = [];
        for (const job of jobs) {
            const refusal = this.#nameRefusal(job, found.idType) ?? found.encoding.refusal(this.name, job);
            if (refusal) failAll([job], answer, refusal);
            else held.push(job);
        }
        await this.#release(ofKind(held, "release"), answer);
        await this.#renew(ofKind(held, "renew"), answer);
        await this.#acquire(ofKind(held, "acquire"), answer);
        await this.#look(ofKind(held, "look"), answer);
    }

    listen(
        notify: Notifier,
        warn: (message: string) => void,
        testMs: () => number,
    ): Promise<() => void | Promise<void>> {
        this.#warn = warn;
        if (this.options.listen === false) return Promise.resolve(() => undefined);
        return listen(this.client, this.#schema, notify, warn, testMs);
    }

    async cleanUp(): Promise<void> {
        if (isInTransaction(this.client)) return;
        await this.client.query(await this.#text("cleanUp"));
    }

    guardSql(): Promise<string> {
        return this.#text("guard");
    }

    // ---- One statement for each kind of operation ----

    async #look(jobs: Kind<"look">[], answer: Answer): Promise<void> {
        await this.#ask("look", "look at leases", jobs, [texts(jobs.map((job) => job.election))], answer,
            (row) => ({ outcome: "seen", row: shown(row) }));
    }

    async #acquire(jobs: Kind<"acquire">[], answer: Answer): Promise<void> {
        const same = jobs.map(({ request }) => (request.condition === "same" ? request : undefined));
        const values = [
            texts(jobs.map((job) => job.election)),
            texts(jobs.map((job) => job.request.holder)),
            texts(jobs.map((job) => job.request.meta)),
            numbers(jobs.map((job) => job.request.leaseMs)),
            texts(jobs.map((job) => job.request.condition)),
            numbers(same.map((request) => request?.rowToken)),
            numbers(same.map((request) => request?.rowExpiresUs)),
        ];
        await this.#ask("acquire", "acquire leases", jobs, values, answer, (row) => {
            const granted = token(row["granted"]);
            return granted === undefined
                ? { outcome: "seen", row: shown(row) }
                : { outcome: "granted", token: granted };
        });
    }

    async #renew(jobs: Kind<"renew">[], answer: Answer): Promise<void> {
        const values = [
            texts(jobs.map((job) => job.election)),
            texts(jobs.map((job) => job.request.holder)),
            numbers(jobs.map((job) => job.request.token)),
            numbers(jobs.map((job) => job.request.leaseMs)),
        ];
        await this.#ask("renew", "renew leases", jobs, values, answer, (row) => {
            if (row["renewed"] === true) return { outcome: "renewed" };
            return { outcome: row["busy"] === true ? "unsent" : "lost" };
        });
    }

    async #release(jobs: Kind<"release">[], answer: Answer): Promise<void> {
        const values = [
            texts(jobs.map((job) => job.election)),
            texts(jobs.map((job) => job.request.holder)),
            numbers(jobs.map((job) => job.request.token)),
            this.#schema,
        ];
        await this.#ask("release", "release leases", jobs, values, answer, (row) => ({
            outcome: row["busy"] === true ? "unsent" : "released",
        }));
    }

    /** Runs one statement for its jobs, if there are any. `outcome` reads a job's outcome from its row. */
    async #ask(
        statement: PostgresStatement,
        asked: string,
        jobs: readonly Job[],
        values: string[],
        answer: Answer,
        outcome: (row: SqlRow) => WithoutId<Reply>,
    ): Promise<void> {
        if (jobs.length === 0) return;
        const open = new Set(jobs);
        try {
            const rows = rowsOf(await this.client.query(await this.#text(statement), values));
            // If a BEGIN of the application was sent before this statement, the statement ran in its
            // transaction.
            if (isInTransaction(this.client)) {
                throw new StoreError("unknown", `${this.name}: ${IN_TRANSACTION}`);
            }
            for (const row of rows) {
                const job = jobs[Number(row["ord"]) - 1];
                if (!job || !open.delete(job)) continue;
                const clock = { nowUs: big(row["now_us"]), timeline: big(row["timeline"]) };
                const reply = { id: job.request.id, ...clock, ...outcome(row) } as Reply;
                // Row security that was switched on meanwhile looks like a lock, so the table is checked
                // again.
                if (reply.outcome === "unsent") this.#forgetTable();
                answer(job, reply, reply.outcome === "unsent" ? this.#busy(asked, job) : undefined);
            }
            if (open.size > 0) {
                const message = `${this.name}: the server returned no row for this operation`;
                const silent = new StoreError("unknown", message);
                failAll([...open], answer, silent);
            }
        } catch (error) {
            if (suggestsChangedTable(codeOf(error))) this.#forgetTable();
            const said = error instanceof StoreError ? error : judge(this.name, asked, error);
            failAll([...open], answer, said);
        }
    }

    // ---- The table ----

    #table(): Promise<Found> {
        if (this.#found) return this.#found;
        const missing = this.options.createTable ?? true ? "create" : "refuse";
        const finding = findTable(this.client, this.name, this.#schema, missing);
        this.#found = finding;
        finding.catch(() => this.#forgetTable());
        return finding;
    }

    #forgetTable(): void {
        this.#found = undefined;
        this.#texts.clear();
    }

    async #text(statement: PostgresStatement): Promise<string> {
        const { idType } = await this.#table();
        const text = this.#texts.get(statement) ?? postgresSql(statement, this.#schema, idType);
        this.#texts.set(statement, text);
        return text;
    }

    #nameRefusal(job: Job, idType: IdType): StoreError | undefined {
        const why = electionRefusal(idType, job.election);
        return why === undefined ? undefined : new StoreError("refused", `${this.name}: ${why}`);
    }

    #busy(asked: string, job: Job): StoreError {
        return new StoreError("unsent", `${this.name}: ${busyRow(asked, job.election)}`);
    }
}

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

/** A `text[]` literal of PostgreSQL, which every client sends in the same way. */
export function texts(values: readonly (string | undefined)[]): string {
    const quoted = values.map((value) => {
        return value === undefined ? "NULL" : `"${value.replace(/["\\]/g, "\\$&")}"`;
    });
    return `{${quoted.join(",")}}`;
}

/** A `bigint[]` literal. */
function numbers(values: readonly (number | bigint | undefined)[]): string {
    return `{${values.map((value) => (value === undefined ? "NULL" : String(value))).join(",")}}`;
}
