import type { Clock } from "./clock.js";
import { hold, orLater } from "./clock.js";
import type { Machine, Output, Reply } from "./core.js";
import { limits, urgency, waitedForMs } from "./core.js";
import { StoreError, oneLine } from "./errors.js";
import { Faults } from "./faults.js";
import type { Logger } from "./options.js";
import { random64, tell } from "./options.js";
import type { Job, Store } from "./store.js";
import { failAll } from "./store.js";

/** The timers of a system may stand still while it is suspended, so the clock is looked at this often. */
const LONGEST_SLEEP_MS = 1_000;
const { mostJobs, shortestPatienceMs, cleanUpEveryMs } = limits();
/** Unanswered batches from which on few more are sent: each waits in the client for a connection. */
const MOST_OVERDUE = 4;
/** Then one is sent about so often, since the client may work again and never answer the old ones. */
const PROBE_EVERY_MS = 10_000;
/** Of a long outage each pause is this part, so that unanswered batches pile up with its logarithm only. */
const PROBE_EVERY_PART = 1 / 16;

/** The urgency of each operation. Looked up here, since batches are sorted by it. */
const URGENCY = {
    release: urgency("release"), renew: urgency("renew"), acquire: urgency("acquire"), look: urgency("look"),
};

/** One candidate as its hub sees it. */
export interface Seat {
    readonly election: string;
    readonly logger: Logger | undefined;
    readonly leaseMs: number;
    /** The latest error of this candidate's own requests, unless one was answered since. */
    storeError: StoreError | undefined;
    /** When the machine wants to hear that time passed. */
    wait: { readonly earliestMs: number; readonly latestMs: number };
    /** Tells the machine something, and does what it says. */
    tell(input: (machine: Machine, now: number) => void): void;
}

interface Batch {
    /** Whose jobs are not answered yet. None once it was left behind. */
    readonly open: Map<Job, Seat>;
    readonly since: number;
    /** How long it is waited for. Sooner once something urgent waits for its turn. */
    until: number;
    readonly done: Promise<void>;
    /** Whether it is counted if it is left behind, or was written off meanwhile. */
    readonly era: number;
}

/** The longest lease. */
const DAY_MS = 86_400_000;

const hubs = new WeakMap<Store, Map<Clock, Hub>>();

/**
 * One hub serves every elector on one store: one timer, and one batch of statements at a time. A batch that
 * is not answered in time is left behind, and the next one is sent; its answer is used when it comes.
 */
export class Hub {
    /**
     * Seeds the jitter of all machines here: those that began together stay together, and renew with one
     * statement. Other processes have other seeds, and that is whom jitter is to part from.
     */
    readonly seed = random64();
    readonly #seats = new Set<Seat>();
    readonly #faults: Faults;
    #jobs: [Seat, Job][] = [];
    #running: Batch | undefined;
    #overdue = 0;
    #era = 0;
    /** Since when too many are overdue, and when one more may be sent nevertheless. */
    #stuckSince = 0;
    #probeAt = 0;
    #flushing = false;
    #timer: unknown;
    #timerAt = Infinity;
    #cleanUpAt: number;
    #keptAlive = 0;
    #listening: Promise<() => void | Promise<void>> | undefined;

    private constructor(readonly store: Store, readonly clock: Clock) {
        this.#faults = new Faults(store.name, (message) => this.#log("warn", message));
        this.#cleanUpAt = this.#nextCleanUp();
    }

    static of(store: Store, clock: Clock): Hub {
        const ofStore = hubs.get(store) ?? new Map<Clock, Hub>();
        hubs.set(store, ofStore);
        const hub = ofStore.get(clock) ?? new Hub(store, clock);
        ofStore.set(clock, hub);
        return hub;
    }

    // ---- Seats ----

    join(seat: Seat): void {
        if (this.#seats.has(seat)) return;
        this.#seats.add(seat);
        this.#arm(seat.wait.latestMs);
        this.#listen();
    }

    /** A candidate that stands by and has nothing to tell the store needs no hub. */
    leave(seat: Seat): void {
        if (!this.#seats.delete(seat)) return;
        this.#faults.removed(seat);
        if (this.#seats.size > 0) return;
        this.#arm(Infinity);
        const listening = this.#listening;
        this.#listening = undefined;
        listening?.then((end) => end()).catch(() => undefined);
    }

    /** Counts waits that only a timer ends: the process must not exit while there are any. */
    keepAlive(by: number): void {
        this.#keptAlive += by;
        if (this.#timer !== undefined) hold(this.#timer, this.#keptAlive > 0);
    }

    /** A machine asks the store for something. All that is asked for before the next turn is one batch. */
    post(seat: Seat, request: Extract<Output, { kind: "send" }>): void {
        this.#jobs.push([seat, { election: seat.election, request }]);
        this.#flushSoon();
    }

    /** A machine's timer was set. */
    planned(seat: Seat): void {
        if (this.#seats.has(seat)) this.#arm(seat.wait.latestMs);
    }

    /** Does what is due, and waits for what is under way: for hosts without timers of their own. */
    async step(seat: Seat): Promise<void> {
        this.#fire();
        seat.tell((machine, now) => machine.timeout(now));
        // A look, an acquire, and what an unanswered one before them left to do.
        for (let round = 0; round < 4; round++) {
            this.#flush();
            const running = this.#running;
            if (!running) return;
            // A batch of a Worker's request that has ended is never answered.
            await orLater(running.done, this.clock, running.until);
        }
    }

    // ---- Time ----

    #arm(at: number): void {
        const due = Math.min(at, this.clock.now() + LONGEST_SLEEP_MS);
        if (this.#seats.size === 0) {
            if (this.#timer !== undefined) this.clock.clearTimeout(this.#timer);
            this.#timer = undefined;
            this.#timerAt = Infinity;
            return;
        }
        if (this.#timer !== undefined && this.#timerAt <= due) return;
        if (this.#timer !== undefined) this.clock.clearTimeout(this.#timer);
        this.#timerAt = due;
        this.#timer = this.clock.setTimeout(() => {
            this.#timer = undefined;
            this.#timerAt = Infinity;
            this.#fire();
        }, Math.max(0, due - this.clock.now()));
        if (this.#keptAlive > 0) hold(this.#timer, true);
    }

    /** Once one timer must fire, all fire that may: what their machines ask for then is one batch. */
    #fire(): void {
        const now = this.clock.now();
        this.#leaveBehind(now);
        const isDue = [...this.#seats].some((seat) => seat.wait.latestMs <= now);
        for (const seat of isDue ? [...this.#seats] : []) {
            if (seat.wait.earliestMs <= now) seat.tell((machine, at) => machine.timeout(at));
        }
        // A client that answers nothing gets nothing more that it need not have.
        if (now >= this.#cleanUpAt && this.#overdue < MOST_OVERDUE) this.#cleanUp();
        let next = this.#running?.until ?? Infinity;
        for (const seat of this.#seats) next = Math.min(next, seat.wait.latestMs);
        this.#arm(next);
    }

    #nextCleanUp(): number {
        return this.clock.now() + cleanUpEveryMs * (0.5 + Math.random());
    }

    #cleanUp(): void {
        this.#cleanUpAt = this.#nextCleanUp();
        this.store.cleanUp?.().catch((error: unknown) => {
            this.#log("debug", `dead rows were not removed: ${oneLine(error)}`);
        });
    }

    // ---- Batches ----

    #flushSoon(): void {
        if (this.#flushing) return;
        this.#flushing = true;
        queueMicrotask(() => {
            this.#flushing = false;
            this.#flush();
        });
    }

    /** The most urgent first: a release frees others, a renewal keeps a term, a take-over starts one. */
    #flush(): void {
        const now = this.clock.now();
        this.#hurry(now);
        this.#leaveBehind(now);
        if (this.#running || this.#jobs.length === 0) return;
        const wanted = this.#jobs.filter(([, job]) => job.request.deadlineMs > now);
        wanted.sort(([, a], [, b]) => URGENCY[a.request.op] - URGENCY[b.request.op]);
        this.#jobs = wanted.splice(mostJobs);
        if (wanted.length === 0) return;
        const seats = new Map(wanted.map(([seat, job]) => [job, seat]));
        const jobs = [...seats.keys()];
        const open = new Map(seats);
        const answer = this.#answerTo(seats, open);
        if (!this.#maySend(now)) return failAll(jobs, answer, this.#silence("unsent"));
        const execute = async () => this.store.execute(jobs, answer);
        const done = execute().catch((error: unknown) => {
            const message = `${this.store.name}: ${oneLine(error)}`;
            failAll(jobs, answer, new StoreError("unknown", message, { cause: error }));
        });
        const batch: Batch = { open, since: now, until: patienceEnds(jobs, now), done, era: this.#era };
        this.#running = batch;
        void done.then(() => {
            if (this.#running === batch) this.#answered();
            else if (batch.era === this.#era) this.#overdue -= 1;
            if (this.#jobs.length > 0) this.#flushSoon();
        });
        this.#arm(batch.until);
    }

    /** Whether the client may be given one more batch. */
    #maySend(now: number): boolean {
        if (this.#overdue < MOST_OVERDUE) return true;
        if (now < this.#probeAt) return false;
        this.#probeAt = now + Math.max(PROBE_EVERY_MS, (now - this.#stuckSince) * PROBE_EVERY_PART);
        return true;
    }

    /** The batch under way was answered in time. */
    #answered(): void {
        this.#running = undefined;
        if (this.#overdue < MOST_OVERDUE) return;
        // The client works, so what it still owes may be lost for good: as of a Worker's ended request.
        this.#overdue = 0;
        this.#era += 1;
    }

    /** A renewal or a release that waits for its turn gets it within half of its time. */
    #hurry(now: number): void {
        const batch = this.#running;
        if (!batch) return;
        const waiting = this.#jobs.filter(([, job]) => isUrgent(job));
        const halves = waiting.map(([, job]) => now + (job.request.deadlineMs - now) / 2);
        const soonest = halves.reduce((a, b) => Math.min(a, b), Infinity);
        batch.until = Math.min(batch.until, Math.max(soonest, batch.since + shortestPatienceMs));
        this.#arm(batch.until);
    }

    /** Goes on without a batch whose time is up. Its answer may come yet. */
    #leaveBehind(now: number): void {
        const late = this.#running;
        if (!late || late.until > now) return;
        this.#running = undefined;
        this.#overdue += 1;
        if (this.#overdue === MOST_OVERDUE) {
            this.#stuckSince = now;
            this.#probeAt = now + PROBE_EVERY_MS;
        }
        const silence = this.#silence("unknown");
        // Those that waited for their turn behind it have no answer either.
        for (const seat of [...late.open.values(), ...this.#jobs.map(([seat]) => seat)]) {
            this.#failed(seat, silence, now);
        }
        late.open.clear();
        if (this.#jobs.length > 0) this.#flushSoon();
    }

    #answerTo(
        seats: ReadonlyMap<Job, Seat>,
        open: Map<Job, Seat>,
    ): (job: Job, reply: Reply, error?: StoreError) => void {
        return (job, reply, error) => {
            const seat = seats.get(job);
            if (!seat) return;
            const inTime = open.delete(job);
            if (!error) {
                seat.storeError = undefined;
                this.#faults.answered(seat, this.clock.now());
            } else if (inTime || seat.storeError) {
                // A late failure does not count once another request was answered.
                this.#failed(seat, error, this.clock.now());
            }
            seat.tell((machine, now) => machine.reply(now, reply));
        };
    }

    #silence(failure: "unsent" | "unknown"): StoreError {
        return new StoreError(failure, `${this.store.name}: no answer in time; the server or the network ` +
            "hangs, a lock is held, or the client's pool is exhausted; it is tried again");
    }

    #failed(seat: Seat, error: StoreError, now: number): void {
        seat.storeError = error;
        // What is given back late is of one that has left.
        if (this.#seats.has(seat)) this.#faults.failed(seat, error, now);
    }

    // ---- News ----

    #listen(): void {
        if (this.#listening || !this.store.listen) return;
        const notify = (election?: string) => {
            for (const seat of [...this.#seats]) {
                if (election === undefined || seat.election === election) {
                    seat.tell((machine, now) => machine.hint(now));
                }
            }
        };
        const warn = (message: string) => this.#log("warn", message);
        // A release is noticed by looking within a third of a lease: so soon a deaf connection should be,
        // too.
        const shorter = (least: number, seat: Seat) => Math.min(least, seat.leaseMs);
        const testMs = () => [...this.#seats].reduce(shorter, DAY_MS) / 3;
        const listening = this.store.listen(notify, warn, testMs);
        this.#listening = listening;
        listening.catch((error: unknown) => {
            this.#log("warn", `${oneLine(error)}; releases are noticed by looking only`);
        });
    }

    #log(level: "debug" | "warn", message: string): void {
        const loggers = new Set([...this.#seats].map((seat) => seat.logger));
        for (const logger of loggers) tell(logger, level, message);
    }
}

function isUrgent(job: Job): boolean {
    return job.request.op === "renew" || job.request.op === "release";
}

function patienceEnds(jobs: readonly Job[], now: number): number {
    return Math.max(waitedForMs(jobs.map((job) => job.request)), now + shortestPatienceMs);
}
