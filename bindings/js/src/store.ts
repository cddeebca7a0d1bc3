import type { Reply, Request } from "./core.js";
import type { StoreError } from "./errors.js";

/** One request to the store, for one election. */
export interface Job {
    readonly election: string;
    readonly request: Request;
}

/** Takes the answer to one job. A failure also has an `error` that says why, for people. */
export type Answer = (job: Job, reply: Reply, error?: StoreError) => void;

/** What a store calls with an election that may have become free, or without a name: any may have. */
export type Notifier = (election?: string) => void;

/**
 * The place where leases are kept. All electors on one store object share its statements: operations that are
 * due at the same time are one batch, with one statement for each kind of operation.
 */
export interface Store {
    /** The store's name in errors and logs. Contains no password. */
    readonly name: string;
    /** Executes all jobs, and answers each as soon as its statement has returned. Never rejects. */
    execute(jobs: readonly Job[], answer: Answer): Promise<void>;
    /**
     * Starts listening for releases, if the client can; the returned function stops it. `warn` takes messages
     * for operators. A connection that has been silent for `testMs()` milliseconds should be tested.
     */
    listen?(
        notify: Notifier,
        warn: (message: string) => void,
        testMs: () => number,
    ): Promise<() => void | Promise<void>>;
    /** Deletes rows whose lease ended over a minute ago, a bounded number in each call. */
    cleanUp?(): Promise<void>;
    /** The text of the statement that guards a transaction. Its parameters: election, holder, token. */
    guardSql?(): Promise<string>;
}

/** Answers each of these jobs with the same failure. */
export function failAll(jobs: readonly Job[], answer: Answer, error: StoreError): void {
    for (const job of jobs) answer(job, { id: job.request.id, outcome: error.failure }, error);
}

/** The jobs of one kind. */
export function ofKind<K extends Request["op"]>(
    jobs: readonly Job[],
    op: K,
): (Job & { request: Extract<Request, { op: K }> })[] {
    return jobs.filter((job) => job.request.op === op) as (Job & { request: Extract<Request, { op: K }> })[];
}
