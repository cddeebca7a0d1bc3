// Upper bounds in time for the module.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { DynamicModule, INestApplicationContext } from "@nestjs/common";
import { memoryStore } from "elector-wasm";
import { LeaderElectorCore, LeaderElectorModule, LeaderElectorService } from "elector-wasm/nestjs";
import { closeAll, openApplication } from "../application.js";
import { Lines, endAll, freshSchema, long, newPool, sleep, start, until } from "../support.js";
import { timed } from "./timed.js";

const quick = { leaseDuration: 4_000, renewalInterval: 800, jitterRange: 100 };
const pool = newPool();

const open = (root: DynamicModule) => openApplication({ imports: [root] });

const service = (application: INestApplicationContext) => application.get(LeaderElectorService);

/** Waits until a condition holds, and resolves to the time that took. */
async function timeOf(what: () => unknown): Promise<number> {
    const from = performance.now();
    await until(what);
    return performance.now() - from;
}

describe("the module, in time", { concurrency: 1 }, () => {
    after(async () => {
        await closeAll();
        await endAll();
        await pool.end();
    });

    timed("a lease of twice the renewal interval keeps its leader", async (witness) => {
        const place = { client: pool, schema: freshSchema(), leaseDuration: 4_000, renewalInterval: 2_000 };
        const application = await open(LeaderElectorModule.forRoot(place));
        await until(() => service(application).amILeader());
        const { token } = service(application);
        await sleep(6_000);
        witness.holds(service(application).token === token, 2_000, "its term lasts");
    });

    timed("after a release another candidate leads within a second", async (witness) => {
        const store = memoryStore();
        const leader = await open(LeaderElectorModule.forRoot({ store, ...long }));
        const other = await open(LeaderElectorModule.forRoot({ store, ...long }));
        await until(() => service(leader).amILeader());
        witness.reset();
        await service(leader).release();
        const took = await timeOf(() => service(other).amILeader());
        witness.atMost(took, 1_000, "a hand-over");
    });

    timed("after SIGTERM another replica leads within three seconds", async (witness) => {
        const schema = freshSchema();
        const app = start("../closing.js", ["typeorm", "handover", schema]);
        await until(() => app.output.includes("leading"));
        const other = await LeaderElectorCore.create(pool, { schema, ...long });
        assert.equal(other.amILeader(), false);
        // Waits until it listens for releases.
        await sleep(500);
        witness.reset();
        app.child.kill("SIGTERM");
        const took = await timeOf(() => other.amILeader());
        witness.atMost(took, 3_000, "a hand-over");
        await app.ended;
        await other.shutdown();
    });

    timed("an application ends within a second of its close", async (witness) => {
        for (const mode of ["pg", "typeorm"]) {
            const app = start("../closing.js", [mode, `ends-${mode}`, freshSchema()]);
            await until(() => app.output.includes("leading"));
            witness.reset();
            app.child.stdin?.write("close\n");
            assert.equal(await app.ended, 0, app.output);
            const [, ms] = /ended after (\d+) ms/.exec(app.printed) ?? [];
            witness.atMost(Number(ms), 1_000, `to end: ${app.output}`);
        }
    });

    test("an exhausted pool is reported by atRisk before the term ends", async () => {
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
