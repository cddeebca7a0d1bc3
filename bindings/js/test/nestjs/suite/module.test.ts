// The module: its configuration, its campaigns, and that nothing remains after the shutdown.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { INestApplicationContext } from "@nestjs/common";
import { Injectable, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { TypeOrmModule } from "@nestjs/typeorm";
import { memoryStore, postgresStore } from "elector-wasm";
import type {
    LeaderElectorModuleOptions, LeaderElectorOptionsFactory,
} from "elector-wasm/nestjs";
import {
    InjectElector, LeaderElections, LeaderElectorCore, LeaderElectorModule, LeaderElectorService,
} from "elector-wasm/nestjs";
import type pg from "pg";
import { closeAll, closeForGood, openApplication } from "./application.js";
import {
    Lines, endAll, freshSchema, long, newPool, rows, short, sleep, start, tokensOf, until, url,
} from "./support.js";

const pool = newPool();

const open = (...imports: object[]) => openApplication({ imports: imports as [] });

const service = (application: INestApplicationContext) => application.get(LeaderElectorService);
const leads = (application: INestApplicationContext) => until(() => service(application).amILeader());

@Injectable()
class Options implements LeaderElectorOptionsFactory {
    createLeaderElectorOptions(): LeaderElectorModuleOptions {
        return { client: pool, schema: Options.schema, ...long };
    }
    static schema = "";
}

@Module({ providers: [Options], exports: [Options] })
class OptionsModule {}

@Injectable()
class Reports {
    constructor(
        @InjectElector("reports") readonly reports: LeaderElectorService,
        readonly root: LeaderElectorService,
    ) {}
}

describe("the module", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await endAll();
        await pool.end();
    });

    test("a logger that throws does not disturb the application", async () => {
        const throws = () => assert.fail("a logger that is closed");
        const store = memoryStore();
        const options = { store, ...short, logger: { warn: throws, error: throws } };
        const application = await open(LeaderElectorModule.forRoot(options));
        await leads(application);
        const { elector } = service(application);
        const lost = new Promise((resolve) => elector.on("deposed", resolve));
        store.deleteRow("1");
        await lost;
        await leads(application);
    });

    test("without TypeORM, an application on plain pg leads", async () => {
        const application = await open(LeaderElectorModule.forRoot({ client: pool, schema: freshSchema() }));
        await leads(application);
        assert.ok(service(application).token! > 0n);
        assert.deepEqual(service(application).leadership.phase, "leader");
    });

    test("an application on a store of its own leads", async () => {
        const application = await open(LeaderElectorModule.forRoot({ store: memoryStore() }));
        assert.ok(service(application).amILeader(), "the first answer is waited for");
    });

    test("a module without DataSource, client and store is refused at the start", async () => {
        const refusal = /cannot keep leases.*import TypeOrmModule.forRoot\(\), or give a `client`/;
        await assert.rejects(open(LeaderElectorModule.forRoot()), refusal);
        const named = LeaderElectorModule.forRoot({ dataSource: "other" });
        await assert.rejects(open(named), /DataSource 'other'/);
    });

    test("a missing table with createTableOnInit off is refused at the start", async () => {
        const place = { client: pool, schema: freshSchema(), createTableOnInit: false };
        await assert.rejects(open(LeaderElectorModule.forRoot(place)), { code: "STORE_REFUSED" });
        const creating = LeaderElectorCore.create(pool, { ...place, logger: false });
        await assert.rejects(creating, /no table leader_lease/);
    });

    test("a meta text that is too long is refused", async () => {
        const wrong = LeaderElectorModule.forRoot({ client: pool, meta: "x".repeat(65_537) });
        await assert.rejects(open(wrong), { code: "INVALID_OPTIONS", message: /65537 bytes/ });
    });

    test("timings that do not fit together are refused with their numbers", async () => {
        const wrong = LeaderElectorModule.forRoot({ client: pool, leaseDuration: 50 });
        await assert.rejects(open(wrong), { code: "INVALID_OPTIONS", message: /50/ });
        // The shortest times that fit are those in the documents.
        const shortest = (config: LeaderElectorModuleOptions) => {
            return new LeaderElectorCore(memoryStore(), { logger: false, ...config }).shutdown();
        };
        await shortest({ leaseDuration: 560 });
        await shortest({ leaseDuration: 900, renewalInterval: 450 });
        const tooShort = /three renewal attempts do not fit/;
        assert.throws(() => shortest({ leaseDuration: 550 }), tooShort);
        assert.throws(() => shortest({ leaseDuration: 890, renewalInterval: 445 }), tooShort);
    });

    test("a pool that a provider ends in onApplicationShutdown is still open at the release", async () => {
        const [own, schema] = [newPool(), freshSchema()];
        const ending = {
            module: class Ending {},
            providers: [{ provide: "ENDING", useValue: { onApplicationShutdown: () => own.end() } }],
        };
        const application = await open(LeaderElectorModule.forRoot({ client: own, schema }), ending);
        await leads(application);
        // A pool can be ended only once.
        await closeForGood(application);
        const [row] = await rows(`SELECT leader_id FROM ${schema}.leader_lease WHERE id = '1'`);
        assert.equal(row!["leader_id"], "");
    });

    test("forRootAsync takes options from useFactory", async () => {
        const schema = freshSchema();
        const application = await open(LeaderElectorModule.forRootAsync({
            imports: [OptionsModule],
            inject: [Options],
            useFactory: async () => ({ client: pool, schema, lockId: 7 }),
        }));
        await leads(application);
        assert.deepEqual(await rows(`SELECT id FROM ${schema}.leader_lease`), [{ id: "7" }]);
    });

    test("forRootAsync takes options from useClass and useExisting", async () => {
        Options.schema = freshSchema();
        const first = await open(LeaderElectorModule.forRootAsync({ useClass: Options }));
        await leads(first);
        const own = LeaderElectorModule.forRootAsync({ imports: [OptionsModule], useExisting: Options });
        const second = await open(own);
        assert.equal(service(second).amILeader(), false);
        assert.ok(service(second).leader(), "the other one");
        await first.close();
        await until(() => service(second).amILeader());
    });

    test("an application on a named DataSource of TypeORM leads", async () => {
        const schema = freshSchema();
        const application = await open(
            TypeOrmModule.forRoot({ type: "postgres", url, name: "leases" }),
            LeaderElectorModule.forRoot({ dataSource: "leases", schema }),
        );
        await leads(application);
    });

    test("each election of forFeature has a service of its own", async () => {
        const schema = freshSchema();
        const features = [
            LeaderElectorModule.forFeature("reports", { election: "mails", meta: "m" }),
            LeaderElectorModule.forFeature("reports"),
        ];
        const module = { module: class Feature {}, imports: features, providers: [Reports] };
        const root = LeaderElectorModule.forRoot({ client: pool, schema, ...long });
        const application = await open(root, module);
        const { reports, root: own } = application.get(Reports, { strict: false });
        assert.notEqual(reports, own);
        const all = application.get(LeaderElections);
        await until(() => [reports, own, all.get("mails")].every((each) => each.amILeader()));
        assert.equal(all.get("reports"), reports);
        assert.throws(() => all.get("report"), /no election "report", only "1", "reports", "mails"/);
        const ids = await rows(`SELECT id, meta FROM ${schema}.leader_lease ORDER BY id`);
        assert.deepEqual(ids, [
            { id: "1", meta: null }, { id: "mails", meta: "m" }, { id: "reports", meta: null },
        ]);
        // The services release one after another.
        await reports.release();
        assert.ok(own.amILeader() && !reports.amILeader());
    });

    test("release() frees the lease, and the candidate campaigns again after one lease", async () => {
        const place = { client: pool, schema: freshSchema(), ...short };
        const alone = new LeaderElectorCore(pool, place);
        const tokens = tokensOf(alone.elector);
        await until(() => alone.amILeader());
        const from = performance.now();
        const releasing = alone.release();
        assert.equal(alone.amILeader(), false, "from the call on");
        const terms = tokens.length;
        await releasing;
        await until(() => tokens.length > terms);
        const took = performance.now() - from;
        assert.ok(took >= short.leaseDuration - 1, `not before one lease: ${took} ms`);
        assert.ok(tokens[terms]! > tokens[terms - 1]!);
        const other = await LeaderElectorCore.create(pool, place);
        await alone.release();
        await until(() => other.amILeader());
        // The candidate campaigns again, and leaves the other one's lease alone.
        await until(() => alone.leadership.phase !== "standby");
        await until(() => alone.leader());
        assert.ok(!(alone.amILeader() && other.amILeader()));
        await Promise.all([alone.shutdown(), other.shutdown()]);
    });

    test("after runAsLeader() the candidate campaigns again after one lease", async () => {
        const place = { client: pool, schema: freshSchema(), ...short };
        const application = await open(LeaderElectorModule.forRoot(place));
        const own = service(application);
        const tokens = tokensOf(own.elector);
        await until(() => own.amILeader());
        let from = 0;
        const token = await own.runAsLeader((term) => {
            from = performance.now();
            return term.token;
        });
        assert.equal(own.amILeader(), false);
        await until(() => tokens.some((later) => later > token));
        const took = performance.now() - from;
        assert.ok(took >= short.leaseDuration - 1, `not before one lease: ${took} ms`);
        // Each replica leads once, and then one of them leads.
        const other = await LeaderElectorCore.create(pool, place);
        const turns = await Promise.all([own, other].map((each) => each.runAsLeader((term) => term.token)));
        assert.equal(new Set(turns).size, 2);
        await until(() => own.amILeader() || other.amILeader());
        await Promise.all([application.close(), other.shutdown()]);
        await sleep(short.leaseDuration + 500);
        assert.deepEqual([own, other].map((each) => each.elector.leadership.phase), ["standby", "standby"]);
    });

    test("after runAsLeader() before the bootstrap no campaign begins until the bootstrap", async () => {
        const place = { client: pool, schema: freshSchema(), ...short };
        const phases: string[] = [];
        const root = LeaderElectorModule.forRoot(place);
        const migrating = {
            module: class Migrating {},
            providers: [{
                provide: "MIGRATING",
                inject: [LeaderElectorService],
                useFactory: (own: LeaderElectorService) => ({
                    async onModuleInit() {
                        await own.runAsLeader(() => undefined);
                        // As long as the pause before the next campaign.
                        await sleep(short.leaseDuration + 1_000);
                        phases.push(own.leadership.phase);
                    },
                }),
            }],
        };
        const application = await open(root, migrating);
        assert.deepEqual(phases, ["standby"]);
        await leads(application);
    });

    test("an application that is closed while it starts does not campaign afterwards", async () => {
        const schema = freshSchema();
        let go = (): void => undefined;
        const gate = new Promise<void>((resolve) => (go = resolve));
        let begun = false;
        const slow = {
            module: class Slow {},
            providers: [{
                provide: "SLOW",
                useValue: {
                    onModuleInit() {
                        begun = true;
                        return gate;
                    },
                },
            }],
        };
        const root = LeaderElectorModule.forRoot({ client: pool, schema, ...long });
        const module = { module: class Application {}, imports: [root, slow] };
        const application = await NestFactory.create(module, { logger: false, abortOnError: false });
        const starting = application.init().catch(() => undefined);
        await until(() => begun);
        // Some versions of Nest wait here until the application has started.
        const closing = application.close();
        await Promise.race([closing, sleep(1_000)]);
        go();
        await Promise.all([starting, closing]);
        const all = application.get(LeaderElections);
        assert.equal(all.root.leadership.phase, "standby");
        assert.equal(all.root.amILeader(), false);
        const other = await LeaderElectorCore.create(pool, { schema, ...long });
        await until(() => other.amILeader());
        await other.shutdown();
    });

    test("an object of no known application uses the running application's elections", async () => {
        const app = start("unclosed.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "leads\ntwo applications are refused\n");
    });

    test("leadership$ emits the present answer and each change, and completes at the shutdown", async () => {
        const elector = new LeaderElectorCore(postgresStore(pool, { schema: freshSchema() }), long);
        const seen: (boolean | string)[] = [];
        elector.leadership$.subscribe({
            next: (each) => seen.push(each.leading),
            complete: () => seen.push("end"),
        });
        await until(() => elector.amILeader());
        await elector.release();
        // Without this call the candidate campaigns after one lease.
        elector.elector.campaign();
        await until(() => elector.amILeader());
        await elector.shutdown();
        assert.deepEqual(seen, [false, true, false, true, false, "end"]);
    });

    test("a schema with any name works", async () => {
        const schema = 'a"b c';
        await rows('DROP SCHEMA IF EXISTS "a""b c" CASCADE');
        const application = await open(
            TypeOrmModule.forRoot({ type: "postgres", url }),
            LeaderElectorModule.forRoot({ schema }),
        );
        await leads(application);
        assert.equal((await rows('SELECT id FROM "a""b c".leader_lease')).length, 1);
    });

    test("an application without the optional packages leads", async () => {
        const app = start("bare.js", [], "absent.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "leads without TypeORM\n");
    });

    test("a closed application leaves no timer and no connection, and prints nothing", async () => {
        for (const mode of ["pg", "typeorm"]) {
            const name = `closes-${mode}-${freshSchema()}`;
            const app = start("closing.js", [mode, name, freshSchema()]);
            await until(() => app.output.includes("leading"), () => app.output);
            const ask = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1";
            assert.ok((await rows(ask, [name])).length > 0);
            app.child.stdin?.write("close\n");
            // The process ends by itself.
            await until(() => app.code !== undefined, () => app.output);
            assert.equal(app.code, 0);
            assert.match(app.printed, /^leading\nended after \d+ ms\n$/);
            await until(async () => (await rows(ask, [name])).length === 0);
        }
    });

    test("after SIGTERM the next replica leads before the lease would have expired", async () => {
        // A shutdown waits up to five seconds for its release. A longer one proves nothing, and the test
        // repeats.
        for (let turn = 0; turn < 5; turn++) {
            const schema = freshSchema();
            const holder = `SELECT leader_id FROM ${schema}.leader_lease WHERE id = '1'`;
            const app = start("closing.js", ["typeorm", `handover-${turn}`, schema]);
            await until(() => app.output.includes("leading"), () => app.output);
            const [before] = await rows(holder);
            const other = await LeaderElectorCore.create(pool as pg.Pool, { schema, ...long });
            assert.equal(other.amILeader(), false);
            const told = performance.now();
            app.child.kill("SIGTERM");
            await app.ended;
            const took = performance.now() - told;
            const [after] = await rows(holder);
            const isReleased = after!["leader_id"] !== before!["leader_id"];
            if (isReleased) await until(() => other.amILeader());
            await other.shutdown();
            if (isReleased) return;
            assert.ok(took >= 4_999, `it ended after ${took} ms, and did not release`);
        }
        assert.fail("no application released its lease");
    });

    test("an outage and its end are logged once, not for each election and attempt", async () => {
        const lines = new Lines();
        let isDown = false;
        const client = {
            query: (text: string, values?: unknown[]) => isDown
                ? Promise.reject(new Error("connect ECONNREFUSED 127.0.0.1:5432"))
                : pool.query(text, values),
        };
        const names = Array.from({ length: 20 }, (_, at) => `e${at}`);
        const place = { client, schema: freshSchema(), ...short, logger: lines };
        const root = LeaderElectorModule.forRoot(place);
        const application = await open(root, LeaderElectorModule.forFeature(...names));
        const all = application.get(LeaderElections);
        const services = [all.root, ...names.map((name) => all.get(name))];
        const losses: string[] = [];
        for (const { elector } of services) elector.on("deposed", () => losses.push(elector.election));
        await until(() => services.every((each) => each.amILeader()));
        // A request that a busy machine delayed before is another fault.
        lines.warned.length = 0;
        isDown = true;
        await until(() => services.every((each) => !each.amILeader()));
        // After many more attempts.
        await sleep(2 * short.leaseDuration);
        const said = (what: RegExp) => lines.warned.filter((line) => what.test(line));
        const lost = said(/no longer the leader \(expired\).*ECONNREFUSED/);
        const others = lines.warned.filter((line) => !lost.includes(line) && line.includes("ECONNREFUSED"));
        assert.equal(others.length, 1, lines.warned.join("\n"));
        assert.match(others[0]!, /ECONNREFUSED/);
        // The terms end at once, and so in one line; on a busy machine perhaps in a few.
        assert.ok(lost.length >= 1 && lost.length <= losses.length, lines.warned.join("\n"));
        isDown = false;
        await until(() => services.every((each) => each.amILeader()));
        const again = () => said(/the store answers again, after \d+ s$/).length;
        await until(() => again() >= 1, () => lines.warned.join("\n"));
        assert.ok(again() <= 1 + said(/no answer in time/).length, lines.warned.join("\n"));
        await application.close();
        assert.deepEqual(lines.errors, []);
    });

    test("an exhausted shared pool is reported before the term ends", async () => {
        const lines = new Lines();
        const shared = newPool({ max: 1 });
        const schema = freshSchema();
        const root = LeaderElectorModule.forRoot({ client: shared, schema, ...short, logger: lines });
        const application = await open(root);
        const turns: string[] = [];
        for (const event of ["atRisk", "stopNewWork", "deposed"] as const) {
            service(application).elector.on(event, () => turns.push(event));
        }
        await leads(application);
        const taken = await shared.connect();
        const other = await LeaderElectorCore.create(pool, { schema, ...long });
        await until(() => other.amILeader());
        assert.equal(service(application).amILeader(), false);
        // On a busy event loop the `atRisk` listener may run after the risk has passed.
        await until(() => turns.includes("deposed"));
        const told = [...new Set(turns)].filter((event) => event !== "atRisk");
        assert.deepEqual(told, ["stopNewWork", "deposed"]);
        const isSaid = (what: RegExp) => until(() => lines.warned.some((line) => what.test(line)));
        await isSaid(/pool exhausted/);
        await isSaid(/election "1": no longer the leader \(expired\)/);
        taken.release();
        await other.shutdown();
        await leads(application);
        await application.close();
        await shared.end();
    });
});
