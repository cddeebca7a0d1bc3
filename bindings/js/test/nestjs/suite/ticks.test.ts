// @OncePerTick: each tick of a cron job runs on exactly one node.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { DynamicModule, INestApplicationContext, Provider, Type } from "@nestjs/common";
import { Injectable } from "@nestjs/common";
import { Cron, CronExpression, ScheduleModule, SchedulerRegistry } from "@nestjs/schedule";
import type { LeaderElectorModuleOptions } from "elector-wasm/nestjs";
import { LeaderElectorModule, LeaderElectorService, OncePerTick, isNotRun } from "elector-wasm/nestjs";
import type { Store } from "elector-wasm";
import { memoryStore } from "elector-wasm";
import "./cron.js";
import { closeAll, closeForGood, openApplication } from "./application.js";
import { Lines, endAll, freshSchema, long, newPool, rows, sleep, until } from "./support.js";

const pool = newPool({ max: 10 });
/** The statement of NESTJS.md. */
const CURE = "ALTER TABLE leader_lease ALTER COLUMN id TYPE text";

function open(
    providers: Type | Provider[],
    schema: string,
    more: LeaderElectorModuleOptions = {},
    ...modules: DynamicModule[]
): Promise<INestApplicationContext> {
    const settings = { client: pool, schema, ...long, logger: new Lines(), ...more };
    const imports = [ScheduleModule.forRoot(), LeaderElectorModule.forRoot(settings), ...modules];
    return openApplication({ imports, providers: [providers].flat() });
}

@Injectable()
class Job {
    static readonly ran: Job[] = [];

    @OncePerTick({ name: "Job.run" })
    @Cron(CronExpression.EVERY_SECOND)
    run(): void {
        Job.ran.push(this);
    }
}

/**
 * A store that executes the first request for a tick and does not answer it. Every other tick is then claimed
 * by another node, on a server without the first claim.
 */
function forgetful() {
    const memory = memoryStore();
    const asked = new Map<string, string[]>();
    const lost: string[] = [];
    const execute: Store["execute"] = async ([...jobs], answer) => {
        for (const job of jobs) {
            const { election, request } = job;
            if (!election.startsWith("tick/")) {
                await memory.execute([job], answer);
                continue;
            }
            const before = asked.get(election) ?? [];
            asked.set(election, [...before, request.op]);
            if (before.length === 0) {
                await memory.execute([job], () => answer(job, { id: request.id, outcome: "unknown" }));
                continue;
            }
            if (request.op === "renew" && asked.size % 2 === 1) {
                const { id, holder, token, deadlineMs, leaseMs } = request;
                const lease = { holder: "another", leaseMs };
                for (const next of [
                    { op: "release", id, deadlineMs, holder, token },
                    { op: "acquire", id, deadlineMs, condition: "any", ...lease },
                ] as const) {
                    await memory.execute([{ election, request: next }], () => {});
                }
                lost.push(election);
            }
            await memory.execute([job], answer);
        }
    };
    return { store: { name: "forgetful", execute } satisfies Store, asked, lost };
}

describe("@OncePerTick", { concurrency: 1 }, () => {
    after(async () => {
        await closeAll();
        await pool.end();
        await endAll();
    });

    test("each tick runs on exactly one node, even after leadership has moved", async () => {
        const schema = freshSchema();
        const [first, second] = [await open(Job, schema), await open(Job, schema)];
        const ran = (application: INestApplicationContext) => {
            return Job.ran.filter((job) => job === application.get(Job)).length;
        };
        await until(() => ran(first) >= 2);
        await first.get(LeaderElectorService).release();
        await until(() => second.get(LeaderElectorService).amILeader());
        const before = ran(second);
        await until(() => ran(second) >= before + 2);
        await Promise.all([first, second].map((application) => application.close()));
        // Each claim ran exactly once: the claims of a tick are one row.
        const ask = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/Job.run/%'`;
        await until(async () => (await rows(ask)).length === Job.ran.length, () => `${Job.ran.length} runs`);
    });

    test("services with different elections on one table do not take each other's ticks", async () => {
        const schema = freshSchema();
        /** A service of that election, whose job with that name counts its runs. */
        const serve = async (more: LeaderElectorModuleOptions, name = "TasksService.handleCron") => {
            @Injectable()
            class TasksService {
                ran = 0;
                @OncePerTick({ name })
                @Cron(CronExpression.EVERY_SECOND)
                handleCron(): void {
                    this.ran += 1;
                }
            }
            const application = await open(TasksService, schema, more);
            return { application, tasks: application.get(TasksService) };
        };
        const services = [
            await serve({ lockId: 1 }), await serve({ lockId: 2 }),
            // Names that look the same when joined, and names that are too long to be joined.
            await serve({ election: "a" }, "b/c"), await serve({ election: "a/b" }, "c"),
            await serve({ election: `${"x".repeat(254)}1` }, "j".repeat(200)),
            await serve({ election: `${"x".repeat(254)}2` }, "j".repeat(200)),
        ];
        const claims = `SELECT right(id, 24) AS tick, count(*)::int AS times FROM ${schema}.leader_lease
            WHERE id LIKE 'tick/%' AND leader_id <> '' GROUP BY 1`;
        const ask = () => rows<{ times: number }>(claims);
        await until(() => services.every(({ tasks }) => tasks.ran >= 3));
        await until(async () => (await ask()).some(({ times }) => times === services.length));
        await Promise.all(services.map(({ application }) => application.close()));
        // Each tick ran exactly once.
        const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);
        const ran = () => sum(services.map(({ tasks }) => tasks.ran));
        const claimed = async () => sum((await ask()).map(({ times }) => times));
        await until(async () => (await claimed()) === ran(), () => `${ran()} runs`);
    });

    test("without a leader another node runs the tick, and a failing store is logged", async () => {
        const schema = freshSchema();
        @Injectable()
        class Orphan {
            static ran = 0;
            @OncePerTick({ name: "orphan" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Orphan.ran += 1;
            }
        }
        const logger = new Lines();
        const application = await open(Orphan, schema, { logger });
        const held = "UPDATE " + schema + ".leader_lease SET leader_id = 'gone', token = token + 1, " +
            "expires_at = clock_timestamp() + interval '10 minutes', lease_ms = 600000";
        await rows(`${held} WHERE id = '1'`);
        await until(() => !application.get(LeaderElectorService).amILeader());
        const before = Orphan.ran;
        await until(() => Orphan.ran > before + 1);
        assert.equal(application.get(LeaderElectorService).amILeader(), false);
        // Claims are rows that expire.
        const claims = await rows(`SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/orphan/%'`);
        assert.ok(claims.length >= 2);
        await rows(`ALTER TABLE ${schema}.leader_lease RENAME COLUMN leader_id TO holder`);
        const said = /^orphan: its run \(next due .*Z\) was skipped: /;
        await until(() => logger.errors.some((line) => said.test(line)));
    });

    test("a claim whose answer was lost counts only once it has been renewed", async () => {
        const { store, asked, lost } = forgetful();
        @Injectable()
        class Found {
            static ran = 0;
            @OncePerTick({ name: "found" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Found.ran += 1;
            }
        }
        const application = await open(Found, freshSchema(), { client: undefined, store });
        await until(() => lost.length >= 2 && Found.ran >= 2);
        await application.close();
        const ways = [...asked.values()];
        const renewed = ways.filter((way) => way.join() === "acquire,acquire,renew").length;
        const taken = ways.filter((way) => way.join() === "acquire,acquire,renew,acquire").length;
        assert.deepEqual([Found.ran, lost.length], [renewed, taken], JSON.stringify(ways));
    });

    test("a provider under several tokens or in several modules runs each tick once", async () => {
        const schema = freshSchema();
        @Injectable()
        class Reports {
            static ran = 0;
            @OncePerTick({ name: "Reports.run" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Reports.ran += 1;
            }
        }
        const alias = { provide: "REPORTS", useExisting: Reports };
        const again = { module: class Another {}, providers: [Reports] };
        const logger = new Lines();
        const application = await open([Reports, alias], schema, { logger }, again);
        const said = "@OncePerTick() on Reports.run: its class has several instances, as when " +
            "several modules provide it; each tick runs on one of them";
        assert.deepEqual(logger.warned, [said]);
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/Reports.run/%'`;
        await until(async () => (await rows(claims)).length >= 3);
        await application.close();
        // The claims of one tick are concurrent, so all runs have begun by now.
        await until(async () => Reports.ran === (await rows(claims)).length);
    });

    test("two jobs with one name are refused at the start, also in subclasses of one class", async () => {
        const daily = { name: "daily" };
        @Injectable()
        class Mails {
            @OncePerTick(daily)
            @Cron(CronExpression.EVERY_SECOND)
            send(): void {}
        }
        @Injectable()
        class Bills {
            @OncePerTick(daily)
            @Cron(CronExpression.EVERY_HOUR)
            send(): void {}
        }
        const refusal = /on Bills.send: Mails.send is also the job "daily", .* different `name`/;
        await assert.rejects(open([Mails, Bills], freshSchema()), refusal);
        @Injectable()
        class Both {
            @OncePerTick(daily)
            @Cron(CronExpression.EVERY_HOUR)
            first(): void {}
            @OncePerTick(daily)
            @Cron(CronExpression.EVERY_HOUR)
            second(): void {}
        }
        await assert.rejects(open(Both, freshSchema()), /on Both.second: Both.first is also the job "daily"/);
        abstract class Base {
            @OncePerTick({ name: "base" })
            @Cron(CronExpression.EVERY_HOUR)
            run(): void {}
        }
        @Injectable()
        class First extends Base {}
        @Injectable()
        class Second extends Base {}
        const heirs = /on Second.run: First.run is also the job "base"/;
        await assert.rejects(open([First, Second], freshSchema()), heirs);
    });

    test("a table with numeric ids is refused at the start, with SQL that makes it usable", async () => {
        @Injectable()
        class Old {
            static ran = 0;
            static schedulers: SchedulerRegistry;
            constructor(schedulers: SchedulerRegistry) {
                Old.schedulers = schedulers;
            }
            @OncePerTick({ name: "old" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Old.ran += 1;
            }
        }
        for (const type of ["integer", "bigint"]) {
            const schema = freshSchema();
            await rows(`CREATE SCHEMA ${schema}`);
            await rows(`CREATE TABLE ${schema}.leader_lease (id ${type} PRIMARY KEY DEFAULT 1,
                leader_id text NOT NULL, expires_at timestamptz NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now())`);
            const message = new RegExp("^@OncePerTick\\(\\) on Old.run: .* leader_lease in postgres " +
                `\\(schema "${schema}"\\) is ${type}, .*; .* runs, run ${CURE}, and `);
            await assert.rejects(open(Old, schema), { code: "STORE_REFUSED", message });
            // Nest does not close an application that could not start.
            for (const job of Old.schedulers.getCronJobs().values()) void job.stop();
            const held = `SELECT id FROM ${schema}.leader_lease WHERE expires_at > clock_timestamp()`;
            assert.deepEqual([await rows(held), Old.ran], [[], 0]);
            await rows(CURE.replace("leader_lease", `${schema}.leader_lease`));
            // A new client, as after a restart: the store of a client remembers its table.
            const client = newPool();
            const application = await open(Old, schema, { client });
            await until(() => Old.ran > 0);
            await closeForGood(application);
            await client.end();
            Old.ran = 0;
        }
    });

    test("without ScheduleModule no tick runs, and each job is warned of at the start", async () => {
        @Injectable()
        class Never {
            @OncePerTick({ name: "never" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): string {
                return "ran";
            }
        }
        const logger = new Lines();
        const imports = [LeaderElectorModule.forRoot({ store: memoryStore(), ...long, logger })];
        const application = await openApplication({ imports, providers: [Never] });
        assert.deepEqual(logger.warned, ["@OncePerTick() on Never.run: no tick runs, since this application" +
            " has no ScheduleModule; import ScheduleModule.forRoot() of @nestjs/schedule"]);
        assert.equal(await application.get(Never).run(), "ran");
    });

    test("a job without a name is refused with the line to write", () => {
        // JavaScript and older code can do what the types forbid.
        const Untyped = OncePerTick as (options?: unknown) => MethodDecorator;
        const decorate = (options?: unknown) => () => {
            class Nightly {
                @Untyped(options)
                @Cron(CronExpression.EVERY_SECOND)
                run(): void {}
            }
            return Nightly;
        };
        const message = /on Nightly.run has no `name`, .* @OncePerTick\(\{ name: "Nightly.run" \}\), which/;
        for (const options of [undefined, {}, { name: "" }, { name: 7 }, { election: "reports" }]) {
            assert.throws(decorate(options), { code: "INVALID_OPTIONS", message });
        }
    });

    test("builds with different class names share the ticks of one job name and election", async () => {
        const schema = freshSchema();
        /** A job with the names that a minifier leaves. */
        const build = (minified: string) => {
            class Job {
                ran = 0;
                @OncePerTick({ name: "renamed" })
                @Cron(CronExpression.EVERY_SECOND)
                run(): void {
                    this.ran += 1;
                }
            }
            Object.defineProperty(Job, "name", { value: minified });
            return Injectable()(Job) ?? Job;
        };
        const builds = ["a", "b"].map(build);
        const applications = await Promise.all(builds.map((job) => open(job, schema)));
        const ran = () => builds.reduce((sum, job, at) => sum + applications[at]!.get(job).ran, 0);
        const ask = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/%'`;
        await until(() => ran() >= 3);
        await Promise.all(applications.map((application) => application.close()));
        const claims = await rows<{ id: string }>(ask);
        assert.ok(claims.every(({ id }) => id.startsWith("tick/1/renamed/")), JSON.stringify(claims));
        assert.equal(ran(), claims.length);
    });

    test("calls of an unknown cron without a mark are claimed as ticks", async () => {
        const schema = freshSchema();
        @Injectable()
        class Unmarked {
            static ran = 0;
            @OncePerTick({ name: "unmarked" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Unmarked.ran += 1;
            }
        }
        const applications = [await open(Unmarked, schema), await open(Unmarked, schema)];
        for (const application of applications) {
            const jobs = application.get(SchedulerRegistry).getCronJobs().values();
            for (const job of jobs) (job as { onComplete?: unknown }).onComplete = undefined;
        }
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/unmarked/%'`;
        const before = Unmarked.ran;
        await until(() => Unmarked.ran >= before + 3);
        await Promise.all(applications.map((application) => application.close()));
        assert.equal(Unmarked.ran, (await rows(claims)).length);
    });

    test("a run at the start is claimed, although cron calls it before the job is registered", async () => {
        const schema = freshSchema();
        @Injectable()
        class AtStart {
            static ran = 0;
            @OncePerTick({ name: "at start" })
            @Cron("0 0 0 1 1 *", { runOnInit: true } as object)
            run(): void {
                AtStart.ran += 1;
            }
        }
        const logger = new Lines();
        const start = () => open(AtStart, schema, { logger });
        const applications = [await start(), await start()];
        const ask = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/at start/%'`;
        await until(() => AtStart.ran === 1);
        await Promise.all(applications.map((application) => application.close()));
        assert.equal((await rows(ask)).length, 1);
        assert.deepEqual([AtStart.ran, logger.errors], [1, []]);
    });

    test("a tick stays claimed until the next is due: a later start does not run it again", async () => {
        const store = memoryStore();
        const outcomes: string[] = [];
        const execute: Store["execute"] = (jobs, answer) => store.execute(jobs, (job, reply, error) => {
            const isClaim = job.election.startsWith("tick/") && job.request.op === "acquire";
            if (isClaim) outcomes.push(reply.outcome);
            answer(job, reply, error);
        });
        @Injectable()
        class Yearly {
            static ran = 0;
            @OncePerTick({ name: "yearly" })
            @Cron("0 0 0 1 1 *", { runOnInit: true } as object)
            run(): void {
                Yearly.ran += 1;
            }
        }
        const spied = { client: undefined, store: { name: "spied", execute } satisfies Store };
        for (const expected of [["granted"], ["granted", "seen"]]) {
            const application = await open(Yearly, freshSchema(), spied);
            await until(() => outcomes.length === expected.length);
            await closeForGood(application);
            assert.deepEqual([outcomes, Yearly.ran], [expected, 1]);
            store.stepClock(60 * 60_000);
            await store.cleanUp();
        }
    });

    test("a job whose time was changed runs at its new time", async () => {
        const schema = freshSchema();
        @Injectable()
        class Moved {
            static ran = 0;
            @OncePerTick({ name: "moved" })
            @Cron("0 0 0 1 1 *", { name: "moved" })
            run(): void {
                Moved.ran += 1;
            }
            @Cron(CronExpression.EVERY_SECOND, { name: "often" })
            often(): void {}
        }
        const application = await open(Moved, schema);
        const schedulers = application.get(SchedulerRegistry);
        schedulers.getCronJob("moved").setTime(schedulers.getCronJob("often").cronTime);
        await until(() => Moved.ran >= 2);
        await closeForGood(application);
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/moved/%'`;
        assert.equal((await rows(claims)).length, Moved.ran);
    });

    test("runs that cron skips for waitForCompletion are not logged as a late event loop", async () => {
        @Injectable()
        class Slow {
            static ended = 0;
            @OncePerTick({ name: "slow" })
            @Cron(CronExpression.EVERY_SECOND, { waitForCompletion: true } as object)
            async run(): Promise<void> {
                await sleep(2_300);
                Slow.ended += 1;
            }
        }
        const logger = new Lines();
        const more = { client: undefined, store: memoryStore(), logger };
        const application = await open(Slow, freshSchema(), more);
        await until(() => Slow.ended >= 2);
        await closeForGood(application);
        assert.deepEqual(logger.warned.filter((line) => line.includes("skipped")), []);
    });

    test("a direct call runs on the leader without a claim, and not on other nodes", async () => {
        const schema = freshSchema();
        @Injectable()
        class Yearly {
            @OncePerTick({ name: "yearly" })
            @Cron("0 0 0 1 1 *")
            async run(a = 0, b = 0): Promise<number> {
                return a + b;
            }
        }
        const leader = await open(Yearly, schema, { instanceId: "a", meta: "http://a" });
        const other = await open(Yearly, schema, { instanceId: "b" });
        const [own, its] = [leader.get(Yearly), other.get(Yearly)];
        assert.deepEqual([await own.run(1, 2), await own.run()], [3, 0]);
        const refused: unknown = await its.run(1, 2);
        assert.ok(isNotRun(refused));
        const { election, leader: who } = refused;
        assert.deepEqual({ election, who }, { election: "1", who: { candidate: "a", meta: "http://a" } });
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/%'`;
        assert.deepEqual(await rows(claims), []);
        // A closed application runs no tick any more.
        await Promise.all([closeForGood(leader), closeForGood(other)]);
        assert.ok(isNotRun(await own.run()));
    });
});
