import type { Change } from "./changes.js";
import { Changes } from "./changes.js";
import type { Clock } from "./clock.js";
import { systemClock, waitUntil } from "./clock.js";
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

/** The phase, token and deadlines of a candidate, all of one instant. */
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
        /** Why the latest term ended, if one has. */
        readonly reason?: DeposedReason;
    }
);

type Listeners = { [E in MachineEvent["event"]]?: Set<(change: Change) => void> };
/** The type of change of an event. */
export type ChangeOf<E extends MachineEvent["event"]> = Extract<Change, { event: E }>;

/** A caller that waits for a condition on the machine. */
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
    /** @internal The number of calls that made it stand down. */ stoodDown = 0;
    /** @internal Work of `runAsLeader` was cut off and still runs. */ isCutOff = false;
    readonly #clock: Clock;
    readonly #hub: Hub;
    readonly #machine: Machine;
    /** The hard deadline; 0 without a term. Written by `#drain` and `#die` only. */
    #trustedUntil = 0;
    #token: bigint | undefined;
    #fault: ElectorError | undefined;
    #undelivered: Change[] = [];
    #delivering = false;
    readonly #listeners: Listeners = {};
    readonly #readers = new Set<Changes>();
    #waiting: Waiter[] = [];
    /** The number of waits that keep the process alive. `letGo()` ends their effect. */
    #holds = 0;
    #isLetGo = false;
    /** The drain bound of the `runAsLeader` call in progress. */
    #drainMs: number | undefined;

    /** Checks all options, and throws an `ElectorError` with the code `INVALID_OPTIONS` if one is wrong. */
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

    // ---- Campaign and release ----

    /**
     * Campaigns until `release()` or `drain()`, again after each lost term. Without effect while the
     * candidate campaigns already, and while work of `runAsLeader` that was cut off has not returned; that
     * run campaigns afterwards.
     */
    campaign(): void {
        this.#check();
        if (this.isCutOff) return;
        this.tell((machine, now) => machine.campaign(now));
    }

    /**
     * Stands down: this candidate is not leader from this call on, and campaigns again only after
     * `campaign()`. The promise resolves once the store has confirmed the release, so that the next candidate
     * can lead at once, or else once the lease has expired; a campaign that begins meanwhile does not delay
     * it. You need not await it.
     */
    release(): Promise<void> {
        this.stoodDown += 1;
        return this.#ending((machine, now) => machine.release(now));
    }

    /**
     * Stands down but keeps the lease for work in progress until `drained()`: `amILeader()` is false from
     * this call on, and `runAsLeader`'s work is signalled to stop. With `drainMs` (milliseconds) the lease is
     * renewed for that long at most, and then expires. Default: the `drainMs` of the run in progress, else no
     * bound: work that never ends then blocks the election.
     */
    drain(drainMs: number | undefined = this.#drainMs): void {
        if (drainMs !== undefined) checkDuration("drainMs", drainMs);
        this.stoodDown += 1;
        this.windDown(drainMs);
    }

    /** @internal Drains for work that was cut off; this candidate campaigns again afterwards. */
    windDown(drainMs: number | undefined = this.#drainMs): void {
        if (drainMs === undefined) return this.leaveToDrain();
        this.tell((machine, now) => machine.drainFor(now, drainMs));
    }

    /** @internal Drains with the bound set before, or without one; no campaign follows. */
    leaveToDrain(): void {
        this.tell((machine, now) => machine.drain(now));
    }

    /**
     * Ends a drain: the work in progress is done. The promise resolves as that of `release()` does; at once
     * if the term that drained has already ended and a later one has begun.
     */
    drained(): Promise<void> {
        return this.#ending((machine, now) => machine.drained(now));
    }

    /**
     * Reports that the host makes progress. With `progressGate`, call it at least every half lease; else the
     * term ends.
     */
    alive(): void {
        this.tell((machine, now) => machine.alive(now));
    }

    /** Releases, waits for the confirmation, and ends all `changes()`. */
    async [Symbol.asyncDispose](): Promise<void> {
        await this.release();
        for (const reader of this.#readers) reader.close();
        this.#readers.clear();
    }

    // ---- Leadership ----

    /**
     * Whether this candidate leads at this instant. Makes no I/O. Reads the clock at each call, so it is
     * right even if timers are late because the event loop was blocked.
     */
    amILeader(): boolean {
        return this.#trustedUntil > this.#clock.now();
    }

    /** The fencing token of the current term; `undefined` unless this candidate leads. */
    get token(): bigint | undefined {
        return this.amILeader() ? this.#token : undefined;
    }

    /** The phase, token and deadlines of this candidate, all of one instant. Makes no I/O. */
    get leadership(): Leadership {
        if (this.#fault) return { leading: false, phase: "standby", trustedForMs: 0, workForMs: 0 };
        const now = this.#clock.now();
        return described(this.#machine.leadership(now), now);
    }

    /** The leader that this candidate last saw in the store. Updated only while it campaigns. */
    leader(): Leader | undefined {
        return this.#fault ? undefined : this.#machine.leader();
    }

    /**
     * The latest store error of this elector's requests, unless a later request was answered; or the `PANIC`
     * that ended this elector.
     */
    get lastError(): ElectorError | undefined {
        return this.#fault ?? this.storeError;
    }

    /**
     * Asks the store whether this term still lasts, in one round trip. Rely on this and on `guard()` where
     * the clock stands still (Workers) or may not count a suspend.
     *
     * Throws a `StoreError` when the store does not answer within half a lease.
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
     * Does everything that is due, and waits for the answers: for hosts that run only when they are called,
     * such as a Durable Object's alarm. Call it again within `nextMs`; later calls can cost the term.
     */
    async step(): Promise<{ leadership: Leadership; nextMs: number }> {
        this.#check();
        await this.#hub.step(this);
        return { leadership: this.leadership, nextMs: Math.max(0, this.wait.latestMs - this.#clock.now()) };
    }

    /**
     * Guards your own transaction on PostgreSQL: it can commit only if no other candidate is elected before
     * it ends. Call it first in the transaction, with the client that the transaction is on or its `query`
     * function; that client must see the table of this elector's store. Resolves to the term's token.
     *
     * Works at any isolation level; above READ COMMITTED it also fails if the table was rewritten (VACUUM
     * FULL, CLUSTER) since the transaction's first statement. A rollback to a savepoint (a nested transaction
     * of an ORM) also removes a guard that was called after that savepoint, and so does the EXCEPTION clause
     * of a PL/pgSQL block around the guard. So call the guard outside of them, or again after the rollback.
     *
     * Throws `NOT_LEADER` when the term has ended, `NO_GUARD` on other stores, or the client's own error.
     * Roll back after each of them.
     */
    async guard(query: Queryable | QueryFunction): Promise<bigint> {
        const { store } = this.#hub;
        if (!store.guardSql) {
            throw new ElectorError("NO_GUARD", `${store.name} cannot guard transactions; use postgresStore`);
        }
        // A draining term still has its token, so that its work can finish.
        const { token } = this.leadership;
        if (token === undefined) throw this.#notLeader();
        const text = await store.guardSql();
        const run = typeof query === "function" ? query : query.query.bind(query);
        const held = rowsOf(await run(text, [this.election, this.#machine.leaderId(), String(token)]));
        if (held.length === 0) throw this.#notLeader();
        return token;
    }

    // ---- Events ----

    /** All events from now on, in order. Of several unread renewals in a row only the last is kept. */
    changes(): Changes {
        const changes = new Changes((left) => this.#readers.delete(left));
        this.#readers.add(changes);
        return changes;
    }

    /** Calls `listener` at each event of this name. Call the returned function to stop that. */
    on<E extends MachineEvent["event"]>(event: E, listener: (change: ChangeOf<E>) => void): () => void {
        const listeners = (this.#listeners[event] ??= new Set()) as Set<unknown>;
        listeners.add(listener);
        return () => void listeners.delete(listener);
    }

    /**
     * Campaigns, calls `work` once elected, releases the lease, and returns what `work` returned.
     *
     * The term's `signal` is aborted at the soft deadline (`graceMs` before the hard deadline) or when the
     * term ends. `work` must then return: JavaScript cannot be interrupted, so work that ignores the signal
     * can run while another candidate leads. From that abort on this candidate does not lead. If its lease is
     * still valid, it is kept until `work` has returned, as long as the store allows. Then this candidate
     * campaigns, and calls `work` again under the token of its next term.
     *
     * To stop the run, as on SIGTERM, abort `options.signal`: this candidate stops leading, the term's signal
     * is aborted, and the lease is kept until `work` has returned, so that the next leader begins after it.
     * The lease is renewed for `options.drainMs` milliseconds at most (default: half a lease), and then
     * expires. Too short, and the lease of slow work expires while it runs. A `release()` does not wait for
     * `work`.
     *
     * Throws the error of `work` if its term lasted; the reason of `options.signal`; `RELEASED` when
     * `release()` or `drain()` is called elsewhere; `BUSY` while other work of this elector runs.
     */
    async runAsLeader<T>(
        work: (term: Term) => T | PromiseLike<T>,
        options: {
            readonly signal?: AbortSignal | undefined;
            readonly drainMs?: number | undefined;
            /** @internal Whether another owner of the elector releases it. */
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
        this.#deliver();
        if (this.#fault) return;
        // A settled machine can also have a request: the release of a lease that was granted late.
        if (this.#machine.isSettled()) this.#hub.leave(this);
        else this.#hub.join(this);
        for (const waiter of this.#waiting.splice(0)) {
            if (waiter.done(this.#machine)) waiter.resolve();
            else this.#waiting.push(waiter);
        }
    }

    #drain(): void {
        // Published before events are delivered: a listener of `deposed` that asks `amILeader()` must get
        // false.
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
            this.#undelivered.push({ ...event, ...about });
        }
    }

    /**
     * Listeners may call this elector. So they run when its state is complete, and changes keep their order.
     */
    #deliver(): void {
        if (this.#delivering) return;
        this.#delivering = true;
        for (let change = this.#undelivered.shift(); change; change = this.#undelivered.shift()) {
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
        this.#delivering = false;
    }

    #die(error: unknown): void {
        this.#trustedUntil = 0;
        this.wait = NEVER;
        const message = `election ${JSON.stringify(this.election)}: ${oneLine(error)}; this elector is ` +
            "dead, and its lease will expire; please report this";
        this.#fault = new ElectorError("PANIC", message, { cause: error });
        tell(this.logger, "error", message);
        if (this.#token !== undefined) {
            const about = { at: new Date(), election: this.election, candidate: this.candidate };
            this.#undelivered.push({ event: "deposed", token: this.#token, reason: "revoked", ...about });
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
            "already; wait until that has returned, or make another elector for this work";
        return new ElectorError("BUSY", message);
    }

    /** @internal Resolves once there is no term, no campaign and no request in progress. */
    whenSettled(): Promise<void> {
        return this.#when((machine) => machine.isSettled());
    }

    /** Gives the machine an input that ends its lease. Resolves once the lease is released or has expired. */
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

    /** @internal Counts waits for this elector: the process must not end before them. */
    keepAlive(by: 1 | -1): void {
        if (this.#isLetGo) return;
        this.#holds += by;
        this.#hub.keepAlive(by);
    }

    /** @internal From now on waits for this elector do not keep the process alive. */
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
        await waitUntil(answered, this.#clock, deadlineMs);
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
