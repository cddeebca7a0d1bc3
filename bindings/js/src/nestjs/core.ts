/** @ts-ignore Where RxJS is not installed its types are `any`; this comment goes with the declarations. */
import type { Observable } from "rxjs";
import type { Changes } from "../changes.js";
import { hold, systemClock } from "../clock.js";
import type { Leader } from "../core.js";
import type { Leadership } from "../elector.js";
import { Elector } from "../elector.js";
import { ElectorError, oneLine } from "../errors.js";
import type { Term } from "../run.js";
import type { Store } from "../store.js";
import type { Queryable, QueryFunction } from "../stores/client.js";
import type { LeaderElectorConfig, LeaderLogger } from "./config.js";
import { drainOf, electionOf, leaseOf, timesOf } from "./config.js";
import { Jobs } from "./jobs.js";
import { rxjs } from "./optional.js";
import type { LeaseSource } from "./source.js";
import { storeOf } from "./source.js";
import { defaultLogger, loggerOf, warnOfLoss } from "./warnings.js";

/** A shutdown waits no longer than this for the store to confirm a release. */
const LONGEST_RELEASE_MS = 5_000;
/** Events that change `leadership`. */
const LEADERSHIP_EVENTS = ["elected", "stopNewWork", "deposed"] as const;

/**
 * One candidate of one election. It campaigns as soon as it is made, and again after each lost term.
 *
 * ```ts
 * const elector = new LeaderElectorCore(dataSource.getRepository(LeaderLease), { leaseDuration: 15000 });
 * if (elector.amILeader()) doWhatOnlyOneMayDo();
 * ```
 */
export class LeaderElectorCore {
    /** The elector under this class, with its full API. */
    readonly elector: Elector;
    /** @internal */ readonly store: Store;
    /** @internal */ readonly logger: LeaderLogger | undefined;
    /** @internal The jobs in progress that need this candidate's lease. */ readonly jobs = new Jobs();
    readonly #leaseMs: number;
    readonly #drainMs: number;
    /** The instant at which a drain ends, even if jobs are still in progress. */
    #drainUntil = 0;
    #again: unknown;
    #campaigns = false;
    /** Set once the shutdown has begun: no job is started any more, and no campaign. */
    #isClosing = false;
    #ended: Promise<void> | undefined;
    readonly #ends = new Set<() => void>();

    /** Throws an `ElectorError` that names the numbers if the times do not fit together. */
    constructor(source: LeaseSource, config: LeaderElectorConfig = {}) {
        this.store = storeOf(source, config);
        this.#leaseMs = leaseOf(config);
        this.#drainMs = drainOf(config);
        this.logger = config.logger === false ? undefined : loggerOf(config.logger ?? defaultLogger());
        const { logger } = this;
        const election = electionOf(config);
        this.elector = new Elector({
            election,
            store: this.store,
            candidate: config.instanceId,
            meta: config.meta,
            strict: config.strict,
            ...timesOf(config),
            logger,
        });
        this.elector.on("deposed", ({ reason }) => {
            if (logger && reason !== "released") warnOfLoss(logger, election, reason, this.#why);
        });
        this.begin();
    }

    /**
     * Makes a candidate, and resolves once the store has answered. Rejects if the store refuses, as for a
     * missing permission or a table of another shape.
     */
    static async create(
        source: LeaseSource,
        config: LeaderElectorConfig = {},
    ): Promise<LeaderElectorCore> {
        const made = new LeaderElectorCore(source, config);
        try {
            await made.answered();
        } catch (error) {
            await made.shutdown();
            throw error;
        }
        return made;
    }

    // ---- Leadership ----

    /**
     * Whether this candidate leads at this instant. Makes no I/O, and is right even if the event loop was
     * blocked.
     */
    amILeader(): boolean {
        return this.elector.amILeader();
    }

    /** The fencing token of the current term; `undefined` unless this candidate leads. */
    get token(): bigint | undefined {
        return this.elector.token;
    }

    /** The phase, token and deadlines of this candidate, all of one instant. */
    get leadership(): Leadership {
        return this.elector.leadership;
    }

    /** The present `leadership`, and a new one each time it changes; completes at the shutdown. */
    get leadership$(): Observable<Leadership> {
        const library = rxjs<Rx>();
        if (!library) throw new Error("leadership$ needs RxJS; install the package rxjs, or use changes()");
        return new library.Observable((subscriber) => {
            let isStopped = false;
            const isPastWork = (now: Leadership) => now.leading && now.workForMs === 0;
            const say = (): void => {
                const now = this.leadership;
                isStopped = isPastWork(now);
                subscriber.next(now);
            };
            say();
            if (this.#isClosing) return subscriber.complete();
            const offs = LEADERSHIP_EVENTS.map((event) => this.elector.on(event, say));
            // A late renewal lifts the soft deadline: work may start again.
            offs.push(this.elector.on("renewed", () => {
                if (isStopped && !isPastWork(this.leadership)) say();
            }));
            const end = () => subscriber.complete();
            this.#ends.add(end);
            return () => {
                this.#ends.delete(end);
                for (const off of offs) off();
            };
        });
    }

    /** The leader that this candidate last saw in the store. */
    leader(): Leader | undefined {
        return this.elector.leader();
    }

    /** All events from now on, in order. */
    changes(): Changes {
        return this.elector.changes();
    }

    /** Guards a transaction: see `Elector.guard`. */
    guard(query: Queryable | QueryFunction): Promise<bigint> {
        return this.elector.guard(query);
    }

    /**
     * Runs work as leader and releases after it: see `Elector.runAsLeader`. Campaigns again after one lease,
     * as after `release()`. A shutdown aborts the work's signal and waits for the work; from then on new work
     * is refused with `RELEASED`.
     */
    async runAsLeader<T>(
        work: (term: Term) => T | PromiseLike<T>,
        options: { readonly signal?: AbortSignal | undefined } = {},
    ): Promise<T> {
        if (this.#isClosing) throw this.#closing();
        systemClock.clearTimeout(this.#again);
        // During a shutdown the lease is also kept for other jobs.
        const isKept = () => this.#isClosing && this.jobs.names.length > 0;
        const bounded = { drainMs: this.#drainMs, ...options, isKept };
        // Tracks only the work; the shutdown waits for the store's confirmation elsewhere.
        const tracked = (term: Term) => this.jobs.track("runAsLeader()", (async () => work(term))());
        try {
            return await this.elector.runAsLeader(tracked, bounded);
        } finally {
            this.#campaignLater();
        }
    }

    // ---- Campaign and release ----

    /**
     * Releases the lease: this candidate is not leader from this call on, whatever job is in progress. It
     * campaigns again after one lease, so that others can lead first. The promise resolves once the store has
     * confirmed the release, or once the lease has expired. During a shutdown this is `shutdown()`.
     */
    async release(): Promise<void> {
        if (this.#isClosing) return this.shutdown();
        this.#campaignLater();
        await this.elector.release();
    }

    /**
     * Starts no more jobs: this candidate is not leader from this call on. The lease is kept for jobs in
     * progress until `shutdown()`, for `drainMs` at most. `leadership` still has the term's token, which
     * protects their writes.
     */
    drain(): void {
        if (this.#isClosing) return;
        this.#end();
        this.#drainUntil = systemClock.now() + this.#drainMs;
        this.elector.drain(this.#drainMs);
    }

    /**
     * Waits for jobs in progress, with the lease kept for them, until `drainMs` after the drain began. Then
     * stops for good and leaves no timer or listener behind. The lease is released if all jobs have ended;
     * else it is no longer renewed, and expires.
     */
    shutdown(): Promise<void> {
        return (this.#ended ??= this.#shutdown());
    }

    /**
     * @internal Ends a term whose soft deadline has come, since its jobs were told to stop: no new job is
     * started, and once the jobs in progress have ended, this candidate campaigns again.
     */
    restart(): void {
        if (this.elector.leadership.phase !== "leader") return;
        this.elector.windDown(this.#drainMs);
        // Takes effect when this term has ended, for whatever reason.
        if (this.elector.lastError?.code !== "PANIC") this.elector.campaign();
        void this.jobs.settled(this.#drainMs).then(() => {
            if (this.jobs.names.length === 0) void this.elector.drained();
        });
    }

    #end(): void {
        this.#isClosing = true;
        this.#campaigns = false;
        systemClock.clearTimeout(this.#again);
    }

    async #shutdown(): Promise<void> {
        const isBusy = this.jobs.names.length > 0;
        if (isBusy) this.drain();
        this.#end();
        const isDone = !isBusy || (await this.#drained());
        // Begins first, so that subscribers of `leadership$` see the end of the term before it completes.
        const released = isDone ? this.#released() : undefined;
        for (const end of this.#ends) end();
        await released;
        this.elector.letGo();
    }

    /** Releases, and waits for a limited time until the store has confirmed it. */
    async #released(): Promise<void> {
        const released = this.elector[Symbol.asyncDispose]();
        let timer: unknown;
        const late = new Promise<void>((resolve) => {
            timer = systemClock.setTimeout(resolve, Math.min(LONGEST_RELEASE_MS, this.#leaseMs));
            hold(timer, "alive");
        });
        await Promise.race([released, late]);
        systemClock.clearTimeout(timer);
    }

    /** Waits for the jobs in progress. Resolves to false if some still run when the drain's time is up. */
    async #drained(): Promise<boolean> {
        await this.jobs.settled(Math.max(0, this.#drainUntil - systemClock.now()));
        const left = this.jobs.names;
        if (left.length === 0) return true;
        this.logger?.error(`election ${JSON.stringify(this.elector.election)}: ${left.join(", ")} still ` +
            `runs ${this.#drainMs} ms (\`drainMs\`) after the shutdown began; the lease is no longer ` +
            `renewed, and another candidate can lead once it has expired, within ${this.#leaseMs} ms`);
        return false;
    }

    /**
     * Starts the campaign, unless the shutdown has begun. Called by the constructor; a module decides itself
     * when.
     */
    protected begin(): boolean {
        // After the shutdown nothing would release the lease.
        if (this.#isClosing) return false;
        this.#campaigns = true;
        this.elector.campaign();
        return true;
    }

    /**
     * Campaigns again after one lease, unless the shutdown has begun by then; not before the first `begin()`.
     */
    #campaignLater(): void {
        systemClock.clearTimeout(this.#again);
        if (!this.#campaigns) return;
        this.#again = systemClock.setTimeout(() => this.elector.campaign(), this.#leaseMs);
    }

    /** Waits for the store's first answer. Rejects only if the store refused; other failures are retried. */
    protected async answered(): Promise<void> {
        await this.elector.step();
        const { lastError } = this.elector;
        if (lastError?.code === "STORE_REFUSED" || lastError?.code === "PANIC") throw lastError;
    }

    #closing(): ElectorError {
        const message = `election ${JSON.stringify(this.elector.election)}: no work is started, since ` +
            "this candidate shuts down; call runAsLeader() before the application closes";
        return new ElectorError("RELEASED", message);
    }

    get #why(): string {
        const { lastError } = this.elector;
        return lastError ? `: ${oneLine(lastError)}` : "";
    }
}

interface Rx { Observable: typeof Observable }
