// Every code block of NESTJS.md runs, and does what the text beside it says.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { INestApplication, Type } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ScheduleModule } from "@nestjs/schedule";
import { TerminusModule } from "@nestjs/terminus";
import { memoryStore } from "elector-wasm";
import { LeaderElectorModule, LeaderElectorService, getElectorToken } from "elector-wasm/nestjs";
import { DataSource } from "typeorm";
import { endAll, folder, long, rows, until, url } from "./support.js";

process.env["DATABASE_URL"] = url;

const opened = new Set<INestApplication>();
const said: string[] = [];
const log = console.log;

async function open(imports: unknown[], parts: { providers?: Type[]; controllers?: Type[] } = {}) {
    const module = { module: class Application {}, imports: imports as [], ...parts };
    const application = await NestFactory.create(module, { logger: false, abortOnError: false });
    opened.add(application);
    await application.listen(0, "127.0.0.1");
    return application;
}

const printed = (what: RegExp) => said.filter((line) => what.test(line));

describe("NESTJS.md", { concurrency: 1 }, () => {
    before(() => {
        console.log = (...values: unknown[]) => void said.push(values.join(" "));
    });
    after(async () => {
        console.log = log;
        await Promise.all([...opened].map((application) => application.close()));
        await endAll();
    });

    test("the document has exactly the blocks that are run here", () => {
        const names = readdirSync(join(folder, "document")).filter((name) => /^block.*\.js$/.test(name));
        assert.equal(names.length, 6);
    });

    test("the program of 'Quick start' does what the text says", async () => {
        const { AppModule } = await import("./document/block1.js");
        const application = await open([AppModule]);
        await until(() => printed(/^only one replica prints this, under token [0-9]{16}$/).length > 0);
        await application.close();
    });

    test("the program of the repository's README does what the text says", async () => {
        const { AppModule } = await import("./document/readme.js");
        const application = await open([AppModule]);
        const says = /^only one replica prints this, under token [0-9]+, aborted: false$/;
        await until(() => printed(says).length > 0);
        await application.close();
    });

    test("the program of 'More elections' does what the text says", async () => {
        const { ReportsModule } = await import("./document/block2.js");
        const root = LeaderElectorModule.forRoot({ store: memoryStore(), ...long });
        const application = await open([root, ReportsModule]);
        await until(() => printed(/^reports: elected under token [0-9]+, aborted: false$/).length === 1);
        const reports: LeaderElectorService = application.get(getElectorToken("reports"), { strict: false });
        assert.ok(reports.amILeader());
        await application.close();
        assert.equal(printed(/^reports: deposed, released, leading: false$/).length, 1);
    });

    test("the program of 'Each tick exactly once' does what the text says", async () => {
        const { InvoicesService } = await import("./document/block3.js");
        const store = memoryStore();
        const claimed: string[] = [];
        const execute = store.execute.bind(store);
        store.execute = (jobs, answer) => execute(jobs, (job, reply, error) => {
            if (reply.outcome === "granted" && job.election.startsWith("tick/")) claimed.push(job.election);
            answer(job, reply, error);
        });
        const roots = [1, 2].map(() => LeaderElectorModule.forRoot({ store }));
        const both = [];
        for (const root of roots) {
            both.push(await open([ScheduleModule.forRoot(), root], { providers: [InvoicesService] }));
        }
        await until(() => printed(/^invoices of /).length >= 2);
        await Promise.all(both.map((application) => application.close()));
        await until(() => printed(/^invoices of /).length === claimed.length, () => claimed.join());
        assert.equal(new Set(claimed).size, claimed.length);
    });

    test("the program of 'Controllers and health' does what the text says", async () => {
        const { AppController } = await import("./document/block4.js");
        const root = LeaderElectorModule.forRoot({ store: memoryStore(), ...long });
        const application = await open([root, TerminusModule], { controllers: [AppController] });
        const at = await application.getUrl();
        const ask = async (path: string, method = "GET") => (await fetch(`${at}/${path}`, { method })).status;
        const all = async () => [await ask("rebuild", "POST"), await ask("queue"), await ask("health")];
        assert.deepEqual(await all(), [201, 200, 200]);
        await application.get(LeaderElectorService).release();
        assert.deepEqual(await all(), [503, 503, 200]);
    });

    test("the program of 'Asynchronous configuration' does what the text says", async () => {
        const { ConfiguredModule } = await import("./document/block5.js");
        await open([ConfiguredModule]);
        assert.equal((await rows("SELECT id FROM configured.leader_lease")).length, 1);
    });

    test("the program of 'TypeORM' does what the text says", async () => {
        const { Leases1700000000000 } = await import("./document/block6.js");
        const dataSource = new DataSource({ type: "postgres", url, migrations: [Leases1700000000000] });
        await dataSource.initialize();
        await dataSource.runMigrations();
        assert.equal((await rows("SELECT id FROM leases.leader_lease")).length, 0);
        await dataSource.undoLastMigration();
        await dataSource.destroy();
    });
});
