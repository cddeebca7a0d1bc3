import { systemClock } from "../clock.js";
import type { Operation, Reply, Request } from "../core.js";
import { ElectorError, oneLine } from "../errors.js";
import { random64 } from "../options.js";
import { invalid } from "./invalid.js";
import type { LeaderElectorService } from "./service.js";

/**
 * A tick stays claimed until the next one is due, since a node that was stopped or starts may want to run it
 * until then, and for so long more: nodes whose clocks are further apart than this could run it twice.
 */
const CLAIM_MS = 15 * 60_000;
/** A tick that no other follows stays claimed for so long, and as long more. */
const ONLY_ONCE_MS = 24 * 3_600_000;
/** So much later than the leader the others try, so that the leader runs what it can. */
const LEADER_FIRST_MS = 500;
/** The store is waited for, and its failures are tried again, for so long; then the tick is not run here. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 250;
/** An application that starts waits no longer than this to learn whether claims can be kept. */
const CHECK_MS = 5_000;
/** How a store says that its table's ids are numbers: of `nest-leader-election`, and without names. */
const OF_NUMBERS = /^(.*): election .* since the id column of its table leader_lease is (\w+)/s;
/** The longest name that a store takes, in bytes. */
const LONGEST_NAME = 255;

/** What is used of the `SchedulerRegistry` of `@nestjs/schedule`. */
export interface Schedulers {
    getCronJobs(): ReadonlyMap<string, CronJob>;
}

interface CronJob { readonly cronTime: CronTime; readonly onComplete?: unknown }

interface CronTime {
    /** A text, or an instant where it is a `realDate`. */
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

/** What `@Cron` says about a method, and what its job is made with. */
export interface CronOptions {
    readonly cronTime?: unknown;
    readonly timeZone?: unknown;
    readonly utcOffset?: unknown;
    /** Cron leaves out runs while the former one goes on. */
    readonly waitForCompletion?: unknown;
    /** What cron calls the job with. */
    onComplete?: unknown;
}

/** The latest tick of a job, and when its run ended. */
interface Latest {
    readonly tick: Time;
    endedAt: number;
}

/** A job whose ticks are claimed. */
interface Expected {
    readonly name: string;
    /** For people. */
    readonly method: string;
    readonly service: LeaderElectorService;
}

/** Each tells the ticks of one method from calls by hand: cron hands a job what it is to call at its end. */
const marks = new WeakSet<object>();

/** Has cron say that it is cron, from the first call on. Its jobs are made at the application's bootstrap. */
export function mark(options: CronOptions): void {
    if (options.onComplete !== undefined) return;
    const mark = (): void => undefined;
    marks.add(mark);
    options.onComplete = mark;
}

/** Whether a call carries the mark. */
export function isMarked({ onComplete }: CronOptions, values: readonly unknown[]): boolean {
    return onComplete !== undefined && values[0] === onComplete;
}

/** Which job of which election. */
function keyOf(name: string, { elector }: LeaderElectorService): string {
    return JSON.stringify([elector.election, name]);
}

/** Newer versions of cron fill in the system's zone where none is given. */
function zoneOf({ timeZone, utcOffset }: Omit<CronOptions, "cronTime">): unknown {
    return timeZone ?? utcOffset ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/**
 * What a tick is claimed under. The election is a part of it: services that share a table may well have jobs
 * of the same name, such as `TasksService.handleCron`, and must not take each other's ticks.
 */
async function nameOf(election: string, job: string, tick: Date): Promise<string> {
    // Without slashes in the first part, no two pairs look the same.
    const place = `${election.replaceAll("%", "%25").replaceAll("/", "%2F")}/${job}`;
    const name = `tick/${place}/${tick.toISOString()}`;
    const encoder = new TextEncoder();
    if (encoder.encode(name).length <= LONGEST_NAME) return name;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(place)));
    const short = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `tick/${short}/${tick.toISOString()}`;
}

/** Claims ticks of cron jobs in the store: of all nodes that want one, one gets it, ever. */
export class Ticks {
    readonly #pauses = new Map<unknown, () => void>();
    /** The latest tick of each job. */
    readonly #latest = new Map<string, Latest>();
    /** Those that are checked at the start. */
    readonly #expected: Expected[] = [];
    #isOver = false;
    /** Who knows the schedules; none without `ScheduleModule`. */
    schedulers: Schedulers | undefined;

    /** Remembers a job for `check()`, and says if nothing will ever call it. */
    expect(job: Expected): void {
        this.#expected.push(job);
        if (this.schedulers) return;
        job.service.logger?.warn(`@OncePerTick() on ${job.method}: no tick runs, since this application ` +
            "has no ScheduleModule; import ScheduleModule.forRoot() of @nestjs/schedule");
    }

    /** Refuses claims that a store can never keep: at the start, instead of at each tick. */
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
            ? `its ticks cannot be claimed: ${oneLine(error)}`
            : `ticks are claimed by names, and the id column of the table leader_lease in ${store} is ` +
                `${type}, as nest-leader-election made it; run ALTER TABLE leader_lease ALTER COLUMN id ` +
                "TYPE text once no replica with `synchronize: true` is an old one, and start again";
        throw new ElectorError("STORE_REFUSED", `@OncePerTick() on ${method}: ${why}`, { cause: error });
    }

    /**
     * Whether cron made this call. A job that does not carry our mark is one of a cron that we do not know:
     * each of its calls counts as a tick, since one that was run without a claim could run twice. So it is
     * where a decorator may keep the mark from getting here, unless it `passes` it on.
     */
    isTick(options: CronOptions, values: readonly unknown[], passes: boolean): boolean {
        if (isMarked(options, values)) return true;
        const jobs = this.#jobs(options);
        const areKnown = jobs.some(({ onComplete }) => isMarked(options, [onComplete]));
        return jobs.length > 0 && !(areKnown && passes);
    }

    /**
     * The name of the present tick: the time at which the next one is due. All nodes that run a tick before
     * then find the same, however late they are and however far their clocks are apart.
     */
    async now(name: string, options: CronOptions, service: LeaderElectorService): Promise<Date> {
        const { cronTime } = options;
        if (cronTime instanceof Date) return cronTime;
        // A job that runs at the start runs before it is registered.
        await Promise.resolve();
        const [job] = this.#jobs(options);
        if (!job) {
            return invalid(`@OncePerTick() of the job ${JSON.stringify(name)}: ScheduleModule has no job ` +
                `'${String(cronTime)}'; import ScheduleModule.forRoot(), and let @Cron make the job`);
        }
        if (job.cronTime.realDate === true) return new Date((job.cronTime.source as Time).toMillis());
        const tick = job.cronTime.sendAt();
        this.#warnOfGap(name, job.cronTime, tick, options.waitForCompletion === true, service);
        this.#latest.set(keyOf(name, service), { tick, endedAt: Infinity });
        return new Date(tick.toMillis());
    }

    /** The run of the present tick has ended, or was another node's. */
    ended(name: string, service: LeaderElectorService): void {
        const latest = this.#latest.get(keyOf(name, service));
        if (latest) latest.endedAt = Date.now();
    }

    /**
     * cron leaves out without a word what an event loop is too late for by a whole tick; and where it is told
     * to wait, what became due during the former run.
     */
    #warnOfGap(
        name: string,
        cronTime: CronTime,
        tick: Time,
        isWaited: boolean,
        service: LeaderElectorService,
    ): void {
        const latest = this.#latest.get(keyOf(name, service));
        const due = latest && cronTime.getNextDateFrom?.(latest.tick);
        if (!due || due.toMillis() >= tick.toMillis()) return;
        if (isWaited && latest.endedAt >= latest.tick.toMillis()) return;
        const [from, to] = [latest.tick, tick].map((time) => new Date(time.toMillis()).toISOString());
        service.logger?.warn(`${name}: its runs between ${from} and ${to} were left out here, since the ` +
            "event loop was late; another node may have run them");
    }

    /** The jobs that carry the mark of a method, whose time may be another by now; else those of its time. */
    #jobs({ cronTime, onComplete, ...place }: CronOptions): CronJob[] {
        const all = [...(this.schedulers?.getCronJobs().values() ?? [])];
        const own = all.filter((job) => onComplete !== undefined && job.onComplete === onComplete);
        if (own.length > 0 && marks.has(onComplete as object)) return own;
        const zone = zoneOf(place);
        // Zones are slow to tell, and there may be many jobs.
        return all.filter((job) => job.cronTime.source === cronTime && zoneOf(job.cronTime) === zone);
    }

    /** Whether this node is the one that runs the tick. The leader is preferred, but not needed. */
    async claim(job: string, tick: Date, service: LeaderElectorService): Promise<boolean> {
        const election = await nameOf(service.elector.election, job, tick);
        // Of this call alone: a job that is registered twice, as under an alias, claims its ticks twice.
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
            // All ticks of an outage would else run at once after it.
            if ((reply?.outcome === "granted" || reply?.outcome === "renewed") && isInTime) return true;
            if (error) why = oneLine(error);
            if (reply?.outcome === "refused" || !isInTime) break;
            if (reply?.outcome === "seen") {
                if (reply.row?.holder !== holder) return false;
                // An attempt whose answer was lost was executed. Only an answer says that the claim stays.
                found = reply.row.token;
            } else if (reply?.outcome === "lost") {
                found = undefined;
            } else {
                await this.#pause(PAUSE_MS);
            }
        }
        if (this.#isOver) return false;
        service.logger?.error(`${job}: its run (next due ${tick.toISOString()}) was left out: ${why}`);
        return false;
    }

    /** Forgets what waits. */
    end(): void {
        this.#isOver = true;
        for (const [timer, resolve] of this.#pauses) {
            systemClock.clearTimeout(timer);
            resolve();
        }
        this.#pauses.clear();
    }

    /** Asks the store once, and waits for its answer until an instant. What comes later does not count. */
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
        // Not ended with the others: what is granted while the application closes is nobody else's to run.
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
