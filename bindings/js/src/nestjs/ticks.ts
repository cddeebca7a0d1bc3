import { systemClock } from "../clock.js";
import type { Operation, Reply, Request } from "../core.js";
import { ElectorError, oneLine } from "../errors.js";
import { random64 } from "../options.js";
import { invalid } from "./invalid.js";
import type { LeaderElectorService } from "./service.js";

/**
 * A tick stays claimed until the next one is due, and for this time longer: until then a node that was
 * stopped or is starting may want to run it. Nodes whose clocks differ by more than this could run a tick
 * twice.
 */
const CLAIM_MS = 15 * 60_000;
/** A tick without a next one stays claimed for this time, and `CLAIM_MS` longer. */
const ONLY_ONCE_MS = 24 * 3_600_000;
/** Other nodes try this much later than the leader, so that the leader runs the ticks that it can. */
const LEADER_FIRST_MS = 500;
/** A node waits for the store, and retries, for this time; then it does not run the tick. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 250;
/** At its start an application waits for this time at most to learn whether the store can keep claims. */
const CHECK_MS = 5_000;
/**
 * How a store refuses an election's name because its table's ids are numbers, as `nest-leader-election` made
 * them.
 */
const OF_NUMBERS = /^(.*): election .* since the id column of its table leader_lease is (\w+)/s;
/** The longest name that a store accepts, in bytes. */
const LONGEST_NAME = 255;

/** The part of the `SchedulerRegistry` of `@nestjs/schedule` that is used here. */
export interface Schedulers {
    getCronJobs(): ReadonlyMap<string, CronJob>;
}

interface CronJob { readonly cronTime: CronTime; readonly onComplete?: unknown }

interface CronTime {
    /** A cron expression, or an instant if `realDate` is true. */
    readonly source: unknown;
    readonly realDate?: unknown;
    readonly timeZone?: unknown;
    readonly utcOffset?: unknown;
    /** The next time, strictly after now. */
    sendAt(): Time;
    /** The next time after that one. */
    getNextDateFrom?(time: Time): Time;
}

/** A `DateTime` of Luxon, with its zone. */
interface Time { toMillis(): number }

/** The options of `@Cron` on a method, from which cron makes its job. */
export interface CronOptions {
    readonly cronTime?: unknown;
    readonly timeZone?: unknown;
    readonly utcOffset?: unknown;
    /** Whether cron skips runs while the previous one is in progress. */
    readonly waitForCompletion?: unknown;
    /** The function that cron passes to the job as its argument. */
    onComplete?: unknown;
}

/** Whether other decorators are known to pass on the arguments of cron's call. */
export type CronArguments = "passed on" | "maybe lost";

/** The latest tick of a job, and the time at which its run ended. */
interface Latest {
    readonly tick: Time;
    endedAt: number;
}

/** A job whose ticks are claimed. */
interface Expected {
    readonly name: string;
    /** `Class.method`, for messages. */
    readonly method: string;
    readonly service: LeaderElectorService;
}

/**
 * The marks, which distinguish ticks from other calls. Cron passes a job its own `onComplete`, so a mark is
 * set as the `onComplete` of the job of each method.
 */
const marks = new WeakSet<object>();

/** Makes cron pass a mark, from the first call on. Cron's jobs are made at the application's bootstrap. */
export function mark(options: CronOptions): void {
    if (options.onComplete !== undefined) return;
    const mark = (): void => undefined;
    marks.add(mark);
    options.onComplete = mark;
}

/** Whether a call's arguments carry the mark. */
export function isMarked({ onComplete }: CronOptions, values: readonly unknown[]): boolean {
    return onComplete !== undefined && values[0] === onComplete;
}

/** The key of a job of an election. */
function keyOf(name: string, { elector }: LeaderElectorService): string {
    return JSON.stringify([elector.election, name]);
}

/** The time zone. Newer versions of cron fill in the system's zone if none is given. */
function zoneOf({ timeZone, utcOffset }: Omit<CronOptions, "cronTime">): unknown {
    return timeZone ?? utcOffset ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/**
 * The name under which a tick is claimed. It contains the election: services that share a table may have jobs
 * with the same name, such as `TasksService.handleCron`, and must not take each other's ticks.
 */
async function nameOf(election: string, job: string, tick: Date): Promise<string> {
    // The election's slashes are escaped, so that two different pairs never give one name.
    const place = `${election.replaceAll("%", "%25").replaceAll("/", "%2F")}/${job}`;
    const name = `tick/${place}/${tick.toISOString()}`;
    const encoder = new TextEncoder();
    if (encoder.encode(name).length <= LONGEST_NAME) return name;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(place)));
    const short = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `tick/${short}/${tick.toISOString()}`;
}

/** Claims ticks of cron jobs in the store: exactly one of the nodes that want a tick gets it. */
export class Ticks {
    readonly #pauses = new Map<unknown, () => void>();
    /** The latest tick of each job. */
    readonly #latest = new Map<string, Latest>();
    /** The jobs that are checked at the start. */
    readonly #expected: Expected[] = [];
    #isOver = false;
    /** The registry of the schedules; unset without `ScheduleModule`. */
    schedulers: Schedulers | undefined;

    /** Remembers a job for `check()`, and warns if nothing will ever call it. */
    expect(job: Expected): void {
        this.#expected.push(job);
        if (this.schedulers) return;
        job.service.logger?.warn(`@OncePerTick() on ${job.method}: no tick runs, since this application ` +
            "has no ScheduleModule; import ScheduleModule.forRoot() of @nestjs/schedule");
    }

    /** Refuses claims that the store can never keep, at the start instead of at each tick. */
    async check(): Promise<void> {
        await Promise.all(this.#expected.map((job) => this.#check(job)));
    }

    async #check({ name, method, service }: Expected): Promise<void> {
        const election = await nameOf(service.elector.election, name, new Date(0));
        const until = systemClock.now() + CHECK_MS;
        const { reply, error } = await this.#ask(service, election, until, { op: "look" });
        if (reply?.outcome !== "refused") return;
        const [, store, type] = OF_NUMBERS.exec(oneLine(error)) ?? [];
        const why = type === undefined
            ? `cannot claim its ticks: ${oneLine(error)}`
            : `ticks are claimed by names, and the id column of the table leader_lease in ${store} is ` +
                `${type}, as nest-leader-election made it; once no replica of nest-leader-election with ` +
                "`synchronize: true` runs, run ALTER TABLE leader_lease ALTER COLUMN id TYPE text, and " +
                "start the application again";
        throw new ElectorError("STORE_REFUSED", `@OncePerTick() on ${method}: ${why}`, { cause: error });
    }

    /**
     * Whether cron made this call. If a job does not carry our mark, its cron is unknown, and each call
     * counts as a tick, since a tick that runs without a claim could run twice. The same applies if a
     * decorator may have lost the mark.
     */
    isTick(options: CronOptions, values: readonly unknown[], passing: CronArguments): boolean {
        if (isMarked(options, values)) return true;
        const jobs = this.#jobs(options);
        const areKnown = jobs.some(({ onComplete }) => isMarked(options, [onComplete]));
        return jobs.length > 0 && !(areKnown && passing === "passed on");
    }

    /**
     * The present tick, identified by the time at which the next one is due. All nodes that run a tick before
     * then compute the same time, however late they are and however much their clocks differ.
     */
    async now(name: string, options: CronOptions, service: LeaderElectorService): Promise<Date> {
        const { cronTime } = options;
        if (cronTime instanceof Date) return cronTime;
        // A job that runs at the start is called before it is registered.
        await Promise.resolve();
        const [job] = this.#jobs(options);
        if (!job) {
            return invalid(`@OncePerTick() of the job ${JSON.stringify(name)}: ScheduleModule has no job ` +
                `at '${String(cronTime)}'; import ScheduleModule.forRoot(), and declare the job with @Cron`);
        }
        if (job.cronTime.realDate === true) return new Date((job.cronTime.source as Time).toMillis());
        const tick = job.cronTime.sendAt();
        this.#warnOfGap(name, job.cronTime, tick, options, service);
        this.#latest.set(keyOf(name, service), { tick, endedAt: Infinity });
        return new Date(tick.toMillis());
    }

    /** Records that the present tick has ended here, or was left to another node. */
    ended(name: string, service: LeaderElectorService): void {
        const latest = this.#latest.get(keyOf(name, service));
        if (latest) latest.endedAt = Date.now();
    }

    /**
     * Warns of ticks that cron skipped. Cron skips a tick silently if the event loop is late by a whole tick
     * and, with `waitForCompletion`, while the previous run is in progress; the second kind is intended and
     * causes no warning.
     */
    #warnOfGap(
        name: string,
        cronTime: CronTime,
        tick: Time,
        { waitForCompletion }: CronOptions,
        service: LeaderElectorService,
    ): void {
        const latest = this.#latest.get(keyOf(name, service));
        const due = latest && cronTime.getNextDateFrom?.(latest.tick);
        if (!due || due.toMillis() >= tick.toMillis()) return;
        if (waitForCompletion === true && latest.endedAt >= latest.tick.toMillis()) return;
        const [from, to] = [latest.tick, tick].map((time) => new Date(time.toMillis()).toISOString());
        service.logger?.warn(`${name}: its runs between ${from} and ${to} were skipped here, since the ` +
            "event loop was late; another node may have run them");
    }

    /** Cron's jobs with the mark of a method, whose time may have been changed; else those with its time. */
    #jobs({ cronTime, onComplete, ...place }: CronOptions): CronJob[] {
        const all = [...(this.schedulers?.getCronJobs().values() ?? [])];
        const own = all.filter((job) => onComplete !== undefined && job.onComplete === onComplete);
        if (own.length > 0 && marks.has(onComplete as object)) return own;
        const zone = zoneOf(place);
        // Compares times first: zones are slow to compute, and there may be many jobs.
        return all.filter((job) => job.cronTime.source === cronTime && zoneOf(job.cronTime) === zone);
    }

    /**
     * Claims a tick, and resolves to whether this node runs it. The leader is preferred, but not required.
     */
    async claim(job: string, tick: Date, service: LeaderElectorService): Promise<boolean> {
        const election = await nameOf(service.elector.election, job, tick);
        // The holder is unique to this call: a job that is registered twice, as under an alias, claims its
        // ticks twice.
        const holder = `${service.elector.candidate}#${random64().toString(16).padStart(16, "0")}`;
        const aheadMs = tick.getTime() - Date.now();
        const claim = { holder, leaseMs: (aheadMs > 0 ? aheadMs : ONLY_ONCE_MS) + CLAIM_MS };
        if (!service.amILeader()) await this.#pause(LEADER_FIRST_MS);
        const until = systemClock.now() + PATIENCE_MS;
        let why = "the store did not answer in time";
        let found: bigint | undefined;
        while (!this.#isOver) {
            const { reply, error } = await this.#ask(service, election, until, found === undefined
                ? { op: "acquire", condition: "any", ...claim }
                : { op: "renew", token: found, ...claim });
            const isInTime = systemClock.now() <= until;
            // A late claim is not used: else all ticks of an outage would run at once after it.
            if ((reply?.outcome === "granted" || reply?.outcome === "renewed") && isInTime) return true;
            if (error) why = oneLine(error);
            if (reply?.outcome === "refused" || !isInTime) break;
            if (reply?.outcome === "seen") {
                if (reply.row?.holder !== holder) return false;
                // This node's own claim, made by an attempt whose answer was lost. A renewal must confirm it
                // before the tick runs.
                found = reply.row.token;
            } else if (reply?.outcome === "lost") {
                found = undefined;
            } else {
                await this.#pause(PAUSE_MS);
            }
        }
        if (this.#isOver) return false;
        service.logger?.error(`${job}: its run (next due ${tick.toISOString()}) was skipped: ${why}`);
        return false;
    }

    /** Ends all pauses. */
    end(): void {
        this.#isOver = true;
        for (const [timer, resolve] of this.#pauses) {
            systemClock.clearTimeout(timer);
            resolve();
        }
        this.#pauses.clear();
    }

    /**
     * Sends one operation to the store, and waits for its answer until `deadlineMs`. Later answers are
     * ignored.
     */
    async #ask(
        { store }: LeaderElectorService,
        election: string,
        deadlineMs: number,
        operation: Operation,
    ): Promise<{ reply?: Reply; error?: unknown }> {
        const request: Request = { id: 0, deadlineMs, ...operation };
        let answered: { reply?: Reply; error?: unknown } = {};
        const ask = async (): Promise<void> => {
            try {
                await store.execute([{ election, request }], (_job, reply, error) => {
                    answered = { reply, error };
                });
            } catch (error) {
                answered = { error };
            }
        };
        // `end()` does not end this wait: no other node can run a tick that is granted while this application
        // closes.
        let timer: unknown;
        const late = new Promise<void>((resolve) => {
            timer = systemClock.setTimeout(resolve, deadlineMs - systemClock.now());
        });
        await Promise.race([ask(), late]);
        systemClock.clearTimeout(timer);
        return answered;
    }

    #pause(ms: number): Promise<void> {
        return new Promise((resolve) => {
            if (this.#isOver) return resolve();
            const timer = systemClock.setTimeout(() => {
                this.#pauses.delete(timer);
                resolve();
            }, ms);
            this.#pauses.set(timer, resolve);
        });
    }
}
