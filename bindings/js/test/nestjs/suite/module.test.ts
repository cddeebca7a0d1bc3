// The module: how it is configured, what it stands for, and what it leaves behind.
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

    test("a logger that throws costs nothing", async () => {
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

    test("plain pg will do, without TypeORM", async () => {
        const application = await open(LeaderElectorModule.forRoot({ client: pool, schema: freshSchema() }));
        await leads(application);
        assert.ok(service(application).token! > 0n);
        assert.deepEqual(service(application).leadership.phase, "leader");
    });

    test("any store will do", async () => {
        const application = await open(LeaderElectorModule.forRoot({ store: memoryStore() }));
        assert.ok(service(application).amILeader(), "the first answer is waited for");
    });

    test("nowhere to keep leases is said at the start", async () => {
        const refusal = /nowhere to keep leases.*import TypeOrmModule.forRoot\(\), or give a `client`/;
        await assert.rejects(open(LeaderElectorModule.forRoot()), refusal);
        const named = LeaderElectorModule.forRoot({ dataSource: "other" });
        await assert.rejects(open(named), /DataSource 'other'/);
    });

    test("a table that must not be made and is not there is said at the start", async () => {
        const place = { client: pool, schema: freshSchema(), createTableOnInit: false };
        await assert.rejects(open(LeaderElectorModule.forRoot(place)), { code: "STORE_REFUSED" });
        const creating = LeaderElectorCore.create(pool, { ...place, logger: false });
        await assert.rejects(creating, /no table leader_lease/);
    });

    test("a meta text that is too long is refused", async () => {
        const wrong = LeaderElectorModule.forRoot({ client: pool, meta: "x".repeat(65_537) });
        await assert.rejects(open(wrong), { code: "INVALID_OPTIONS", message: /65537 bytes/ });
    });

    test("timings that cannot fit are refused with their numbers", async () => {
        const wrong = LeaderElectorModule.forRoot({ client: pool, leaseDuration: 50 });
        await assert.rejects(open(wrong), { code: "INVALID_OPTIONS", message: /50/ });
        // The shortest that fit are what the documents say.
        const shortest = (config: LeaderElectorModuleOptions) => {
            return new LeaderElectorCore(memoryStore(), { logger: false, ...config }).shutdown();
        };
        await shortest({ leaseDuration: 560 });
        await shortest({ leaseDuration: 900, renewalInterval: 450 });
        const tooShort = /three renewal attempts do not fit/;
        assert.throws(() => shortest({ leaseDuration: 550 }), tooShort);
        assert.throws(() => shortest({ leaseDuration: 890, renewalInterval: 445 }), tooShort);
    });

    test("a pool that a provider ends in onApplicationShutdown is there for the release", async () => {
        const [own, schema] = [newPool(), freshSchema()];
        const ending = {
            module: class Ending {},
            providers: [{ provide: "ENDING", useValue: { onApplicationShutdown: () => own.end() } }],
        };
        const application = await open(LeaderElectorModule.forRoot({ client: own, schema }), ending);
        await leads(application);
        // A pool ends once.
        await closeForGood(application);
        const [row] = await rows(`SELECT leader_id FROM ${schema}.leader_lease WHERE id = '1'`);
        assert.equal(row!["leader_id"], "");
    });

    test("forRootAsync: useFactory", async () => {
        const schema = freshSchema();
        const application = await open(LeaderElectorModule.forRootAsync({
            imports: [OptionsModule],
            inject: [Options],
            useFactory: async () => ({ client: pool, schema, lockId: 7 }),
        }));
        await leads(application);
        assert.deepEqual(await rows(`SELECT id FROM ${schema}.leader_lease`), [{ id: "7" }]);
    });

    test("forRootAsync: useClass and useExisting", async () => {
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

    test("a named DataSource of TypeORM", async () => {
        const schema = freshSchema();
        const application = await open(
            TypeOrmModule.forRoot({ type: "postgres", url, name: "leases" }),
            LeaderElectorModule.forRoot({ dataSource: "leases", schema }),
        );
        await leads(application);
    });

    test("forFeature: several elections, each with a service of its own", async () => {
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
        assert.throws(() => all.get("report"), /no election "report", but "1", "reports", "mails"/);
        const ids = await rows(`SELECT id, meta FROM ${schema}.leader_lease ORDER BY id`);
        assert.deepEqual(ids, [
            { id: "1", meta: null }, { id: "mails", meta: "m" }, { id: "reports", meta: null },
        ]);
        // Released one by one.
        await reports.release();
        assert.ok(own.amILeader() && !reports.amILeader());
    });

    test("release gives the lease up, lets others go first, and stands again after one lease", async () => {
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
        // It stands again, and does not take what the other one has.
        await until(() => alone.leadership.phase !== "standby");
        await until(() => alone.leader());
        assert.ok(!(alone.amILeader() && other.amILeader()));
        await Promise.all([alone.shutdown(), other.shutdown()]);
    });

    test("after runAsLeader others go first, and it stands again after one lease", async () => {
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
        // Each replica has its turn, and then one of them leads.
        const other = await LeaderElectorCore.create(pool, place);
        const turns = await Promise.all([own, other].map((each) => each.runAsLeader((term) => term.token)));
        assert.equal(new Set(turns).size, 2);
        await until(() => own.amILeader() || other.amILeader());
        await Promise.all([application.close(), other.shutdown()]);
        await sleep(short.leaseDuration + 500);
        assert.deepEqual([own, other].map((each) => each.elector.leadership.phase), ["standby", "standby"]);
    });

    test("a run before the bootstrap does not make an application stand before it", async () => {
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
                        // As long as it would take to stand again.
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

    test("an application that is closed while it starts does not stand after that", async () => {
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
        // Some versions wait here until it has started.
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

    test("what belongs to no other application belongs to the one that runs", async () => {
        const app = start("unclosed.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "leads\ntwo applications are refused\n");
    });

    test("leadership$ says the answer now and at each turn, and completes", async () => {
        const elector = new LeaderElectorCore(postgresStore(pool, { schema: freshSchema() }), long);
        const seen: (boolean | string)[] = [];
        elector.leadership$.subscribe({
            next: (each) => seen.push(each.leading),
            complete: () => seen.push("end"),
        });
        await until(() => elector.amILeader());
        await elector.release();
        // It would do so by itself after one lease.
        elector.elector.campaign();
        await until(() => elector.amILeader());
        await elector.shutdown();
        assert.deepEqual(seen, [false, true, false, true, false, "end"]);
    });

    test("a schema of any name is quoted", async () => {
        const schema = 'a"b c';
        await rows('DROP SCHEMA IF EXISTS "a""b c" CASCADE');
        const application = await open(
            TypeOrmModule.forRoot({ type: "postgres", url }),
            LeaderElectorModule.forRoot({ schema }),
        );
        await leads(application);
        assert.equal((await rows('SELECT id FROM "a""b c".leader_lease')).length, 1);
    });

    test("nothing optional need be installed", async () => {
        const app = start("bare.js", [], "absent.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "leads without TypeORM\n");
    });

    test("an application that closes leaves no timer and no connection, and prints nothing", async () => {
        for (const mode of ["pg", "typeorm"]) {
            const name = `closes-${mode}-${freshSchema()}`;
            const app = start("closing.js", [mode, name, freshSchema()]);
            await until(() => app.output.includes("leading"), () => app.output);
            const ask = "SELECT 1 FROM pg_stat_activity WHERE application_name = $1";
            assert.ok((await rows(ask, [name])).length > 0);
            app.child.stdin?.write("close\n");
            // By itself.
            await until(() => app.code !== undefined, () => app.output);
            assert.equal(app.code, 0);
            assert.match(app.printed, /^leading\nended after \d+ ms\n$/);
            await until(async () => (await rows(ask, [name])).length === 0);
        }
    });

    test("SIGTERM hands over, and the next replica does not wait for the lease to end", async () => {
        // An application waits for five seconds for its release. What took longer tells nothing: once more.
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

    test("an outage is said once, not for each election and attempt, and so is its end", async () => {
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
        // What a busy machine was too late for before is another fault.
        lines.warned.length = 0;
        isDown = true;
        await until(() => services.every((each) => !each.amILeader()));
        // Many attempts later.
        await sleep(2 * short.leaseDuration);
        const said = (what: RegExp) => lines.warned.filter((line) => what.test(line));
        const lost = said(/no longer the leader \(expired\).*ECONNREFUSED/);
        const others = lines.warned.filter((line) => !lost.includes(line) && line.includes("ECONNREFUSED"));
        assert.equal(others.length, 1, lines.warned.join("\n"));
        assert.match(others[0]!, /ECONNREFUSED/);
        // At once, and so in one line: on a busy machine perhaps in a few.
        assert.ok(lost.length >= 1 && lost.length <= losses.length, lines.warned.join("\n"));
        isDown = false;
        await until(() => services.every((each) => each.amILeader()));
        const again = () => said(/it answers again, after \d+ s$/).length;
        await until(() => again() >= 1, () => lines.warned.join("\n"));
        assert.ok(again() <= 1 + said(/no answer in time/).length, lines.warned.join("\n"));
        await application.close();
        assert.deepEqual(lines.errors, []);
    });

    test("a shared pool that the application has exhausted does not lose leadership silently", async () => {
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
        // A busy event loop may hear of the risk only when it is none any more.
        await until(() => turns.includes("deposed"));
        const told = [...new Set(turns)].filter((event) => event !== "atRisk");
        assert.deepEqual(told, ["stopNewWork", "deposed"]);
        const isSaid = (what: RegExp) => until(() => lines.warned.some((line) => what.test(line)));
        await isSaid(/pool is exhausted/);
        await isSaid(/election "1": no longer the leader \(expired\)/);
        taken.release();
        await other.shutdown();
        await leads(application);
        await application.close();
        await shared.end();
    });
});
