// How long the module takes.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { DynamicModule, INestApplicationContext } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { memoryStore } from "elector-wasm";
import { LeaderElectorCore, LeaderElectorModule, LeaderElectorService } from "elector-wasm/nestjs";
import { Lines, endAll, freshSchema, long, newPool, sleep, start, until } from "../support.js";

const quick = { leaseDuration: 4_000, renewalInterval: 800, jitterRange: 100 };
const pool = newPool();
const opened = new Set<INestApplicationContext>();

async function open(root: DynamicModule): Promise<INestApplicationContext> {
    const module = { module: class Application {}, imports: [root] };
    const options = { logger: false, abortOnError: false } as const;
    const application = await NestFactory.createApplicationContext(module, options);
    opened.add(application);
    return application;
}

const service = (application: INestApplicationContext) => application.get(LeaderElectorService);

/** Waits until something holds, and resolves to how long that took. */
async function timed(what: () => unknown): Promise<number> {
    const from = performance.now();
    await until(what);
    return performance.now() - from;
}

describe("the module, in time", { concurrency: 1 }, () => {
    after(async () => {
        await Promise.all([...opened].map((application) => application.close()));
        await endAll();
        await pool.end();
    });

    test("a lease twice as long as the renewal interval, as the document advises, is fine", async () => {
        const place = { client: pool, schema: freshSchema(), leaseDuration: 4_000, renewalInterval: 2_000 };
        const application = await open(LeaderElectorModule.forRoot(place));
        await until(() => service(application).amILeader());
        const { token } = service(application);
        await sleep(6_000);
        assert.ok(service(application).amILeader());
        assert.equal(service(application).token, token);
    });

    test("a release hands over within a second", async () => {
        const store = memoryStore();
        const leader = await open(LeaderElectorModule.forRoot({ store, ...long }));
        const other = await open(LeaderElectorModule.forRoot({ store, ...long }));
        await until(() => service(leader).amILeader());
        await service(leader).release();
        const took = await timed(() => service(other).amILeader());
        assert.ok(took < 1_000, `${took} ms`);
    });

    test("SIGTERM hands over within three seconds", async () => {
        const schema = freshSchema();
        const app = start("../closing.js", ["typeorm", "handover", schema]);
        await until(() => app.output.includes("leading"));
        const other = await LeaderElectorCore.create(pool, { schema, ...long });
        assert.equal(other.amILeader(), false);
        // Until it listens for releases.
        await sleep(500);
        app.child.kill("SIGTERM");
        const took = await timed(() => other.amILeader());
        assert.ok(took < 3_000, `${took} ms`);
        await app.ended;
        await other.shutdown();
    });

    test("an application that is told to close ends within a second of that", async () => {
        for (const mode of ["pg", "typeorm"]) {
            const app = start("../closing.js", [mode, `ends-${mode}`, freshSchema()]);
            await until(() => app.output.includes("leading"));
            app.child.stdin?.write("close\n");
            assert.equal(await app.ended, 0, app.output);
            const [, ms] = /ended after (\d+) ms/.exec(app.printed) ?? [];
            assert.ok(Number(ms) < 1_000, app.output);
        }
    });

    test("an exhausted pool is told as a risk before it ends a term", async () => {
        const shared = newPool({ max: 1 });
        const place = { client: shared, schema: freshSchema(), ...quick, logger: new Lines() };
        const application = await open(LeaderElectorModule.forRoot(place));
        await until(() => service(application).amILeader());
        const turns: string[] = [];
        for (const event of ["atRisk", "stopNewWork", "deposed"] as const) {
            service(application).elector.on(event, () => turns.push(event));
        }
        const taken = await shared.connect();
        await until(() => turns.includes("deposed"));
        assert.deepEqual([...new Set(turns)], ["atRisk", "stopNewWork", "deposed"]);
        taken.release();
        await application.close();
        await shared.end();
    });
});
