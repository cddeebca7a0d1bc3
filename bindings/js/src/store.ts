import type { Reply, Request } from "./core.js";
import type { StoreError } from "./errors.js";

/** One request of one election. */
export interface Job {
    readonly election: string;
    readonly request: Request;
}

/** Takes the answer to one job; `error` tells people why, if it is a failure. */
export type Answer = (job: Job, reply: Reply, error?: StoreError) => void;

/** What a store calls when an election may have become free; without a name: any of them. */
export type Notifier = (election?: string) => void;

/**
 * A place where leases are kept. All electors on one store object share its statements: whatever is due at
 * the same time travels as one statement for each kind of operation.
 */
export interface Store {
    /** What it is, for errors and logs. Holds no password. */
    readonly name: string;
    /** Executes all jobs, and answers each as soon as its statement is through. Never rejects. */
    execute(jobs: readonly Job[], answer: Answer): Promise<void>;
    /**
     * Begins to listen for releases, if the client can. Ends with the returned function. A connection that
     * has said nothing for `testMs` should be tested.
     */
    listen?(
        notify: Notifier,
        warn: (message: string) => void,
        testMs: () => number,
    ): Promise<() => void | Promise<void>>;
    /** Deletes rows that have been dead for over a minute, a bounded number at a time. */
    cleanUp?(): Promise<void>;
    /** The statement that guards a transaction: election, holder and token are its parameters. */
    guardSql?(): Promise<string>;
}

/** Answers all of these jobs with one failure. */
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
