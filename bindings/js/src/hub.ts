import type { Clock } from "./clock.js";
import { hold, waitUntil } from "./clock.js";
import type { Machine, Output, Reply } from "./core.js";
import { limits, urgency, waitedForMs } from "./core.js";
import { StoreError, oneLine } from "./errors.js";
import { Faults } from "./faults.js";
import type { Logger } from "./options.js";
import { random64, tell } from "./options.js";
import type { Job, Store } from "./store.js";
import { failAll } from "./store.js";

/** Timers may stop while the system is suspended, so the hub reads the clock at least this often. */
const LONGEST_SLEEP_MS = 1_000;
const { mostJobs, shortestPatienceMs, cleanUpEveryMs } = limits();
/**
 * With this many overdue batches the hub sends only at long intervals, since each overdue batch still waits
 * in the client for a connection.
 */
const MOST_OVERDUE = 4;
/**
 * The interval between the batches that are sent even then: the client may work again, although it never
 * answers the old ones.
 */
const PROBE_EVERY_MS = 10_000;
/**
 * The part of a long outage that this interval takes, so that the number of unanswered batches grows only
 * with the outage's logarithm.
 */
const PROBE_EVERY_PART = 1 / 16;

/** The urgency of each operation, by which batches are sorted. Looked up once. */
const URGENCY = {
    release: urgency("release"), renew: urgency("renew"), acquire: urgency("acquire"), look: urgency("look"),
};

/** A candidate as its hub sees it. */
export interface HubCandidate {
    readonly election: string;
    readonly logger: Logger | undefined;
    readonly leaseMs: number;
    /** The latest error of this candidate's own requests; unset once a request has been answered. */
    storeError: StoreError | undefined;
    /**
     * When the machine next needs its timer: at `earliestMs` at the earliest, at `latestMs` at the latest.
     */
    wait: { readonly earliestMs: number; readonly latestMs: number };
    /** Gives the machine an input, and carries out its outputs. */
    tell(input: (machine: Machine, now: number) => void): void;
}

interface Batch {
    /** The jobs without an answer, with their candidates. Empty once the batch has been left behind. */
    readonly open: Map<Job, HubCandidate>;
    readonly since: number;
    /** The hub waits for the batch until this instant; less long once an urgent job is queued. */
    until: number;
    readonly done: Promise<void>;
    /**
     * The hub's `#era` at the sending. Once the hub's era is later, this batch no longer counts as overdue.
     */
    readonly era: number;
}

/** The longest lease. */
const DAY_MS = 86_400_000;

const hubs = new WeakMap<Store, Map<Clock, Hub>>();

/**
 * One hub serves all electors on one store: it has one timer, and sends one batch at a time. It leaves a
 * batch behind that is not answered in time and sends the next one; a late answer is still used.
 */
export class Hub {
    /**
     * The seed of the jitter of all machines of this hub: candidates that begin together stay together, and
     * renew in one statement. Jitter separates processes, and other processes have other seeds.
     */
    readonly seed = random64();
    readonly #candidates = new Set<HubCandidate>();
    readonly #faults: Faults;
    #jobs: [HubCandidate, Job][] = [];
    #running: Batch | undefined;
    #overdue = 0;
    #era = 0;
    /** Since when too many batches are overdue, and when one more may be sent nevertheless. */
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

    // ---- Candidates ----

    join(candidate: HubCandidate): void {
        if (this.#candidates.has(candidate)) return;
        this.#candidates.add(candidate);
        this.#arm(candidate.wait.latestMs);
        this.#listen();
    }

    /** Removes a candidate that does not campaign and has nothing to send. */
    leave(candidate: HubCandidate): void {
        if (!this.#candidates.delete(candidate)) return;
        this.#faults.removed(candidate);
        if (this.#candidates.size > 0) return;
        this.#arm(Infinity);
        const listening = this.#listening;
        this.#listening = undefined;
        listening?.then((end) => end()).catch(() => undefined);
    }

    /** Counts waits that only a timer ends: while there are any, the timer keeps the process alive. */
    keepAlive(by: number): void {
        this.#keptAlive += by;
        if (this.#timer !== undefined) hold(this.#timer, this.#keptAlive > 0 ? "alive" : "free");
    }

    /** Queues a request of a machine. All requests until the next microtask make one batch. */
    post(candidate: HubCandidate, request: Extract<Output, { kind: "send" }>): void {
        this.#jobs.push([candidate, { election: candidate.election, request }]);
        this.#flushSoon();
    }

    /** A candidate's `wait` has changed. */
    planned(candidate: HubCandidate): void {
        if (this.#candidates.has(candidate)) this.#arm(candidate.wait.latestMs);
    }

    /** Does everything that is due, and waits for the answers: for hosts without timers of their own. */
    async step(candidate: HubCandidate): Promise<void> {
        this.#fire();
        candidate.tell((machine, now) => machine.timeout(now));
        // Enough rounds for a look, an acquire, and the follow-ups of an earlier unanswered acquire.
        for (let round = 0; round < 4; round++) {
            this.#flush();
            const running = this.#running;
            if (!running) return;
            // The batch of a Worker's request that has ended is never answered.
            await waitUntil(running.done, this.clock, running.until);
        }
    }

    // ---- Time ----

    #arm(at: number): void {
        const due = Math.min(at, this.clock.now() + LONGEST_SLEEP_MS);
        if (this.#candidates.size === 0) {
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
        if (this.#keptAlive > 0) hold(this.#timer, "alive");
    }

    /**
     * Handles the time. If the timer of one candidate is due, those that may fire early fire too: their
     * requests make one batch.
     */
    #fire(): void {
        const now = this.clock.now();
        this.#leaveBehind(now);
        const isDue = [...this.#candidates].some((candidate) => candidate.wait.latestMs <= now);
        for (const candidate of isDue ? [...this.#candidates] : []) {
            if (candidate.wait.earliestMs <= now) candidate.tell((machine, at) => machine.timeout(at));
        }
        // A client that does not answer gets only requests that are needed.
        if (now >= this.#cleanUpAt && this.#overdue < MOST_OVERDUE) this.#cleanUp();
        let next = this.#running?.until ?? Infinity;
        for (const candidate of this.#candidates) next = Math.min(next, candidate.wait.latestMs);
        this.#arm(next);
    }

    #nextCleanUp(): number {
        return this.clock.now() + cleanUpEveryMs * (0.5 + Math.random());
    }

    #cleanUp(): void {
        this.#cleanUpAt = this.#nextCleanUp();
        this.store.cleanUp?.().catch((error: unknown) => {
            this.#log("debug", `cannot delete expired rows: ${oneLine(error)}`);
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

    /**
     * Sends the most urgent jobs first: a release frees other candidates, a renewal keeps a term, an acquire
     * starts one.
     */
    #flush(): void {
        const now = this.clock.now();
        this.#hurry(now);
        this.#leaveBehind(now);
        if (this.#running || this.#jobs.length === 0) return;
        const wanted = this.#jobs.filter(([, job]) => job.request.deadlineMs > now);
        wanted.sort(([, a], [, b]) => URGENCY[a.request.op] - URGENCY[b.request.op]);
        this.#jobs = wanted.splice(mostJobs);
        if (wanted.length === 0) return;
        const candidates = new Map(wanted.map(([candidate, job]) => [job, candidate]));
        const jobs = [...candidates.keys()];
        const open = new Map(candidates);
        const answer = this.#answerTo(candidates, open);
        if (!this.#maySend(now)) return failAll(jobs, answer, this.#noAnswer("unsent"));
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

    /** Whether the hub may send one more batch. */
    #maySend(now: number): boolean {
        if (this.#overdue < MOST_OVERDUE) return true;
        if (now < this.#probeAt) return false;
        this.#probeAt = now + Math.max(PROBE_EVERY_MS, (now - this.#stuckSince) * PROBE_EVERY_PART);
        return true;
    }

    /** The batch in progress was answered in time. */
    #answered(): void {
        this.#running = undefined;
        if (this.#overdue < MOST_OVERDUE) return;
        // The client works, so its overdue answers may never come, as those of a Worker's ended request.
        this.#overdue = 0;
        this.#era += 1;
    }

    /**
     * Shortens the wait for the batch in progress, so that a queued renewal or release is sent within half of
     * its time.
     */
    #hurry(now: number): void {
        const batch = this.#running;
        if (!batch) return;
        const waiting = this.#jobs.filter(([, job]) => isUrgent(job));
        const halves = waiting.map(([, job]) => now + (job.request.deadlineMs - now) / 2);
        const soonest = halves.reduce((a, b) => Math.min(a, b), Infinity);
        batch.until = Math.min(batch.until, Math.max(soonest, batch.since + shortestPatienceMs));
        this.#arm(batch.until);
    }

    /** Leaves a batch behind whose time is up. Its answer may still come. */
    #leaveBehind(now: number): void {
        const late = this.#running;
        if (!late || late.until > now) return;
        this.#running = undefined;
        this.#overdue += 1;
        if (this.#overdue === MOST_OVERDUE) {
            this.#stuckSince = now;
            this.#probeAt = now + PROBE_EVERY_MS;
        }
        const noAnswer = this.#noAnswer("unknown");
        // The candidates whose jobs were queued behind this batch have no answer either.
        for (const candidate of [...late.open.values(), ...this.#jobs.map(([candidate]) => candidate)]) {
            this.#failed(candidate, noAnswer, now);
        }
        late.open.clear();
        if (this.#jobs.length > 0) this.#flushSoon();
    }

    #answerTo(
        candidates: ReadonlyMap<Job, HubCandidate>,
        open: Map<Job, HubCandidate>,
    ): (job: Job, reply: Reply, error?: StoreError) => void {
        return (job, reply, error) => {
            const candidate = candidates.get(job);
            if (!candidate) return;
            const inTime = open.delete(job);
            if (!error) {
                candidate.storeError = undefined;
                this.#faults.answered(candidate, this.clock.now());
            } else if (inTime || candidate.storeError) {
                // A late failure is ignored if a later request was answered.
                this.#failed(candidate, error, this.clock.now());
            }
            candidate.tell((machine, now) => machine.reply(now, reply));
        };
    }

    #noAnswer(failure: "unsent" | "unknown"): StoreError {
        return new StoreError(failure, `${this.store.name}: no answer in time; Elector retries. Does ` +
            "the server or the network hang, is a lock held, or is the client's pool exhausted?");
    }

    #failed(candidate: HubCandidate, error: StoreError, now: number): void {
        candidate.storeError = error;
        // A candidate that has left has no faults: its request only releases a lease that was granted late.
        if (this.#candidates.has(candidate)) this.#faults.failed(candidate, error, now);
    }

    // ---- Notifications ----

    #listen(): void {
        if (this.#listening || !this.store.listen) return;
        const notify = (election?: string) => {
            for (const candidate of [...this.#candidates]) {
                if (election === undefined || candidate.election === election) {
                    candidate.tell((machine, now) => machine.hint(now));
                }
            }
        };
        const warn = (message: string) => this.#log("warn", message);
        // Without notifications a release is found by looking, every third of a lease. So a dead connection
        // is also detected within a third of a lease.
        const shorter = (least: number, candidate: HubCandidate) => Math.min(least, candidate.leaseMs);
        const testMs = () => [...this.#candidates].reduce(shorter, DAY_MS) / 3;
        const listening = this.store.listen(notify, warn, testMs);
        this.#listening = listening;
        listening.catch((error: unknown) => {
            this.#log("warn", `${oneLine(error)}; without notifications only reads find a release`);
        });
    }

    #log(level: "debug" | "warn", message: string): void {
        const loggers = new Set([...this.#candidates].map((candidate) => candidate.logger));
        for (const logger of loggers) tell(logger, level, message);
    }
}

function isUrgent(job: Job): boolean {
    return job.request.op === "renew" || job.request.op === "release";
}

function patienceEnds(jobs: readonly Job[], now: number): number {
    return Math.max(waitedForMs(jobs.map((job) => job.request)), now + shortestPatienceMs);
}
