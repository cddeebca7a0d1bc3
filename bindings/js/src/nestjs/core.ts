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

/** An application that ends waits no longer than this for the store to confirm a release. */
const LONGEST_FAREWELL_MS = 5_000;
/** Events after which `leadership` is another. */
const TURNS = ["elected", "stopNewWork", "deposed"] as const;

/**
 * One candidate of one election. It stands from the moment on at which it is made, and stands again after
 * each loss.
 *
 * ```ts
 * const elector = new LeaderElectorCore(dataSource.getRepository(LeaderLease), { leaseDuration: 15000 });
 * if (elector.amILeader()) doWhatOnlyOneMayDo();
 * ```
 */
export class LeaderElectorCore {
    /** What all of this stands on, with everything that it can. */
    readonly elector: Elector;
    /** @internal */ readonly store: Store;
    /** @internal */ readonly logger: LeaderLogger | undefined;
    /** @internal What runs because this candidate leads. */ readonly jobs = new Jobs();
    readonly #leaseMs: number;
    readonly #drainMs: number;
    /** When a drain ends, done or not. */
    #drainUntil = 0;
    #again: unknown;
    #stands = false;
    /** No job is begun any more, and it never stands again. */
    #isOver = false;
    #ended: Promise<void> | undefined;
    readonly #ends = new Set<() => void>();

    /** Throws an `ElectorError` that names the numbers if the configuration does not fit together. */
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

    /** The same, once the store has answered. Rejects if that refuses: for a permission, for its table. */
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

    /** Whether this candidate leads at this instant: no I/O, and right even if the event loop was blocked. */
    amILeader(): boolean {
        return this.elector.amILeader();
    }

    /** The fencing token of the current term; `undefined` unless this candidate leads. */
    get token(): bigint | undefined {
        return this.elector.token;
    }

    /** One consistent answer with the term's token and deadlines. */
    get leadership(): Leadership {
        return this.elector.leadership;
    }

    /** The answer now, and again at each turn; completes at the shutdown. */
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
            if (this.#isOver) return subscriber.complete();
            const offs = TURNS.map((event) => this.elector.on(event, say));
            // What was to end in a term that goes on nevertheless may begin again.
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

    /** Who leads, as far as this candidate knows. */
    leader(): Leader | undefined {
        return this.elector.leader();
    }

    /** Everything that happens from now on, in order. */
    changes(): Changes {
        return this.elector.changes();
    }

    /** Fences a transaction: see `Elector.guard`. */
    guard(query: Queryable | QueryFunction): Promise<bigint> {
        return this.elector.guard(query);
    }

    /**
     * Runs work as leader and releases after it: see `Elector.runAsLeader`. Stands again after one lease, as
     * after `release()`. A shutdown aborts its signal, and waits for it; from then on work is refused with
     * `RELEASED`.
     */
    async runAsLeader<T>(
        work: (term: Term) => T | PromiseLike<T>,
        options: { readonly signal?: AbortSignal | undefined } = {},
    ): Promise<T> {
        if (this.#isOver) throw this.#over();
        systemClock.clearTimeout(this.#again);
        // While it shuts down the lease is also kept for what else runs.
        const isKept = () => this.#isOver && this.jobs.names.length > 0;
        const bounded = { drainMs: this.#drainMs, ...options, isKept };
        // Not what follows the work: that the store confirms the release is waited for elsewhere.
        const tracked = (term: Term) => this.jobs.track("runAsLeader()", (async () => work(term))());
        try {
            return await this.elector.runAsLeader(tracked, bounded);
        } finally {
            this.#standLater();
        }
    }

    // ---- Standing ----

    /**
     * Gives the lease up: not leader from this call on, whatever runs. Stands again after one lease, so that
     * others go first. The promise is kept once the store has confirmed it, or once the lease has ended by
     * itself. While it shuts down: the same as `shutdown()`.
     */
    async release(): Promise<void> {
        if (this.#isOver) return this.shutdown();
        this.#standLater();
        await this.elector.release();
    }

    /**
     * Begins no job any more: not leader from this call on. The lease is kept for what runs until
     * `shutdown()`, for `drainMs` at most, and the term's token, which `leadership` still has, protects it.
     */
    drain(): void {
        if (this.#isOver) return;
        this.#end();
        this.#drainUntil = systemClock.now() + this.#drainMs;
        this.elector.drain(this.#drainMs);
    }

    /**
     * Waits for what runs, until `drainMs` after the drain began and with the lease kept for it; gives the
     * lease up for good, and leaves nothing behind. If something still runs then, the lease is not released:
     * it is renewed no more, and ends by itself.
     */
    shutdown(): Promise<void> {
        return (this.#ended ??= this.#shutdown());
    }

    /**
     * @internal Ends a term whose soft deadline came, since what it began was told to stop: nothing new is
     * begun, and once what runs has ended, this candidate stands again.
     */
    beginAnew(): void {
        if (this.elector.leadership.phase !== "leader") return;
        this.elector.windDown(this.#drainMs);
        // Takes effect when this term has ended, however it does.
        if (this.elector.lastError?.code !== "PANIC") this.elector.campaign();
        void this.jobs.settled(this.#drainMs).then(() => {
            if (this.jobs.names.length === 0) void this.elector.drained();
        });
    }

    #end(): void {
        this.#isOver = true;
        this.#stands = false;
        systemClock.clearTimeout(this.#again);
    }

    async #shutdown(): Promise<void> {
        const isBusy = this.jobs.names.length > 0;
        if (isBusy) this.drain();
        this.#end();
        const isDone = !isBusy || (await this.#drained());
        // Begun first, so that those who follow `leadership$` hear of the end before it completes.
        const released = isDone ? this.#released() : undefined;
        for (const end of this.#ends) end();
        await released;
        this.elector.letGo();
    }

    /** Releases, and waits for a while until the store has confirmed it. */
    async #released(): Promise<void> {
        const released = this.elector[Symbol.asyncDispose]();
        let timer: unknown;
        const late = new Promise<void>((resolve) => {
            timer = systemClock.setTimeout(resolve, Math.min(LONGEST_FAREWELL_MS, this.#leaseMs));
            hold(timer, true);
        });
        await Promise.race([released, late]);
        systemClock.clearTimeout(timer);
    }

    /** Whether nothing runs any more. */
    async #drained(): Promise<boolean> {
        await this.jobs.settled(Math.max(0, this.#drainUntil - systemClock.now()));
        const left = this.jobs.names;
        if (left.length === 0) return true;
        this.logger?.error(`election ${JSON.stringify(this.elector.election)}: ${left.join(", ")} still ` +
            `runs after the ${this.#drainMs} ms of \`drainMs\`; the lease is renewed no more, and others ` +
            `are elected when it has ended by itself, within ${this.#leaseMs} ms`);
        return false;
    }

    /** Stands from now on, if it is not over: from the beginning, unless a module decides when. */
    protected begin(): boolean {
        // After the shutdown nobody would be left who releases.
        if (this.#isOver) return false;
        this.#stands = true;
        this.elector.campaign();
        return true;
    }

    /** Stands again after one lease, unless it is over by then; and not before it has begun. */
    #standLater(): void {
        systemClock.clearTimeout(this.#again);
        if (!this.#stands) return;
        this.#again = systemClock.setTimeout(() => this.elector.campaign(), this.#leaseMs);
    }

    /** Waits until the store has answered once. What goes away by itself is left to go away. */
    protected async answered(): Promise<void> {
        await this.elector.step();
        const { lastError } = this.elector;
        if (lastError?.code === "STORE_REFUSED" || lastError?.code === "PANIC") throw lastError;
    }

    #over(): ElectorError {
        const message = `election ${JSON.stringify(this.elector.election)}: no work is begun any more, ` +
            "since this candidate shuts down, or has; begin it before the application closes";
        return new ElectorError("RELEASED", message);
    }

    get #why(): string {
        const { lastError } = this.elector;
        return lastError ? `: ${oneLine(lastError)}` : "";
    }
}

interface Rx { Observable: typeof Observable }
