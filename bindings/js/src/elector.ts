import type { Change } from "./changes.js";
import { Changes } from "./changes.js";
import type { Clock } from "./clock.js";
import { orLater, systemClock } from "./clock.js";
import type { DeposedReason, Leader, MachineEvent, MachineLeadership, Phase, Row } from "./core.js";
import { Machine } from "./core.js";
import { ElectorError, StoreError, oneLine } from "./errors.js";
import type { Queryable, QueryFunction } from "./stores/client.js";
import { rowsOf } from "./stores/client.js";
import { Hub } from "./hub.js";
import type { ElectorOptions, Logger } from "./options.js";
import { checkDuration, checkOptions, machineOptions, tell } from "./options.js";
import type { Deadlines, Term } from "./run.js";
import { runAsLeader } from "./run.js";

/** One consistent answer to "do I lead?". */
export type Leadership = Deadlines & (
    | {
        readonly leading: true;
        readonly phase: "leader";
        /** The fencing token of this term. */
        readonly token: bigint;
    }
    | {
        readonly leading: false;
        /** `draining`: the lease is kept for work in progress, and `token` still protects it. */
        readonly phase: Exclude<Phase, "leader"> | "leader";
        readonly token?: bigint;
        /** Why the latest term ended. */
        readonly reason?: DeposedReason;
    }
);

type Listeners = { [E in MachineEvent["event"]]?: Set<(change: Change) => void> };
/** The change that goes with an event's name. */
export type ChangeOf<E extends MachineEvent["event"]> = Extract<Change, { event: E }>;

/** Somebody who waits until a condition on the machine holds. */
interface Waiter {
    readonly done: (machine: Machine) => boolean;
    readonly resolve: () => void;
}

const NEVER = { earliestMs: Infinity, latestMs: Infinity };

/**
 * One candidate of one election. Makes no I/O before `campaign()`.
 *
 * ```js
 * const elector = new Elector({ election: "nightly", store: postgresStore(pool) });
 * elector.campaign();
 * if (elector.amILeader()) doWhatOnlyOneMayDo();
 * ```
 */
export class Elector {
    readonly election: string;
    readonly candidate: string;
    /** @internal */ wait: { readonly earliestMs: number; readonly latestMs: number } = NEVER;
    /** @internal */ readonly logger: Logger | undefined;
    /** @internal */ storeError: StoreError | undefined;
    /** @internal How often somebody had this candidate stand down. */ stoodDown = 0;
    /** @internal Work of `runAsLeader` was cut off and has not returned. */ isCutOff = false;
    readonly #clock: Clock;
    readonly #hub: Hub;
    readonly #machine: Machine;
    /** When trust ends; 0 without a term. One writer: `#publish`. */
    #trustedUntil = 0;
    #token: bigint | undefined;
    #fault: ElectorError | undefined;
    #unsaid: Change[] = [];
    #saying = false;
    readonly #listeners: Listeners = {};
    readonly #readers = new Set<Changes>();
    #waiting: Waiter[] = [];
    /** How many wait for something that keeps the process alive; none once all of that was let go. */
    #holds = 0;
    #isLetGo = false;
    /** How long work may take to stop while `runAsLeader` is under way. */
    #drainMs: number | undefined;

    /** Checks everything, and throws an `ElectorError` with the code `INVALID_OPTIONS` if it does not fit. */
    constructor(options: ElectorOptions) {
        checkOptions(options);
        this.#clock = options.clock ?? systemClock;
        this.#hub = Hub.of(options.store, this.#clock);
        const given = machineOptions(options, this.#hub.seed);
        this.election = given.election;
        this.candidate = given.candidate;
        this.logger = options.logger;
        try {
            this.#machine = new Machine(given, this.#clock.now());
        } catch (error) {
            throw new ElectorError("INVALID_OPTIONS", oneLine(error));
        }
    }

    // ---- Standing ----

    /**
     * Stands for election until `release()`. After a loss it stands again by itself. Again: no effect; nor
     * while work of `runAsLeader` that was cut off has not returned, after which the run stands again.
     */
    campaign(): void {
        this.#check();
        if (this.isCutOff) return;
        this.tell((machine, now) => machine.campaign(now));
    }

    /**
     * Stands down: not leader from this call on, and no candidate until the next `campaign()`. The promise
     * is kept once the store has confirmed it, so that the next candidate leads at once, or once the lease
     * has ended by itself, whether or not a campaign has begun meanwhile. It need not be awaited.
     */
    release(): Promise<void> {
        this.stoodDown += 1;
        return this.#ending((machine, now) => machine.release(now));
    }

    /**
     * Not leader for new work from this call on, but the lease is kept until `drained()`; if `drainMs` is
     * given, it is renewed for that long at most, and what is left of it then ends by itself. Signals
     * `runAsLeader`'s work to stop; the default bound is that run's `drainMs`.
     */
    drain(drainMs: number | undefined = this.#drainMs): void {
        if (drainMs !== undefined) checkDuration("drainMs", drainMs);
        this.stoodDown += 1;
        this.windDown(drainMs);
    }

    /** @internal The same for work that was cut off: nobody wants this candidate to stand down for good. */
    windDown(drainMs: number | undefined = this.#drainMs): void {
        if (drainMs === undefined) return this.leaveToDrain();
        this.tell((machine, now) => machine.drainFor(now, drainMs));
    }

    /** @internal Drains without a bound, or with that of before; no campaign follows. */
    leaveToDrain(): void {
        this.tell((machine, now) => machine.drain(now));
    }

    /**
     * The work in progress is done: ends what `drain()` began. The promise is kept as that of `release()`;
     * at once if a term is on that does not drain, since what did has ended before it.
     */
    drained(): Promise<void> {
        return this.#ending((machine, now) => machine.drained(now));
    }

    /** Says that the host makes progress. Needed at least every half lease with `progressGate`. */
    alive(): void {
        this.tell((machine, now) => machine.alive(now));
    }

    /** Releases, and waits for it; ends all `changes()`. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.release();
        for (const reader of this.#readers) reader.close();
        this.#readers.clear();
    }

    // ---- Leadership ----

    /**
     * Whether this candidate leads at this instant. Reads the clock every time: right even if timers are
     * late, as after the event loop was blocked. Makes no I/O.
     */
    amILeader(): boolean {
        return this.#trustedUntil > this.#clock.now();
    }

    /** The fencing token of the current term; `undefined` unless this candidate leads. */
    get token(): bigint | undefined {
        return this.amILeader() ? this.#token : undefined;
    }

    /** One consistent answer with the term's token and deadlines. */
    get leadership(): Leadership {
        if (this.#fault) return { leading: false, phase: "standby", trustedForMs: 0, workForMs: 0 };
        const now = this.#clock.now();
        return described(this.#machine.leadership(now), now);
    }

    /** Who leads, as far as this candidate knows; it learns so while it stands. */
    leader(): Leader | undefined {
        return this.#fault ? undefined : this.#machine.leader();
    }

    /**
     * The latest error of the store that befell this elector, unless it was answered since; or the fault that
     * ended it.
     */
    get lastError(): ElectorError | undefined {
        return this.#fault ?? this.storeError;
    }

    /**
     * Asks the store whether this term still lasts there, in one round trip. Where clocks stand still
     * (Workers) or may not count a suspend, this and `guard()` are what to rely on.
     *
     * Throws a `StoreError` when the store does not answer.
     */
    async confirm(): Promise<Leadership> {
        const { token } = this.leadership;
        const holder = this.#fault ? "" : this.#machine.leaderId();
        if (token === undefined) return this.leadership;
        const row = await this.#look();
        const holds = row?.holder === holder && row.token === token && row.remainingUs > 0n;
        if (!holds && this.#token === token) this.tell((machine, now) => machine.revoked(now));
        return this.leadership;
    }

    /**
     * Does what is due, and waits for its answers: for hosts that run only when they are called, such as a
     * Durable Object's alarm. Call it again within `nextMs`.
     */
    async step(): Promise<{ leadership: Leadership; nextMs: number }> {
        this.#check();
        await this.#hub.step(this);
        return { leadership: this.leadership, nextMs: Math.max(0, this.wait.latestMs - this.#clock.now()) };
    }

    /**
     * Fences the caller's own transaction on PostgreSQL: it can commit only if nobody else has been elected
     * before it ends. Call it first in the transaction, with the client that the transaction is on or its
     * `query` function; it must see the table of this elector's store. Resolves to the term's token.
     *
     * Any isolation level will do; above READ COMMITTED it fails also if the table was rewritten (VACUUM
     * FULL, CLUSTER) since the transaction's first statement. Rolling back to a savepoint (a nested
     * transaction of an ORM) also ends a guard that was called after it, and so does the EXCEPTION clause of
     * a PL/pgSQL block around the guard: call it outside of them, or again afterwards.
     *
     * Throws `NOT_LEADER` when the term is over, or the client's own error: roll back then. `NO_GUARD` on
     * other stores.
     */
    async guard(query: Queryable | QueryFunction): Promise<bigint> {
        const { store } = this.#hub;
        if (!store.guardSql) {
            throw new ElectorError("NO_GUARD", `${store.name} has no transactions that could be guarded`);
        }
        // Work that is drained has its term still, and must be able to finish.
        const { token } = this.leadership;
        if (token === undefined) throw this.#notLeader();
        const text = await store.guardSql();
        const run = typeof query === "function" ? query : query.query.bind(query);
        const held = rowsOf(await run(text, [this.election, this.#machine.leaderId(), String(token)]));
        if (held.length === 0) throw this.#notLeader();
        return token;
    }

    // ---- Following ----

    /** Everything that happens from now on, in order; of several renewals not read yet only the last. */
    changes(): Changes {
        const changes = new Changes((left) => this.#readers.delete(left));
        this.#readers.add(changes);
        return changes;
    }

    /** Calls back at each such event. Returns the function that ends it. */
    on<E extends MachineEvent["event"]>(event: E, listener: (change: ChangeOf<E>) => void): () => void {
        const listeners = (this.#listeners[event] ??= new Set()) as Set<unknown>;
        listeners.add(listener);
        return () => void listeners.delete(listener);
    }

    /**
     * Campaigns, calls `work` once elected, and returns what it returns, with the lease released.
     *
     * The term's `signal` is aborted at the soft deadline (`graceMs` before trust ends) or when the term is
     * over. `work` must heed it, and return: nobody can stop JavaScript from outside. By then this candidate
     * does not lead any more; a lease that it still has is kept until `work` has returned, if that is
     * possible. Then `work` is called again under the next term's token.
     *
     * To stop it, as on SIGTERM, abort `options.signal`: this candidate does not lead any more, the term's
     * signal is aborted too, and the lease is kept until `work` has returned, so that the next leader begins
     * after it. It is renewed for `options.drainMs` at most (default: half a lease); what is left of it then
     * ends by itself. A `release()` does not wait for `work`.
     *
     * Throws what `work` threw in a term that lasted; the reason of `options.signal`; `RELEASED` when
     * `release()` or `drain()` is called elsewhere; `BUSY` while other work of this elector runs.
     */
    async runAsLeader<T>(
        work: (term: Term) => T | PromiseLike<T>,
        options: {
            readonly signal?: AbortSignal | undefined;
            readonly drainMs?: number | undefined;
            /** @internal Whether somebody else will release. */
            readonly isKept?: (() => boolean) | undefined;
        } = {},
    ): Promise<T> {
        this.#check();
        const { signal, drainMs = this.#machine.leaseMs() / 2, isKept } = options;
        checkDuration("drainMs", drainMs);
        if (this.#drainMs !== undefined) throw this.#busy();
        this.#drainMs = drainMs;
        try {
            return await runAsLeader(this, work, signal, isKept);
        } finally {
            this.#drainMs = undefined;
        }
    }

    // ---- The machine ----

    /** @internal */
    tell(input: (machine: Machine, now: number) => void): void {
        if (this.#fault) return;
        try {
            input(this.#machine, this.#clock.now());
            this.#drain();
        } catch (error) {
            this.#die(error);
        }
        this.#say();
        if (this.#fault) return;
        // Also one that had settled may want something: to give back what it was granted late.
        if (this.#machine.isSettled()) this.#hub.leave(this);
        else this.#hub.join(this);
        for (const waiter of this.#waiting.splice(0)) {
            if (waiter.done(this.#machine)) waiter.resolve();
            else this.#waiting.push(waiter);
        }
    }

    #drain(): void {
        // Before anybody is told: who hears `deposed` and asks must get the answer "no".
        const now = this.#clock.now();
        const leadership = this.#machine.leadership(now);
        this.#trustedUntil = leadership.isLeader ? leadership.trustedUntilMs : 0;
        this.#token = leadership.token;
        for (;;) {
            const output = this.#machine.poll();
            if (output.kind === "wait") {
                this.wait = output;
                this.#hub.planned(this);
                return;
            }
            if (output.kind === "send") {
                this.#hub.post(this, output);
                continue;
            }
            const { kind, ...event } = output;
            const about = { at: new Date(), election: this.election, candidate: this.candidate };
            this.#unsaid.push({ ...event, ...about });
        }
    }

    /** Listeners may call this elector, so nothing is half done when they run, and none is overtaken. */
    #say(): void {
        if (this.#saying) return;
        this.#saying = true;
        for (let change = this.#unsaid.shift(); change; change = this.#unsaid.shift()) {
            if (change.event !== "renewed") {
                tell(this.logger, "info", `election ${JSON.stringify(this.election)}: ${change.event}`);
            }
            for (const reader of this.#readers) reader.push(change);
            for (const listener of [...(this.#listeners[change.event] ?? [])]) {
                try {
                    listener(change);
                } catch (error) {
                    tell(this.logger, "error", `a listener of ${change.event} threw: ${oneLine(error)}`);
                }
            }
        }
        this.#saying = false;
    }

    #die(error: unknown): void {
        this.#trustedUntil = 0;
        this.wait = NEVER;
        const message = `election ${JSON.stringify(this.election)}: ${oneLine(error)}; this elector is ` +
            "dead, and its lease ends by itself; please report this";
        this.#fault = new ElectorError("PANIC", message, { cause: error });
        tell(this.logger, "error", message);
        if (this.#token !== undefined) {
            const about = { at: new Date(), election: this.election, candidate: this.candidate };
            this.#unsaid.push({ event: "deposed", token: this.#token, reason: "revoked", ...about });
        }
        this.#hub.leave(this);
        for (const { resolve } of this.#waiting.splice(0)) resolve();
    }

    #check(): void {
        if (this.#fault) throw this.#fault;
    }

    #notLeader(): ElectorError {
        const message = `election ${JSON.stringify(this.election)}: this candidate does not lead; roll the ` +
            "transaction back";
        return new ElectorError("NOT_LEADER", message);
    }

    #busy(): ElectorError {
        const message = `election ${JSON.stringify(this.election)}: this elector runs other work as leader ` +
            "already; wait until that has returned, or make an elector of its own for this work";
        return new ElectorError("BUSY", message);
    }

    /** @internal Kept once there is nothing to lead, to try or to tell the store. */
    whenSettled(): Promise<void> {
        return this.#when((machine) => machine.isSettled());
    }

    /** Ends what is held. The promise is kept once all of it has come to its end. */
    #ending(input: (machine: Machine, now: number) => void): Promise<void> {
        const before = this.#fault ? 0n : this.#machine.settlements();
        this.tell(input);
        return this.#when((machine) => machine.settlements() > before);
    }

    async #when(done: (machine: Machine) => boolean): Promise<void> {
        if (this.#fault || done(this.#machine)) return;
        this.keepAlive(1);
        await new Promise<void>((resolve) => this.#waiting.push({ done, resolve }));
        this.keepAlive(-1);
    }

    /** @internal Somebody waits for this elector: the process must not end before. */
    keepAlive(by: 1 | -1): void {
        if (this.#isLetGo) return;
        this.#holds += by;
        this.#hub.keepAlive(by);
    }

    /** @internal From now on the process may end, whoever still waits for this elector. */
    letGo(): void {
        if (this.#isLetGo) return;
        this.#isLetGo = true;
        this.#hub.keepAlive(-this.#holds);
    }

    /** @internal */
    get leaseMs(): number {
        return this.#machine.leaseMs();
    }

    async #look(): Promise<Row | undefined> {
        const { store } = this.#hub;
        let row: Row | undefined;
        let failure: StoreError | undefined = new StoreError("unknown", `${store.name}: no answer`);
        const deadlineMs = this.#clock.now() + this.#machine.leaseMs() / 2;
        const job = { election: this.election, request: { id: 0, deadlineMs, op: "look" as const } };
        const answered = store.execute([job], (_job, reply, error) => {
            failure = error;
            if (reply.outcome === "seen") row = reply.row;
        });
        await orLater(answered, this.#clock, deadlineMs);
        if (failure) throw failure;
        return row;
    }
}

function described(answer: MachineLeadership, now: number): Leadership {
    const { phase, token, reason } = answer;
    const deadlines = {
        trustedForMs: Math.max(0, answer.trustedUntilMs - now),
        workForMs: Math.max(0, answer.workUntilMs - now),
    };
    if (answer.isLeader && token !== undefined) {
        return { leading: true, phase: "leader", token, ...deadlines };
    }
    return {
        leading: false,
        phase,
        ...deadlines,
        ...(token === undefined ? {} : { token }),
        ...(reason === undefined ? {} : { reason }),
    };
}
