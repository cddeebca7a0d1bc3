// Several modules of one application import forRoot() and forFeature(): one candidate for each election.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { DynamicModule, INestApplicationContext, Type } from "@nestjs/common";
import { Injectable } from "@nestjs/common";
import { LazyModuleLoader } from "@nestjs/core";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import { memoryStore } from "elector-wasm";
import type { LeaderElectorModuleOptions } from "elector-wasm/nestjs";
import {
    InjectElector, LeaderElections, LeaderElectorModule, LeaderElectorService, LeaderOnly, OnElected,
    OncePerTick, isNotRun,
} from "elector-wasm/nestjs";
import "./cron.js";
import { closeAll, openApplication } from "./application.js";
import { Lines, endAll, freshSchema, long, newPool, rows, until } from "./support.js";

const pool = newPool({ max: 10 });

/** A module of an application, with these imports and a provider. */
function feature(provider: Type, ...imports: DynamicModule[]): DynamicModule {
    return { module: class Feature {}, imports, providers: [provider] };
}

const open = (...imports: DynamicModule[]) => {
    return openApplication({ imports: [ScheduleModule.forRoot(), ...imports] });
};

const get = <T>(application: INestApplicationContext, type: Type<T>) => {
    return application.get(type, { strict: false });
};

/** A class with all kinds of jobs; each module provides its own. */
function jobs(name: string) {
    @Injectable()
    class Jobs {
        readonly ran: string[] = [];
        readonly elected: string[] = [];
        constructor(readonly service: LeaderElectorService) {}

        @LeaderOnly()
        @Cron(CronExpression.EVERY_SECOND)
        leader(): void {
            this.ran.push("leader");
        }

        @OncePerTick({ name })
        @Cron(CronExpression.EVERY_SECOND)
        tick(): void {
            this.ran.push("tick");
        }

        @OnElected()
        start({ election }: { election: string }): void {
            this.elected.push(election);
        }

        @LeaderOnly()
        election(): string {
            return this.service.elector.election;
        }
    }
    return Jobs;
}

const kinds = (ran: string[]) => [...new Set(ran)].sort().join();

describe("forRoot() and forFeature() in several modules", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await endAll();
        await pool.end();
    });

    test("modules with equal settings share one candidate, and the jobs of all modules run", async () => {
        const schema = freshSchema();
        const logger = new Lines();
        const options = { client: pool, schema, ...long, logger };
        const [A, B, C] = [jobs("a"), jobs("b"), jobs("c")];
        const application = await open(
            feature(A, LeaderElectorModule.forRoot(options)),
            // Settings are equal if their effect is: a default, or renewals that are reduced to fit the
            // lease.
            feature(B, LeaderElectorModule.forRoot({ ...options, lockId: 1, strict: false })),
            feature(C, LeaderElectorModule.forRootAsync({ useFactory: async () => ({ ...options }) })),
        );
        const all = [get(application, A), get(application, B), get(application, C)];
        const services = new Set(all.map(({ service }) => service));
        assert.equal(services.size, 1);
        await until(() => all.every(({ ran }) => kinds(ran) === "leader,tick"));
        assert.deepEqual(all.map(({ elected }) => elected), [["1"], ["1"], ["1"]]);
        // Ticks that cron skips on a slow machine are no failure.
        assert.deepEqual(logger.warned.filter((line) => !line.includes("event loop was late")), []);
        const held = `SELECT id FROM ${schema}.leader_lease WHERE id NOT LIKE 'tick/%'`;
        assert.deepEqual(await rows(held), [{ id: "1" }]);
        await application.close();
        assert.equal([...services][0]!.leadership.phase, "standby");
    });

    test("jobs of modules with different elections use their own module's election", async () => {
        const schema = freshSchema();
        const options = { client: pool, schema, ...long };
        const root = (lockId: number) => LeaderElectorModule.forRoot({ ...options, lockId });
        const [A, B] = [jobs("same"), jobs("same")];
        const application = await open(feature(A, root(1)), feature(B, root(2)));
        const [a, b] = [get(application, A), get(application, B)];
        assert.deepEqual([a, b].map(({ service }) => service.elector.election), ["1", "2"]);
        await until(() => [a, b].every(({ ran }) => kinds(ran) === "leader,tick"));
        assert.deepEqual([a.election(), b.election()], ["1", "2"]);
        assert.deepEqual([a.elected, b.elected], [["1"], ["2"]]);
        // Each election has its own lease, and every module finds both by name.
        await b.service.release();
        assert.ok(isNotRun(b.election()));
        assert.equal(a.election(), "1");
        const all = get(application, LeaderElections);
        assert.deepEqual([all.get("1"), all.get("2")], [a.service, b.service]);
        assert.throws(() => all.get("3"), /no election "3", only "1", "2"/);
    });

    test("different settings for one election are refused at the start, and both are named", async () => {
        const options = { client: pool, schema: freshSchema(), ...long };
        const root = (more: LeaderElectorModuleOptions) => {
            return LeaderElectorModule.forRoot({ ...options, ...more });
        };
        const lease = root({ leaseDuration: 20_000 });
        const refusal = /two imports of forRoot\(\) campaign for the election "1" on one store with/;
        await assert.rejects(open(root({}), lease), refusal);
        const told = / leaseDuration \(300000 and 20000\), .*; give both the same/;
        await assert.rejects(open(root({}), lease), told);
        const named = root({ meta: "a", instanceId: "b", strict: true, drainMs: 7, logger: new Lines() });
        const all = ["instanceId (undefined and b)", "meta (undefined and a)", "strict (false and true)",
            "drainMs (150000 and 7)", "logger"].join(", ");
        const message = new RegExp(escaped(all));
        await assert.rejects(open(root({}), named), { code: "INVALID_OPTIONS", message });
        const features = [{ election: "reports", meta: "a" }, { election: "reports", meta: "b" }]
            .map((each) => LeaderElectorModule.forFeature(each));
        const twice = /two imports of forFeature\('reports'\) .* meta \(a and b\)/;
        await assert.rejects(open(root({}), ...features), twice);
        const itself = LeaderElectorModule.forFeature({ election: "1", meta: "a" });
        const crossed = /forRoot\(\) and forFeature\('1'\) .* meta \(undefined and a\)/;
        await assert.rejects(open(root({}), itself), crossed);
        // No refused application left a candidate that campaigns.
        const application = await open(root({}));
        await until(() => get(application, LeaderElectorService).amILeader());
    });

    test("two clients on one table are refused; on two tables each has a candidate", async () => {
        const schema = freshSchema();
        const [first, second] = [newPool(), newPool()];
        const root = (client: typeof pool, where: string) => {
            return LeaderElectorModule.forRoot({ client, schema: where, ...long });
        };
        const refusal = /two imports of forRoot\(\) .* election "1" in one table with different clients/;
        await assert.rejects(open(root(first, schema), root(second, schema)), refusal);
        const [A, B] = [jobs("a"), jobs("b")];
        const other = freshSchema();
        const application = await open(feature(A, root(first, schema)), feature(B, root(second, other)));
        const [a, b] = [get(application, A), get(application, B)];
        assert.notEqual(a.service, b.service);
        await until(() => [a, b].every(({ ran }) => kinds(ran) === "leader,tick"));
        for (const [where, name] of [[schema, "a"], [other, "b"]]) {
            const claims = `SELECT id FROM ${where}.leader_lease WHERE id LIKE 'tick/1/${name}/%'`;
            assert.ok((await rows(claims)).length > 0);
        }
        await application.close();
        await Promise.all([first, second].map((each) => each.end()));
    });

    test("forFeature() uses the forRoot() that its own module imports", async () => {
        @Injectable()
        class First {
            constructor(@InjectElector("reports") readonly reports: LeaderElectorService) {}
            @LeaderOnly("reports")
            run(): string {
                return "first";
            }
        }
        @Injectable()
        class Second {
            constructor(@InjectElector("reports") readonly reports: LeaderElectorService) {}
            @LeaderOnly("reports")
            run(): string {
                return "second";
            }
        }
        const stores = [memoryStore(), memoryStore()];
        const local = { ...long, isGlobal: false };
        const [a, b] = stores.map((store) => LeaderElectorModule.forRoot({ store, ...local }));
        const application = await open(
            feature(First, a!, LeaderElectorModule.forFeature("reports")),
            feature(Second, b!, LeaderElectorModule.forFeature("reports")),
        );
        const [first, second] = [get(application, First), get(application, Second)];
        assert.notEqual(first.reports, second.reports);
        assert.deepEqual([first.run(), second.run()], ["first", "second"]);
        await second.reports.release();
        assert.equal(first.run(), "first");
        assert.ok(isNotRun(second.run()));
        const shared = [1, 2].map(() => LeaderElectorModule.forFeature("reports", "mails"));
        const both = await open(LeaderElectorModule.forRoot({ store: memoryStore() }), ...shared);
        assert.equal(get(both, LeaderElections).get("mails").amILeader(), true);
        const alone = open(LeaderElectorModule.forFeature("reports"));
        await assert.rejects(alone, /forFeature\(\) found no LeaderElectorModule.forRoot\(\)/);
    });

    test("forFeature() of a lazily loaded module campaigns", async () => {
        @Injectable()
        class Late {
            constructor(@InjectElector("late") readonly service: LeaderElectorService) {}
        }
        const root = LeaderElectorModule.forRoot({ store: memoryStore(), ...long });
        const application = await open(root);
        const module = feature(Late, LeaderElectorModule.forFeature("late"));
        const { service } = (await application.get(LazyModuleLoader).load(() => module)).get(Late);
        await until(() => service.amILeader());
        await application.close();
        assert.equal(service.leadership.phase, "standby");
    });

    test("two applications of one process have two candidates", async () => {
        const options = { store: memoryStore(), ...long };
        const [A, B] = [jobs("a"), jobs("a")];
        const first = await open(feature(A, LeaderElectorModule.forRoot(options)));
        const second = await open(feature(B, LeaderElectorModule.forRoot(options)));
        const [a, b] = [get(first, A), get(second, B)];
        assert.deepEqual([a.election(), isNotRun(b.election())], ["1", true]);
        await first.close();
        await until(() => b.service.amILeader());
        assert.ok(isNotRun(a.election()));
    });
});

function escaped(text: string): string {
    return text.replace(/[()]/g, "\\$&");
}
