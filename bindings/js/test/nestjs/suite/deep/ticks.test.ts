// @OncePerTick in real time: ticks while leadership moves, late ticks, and claims that hang.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { INestApplicationContext, Type } from "@nestjs/common";
import { Injectable } from "@nestjs/common";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import type { LeaderElectorModuleOptions } from "elector-wasm/nestjs";
import { LeaderElectorModule, LeaderElectorService, OncePerTick } from "elector-wasm/nestjs";
import "../cron.js";
import { closeAll, openApplication } from "../application.js";
import { Lines, endAll, freshSchema, newPool, rows, sleep, until } from "../support.js";
import { timed } from "./timed.js";

const quick = { leaseDuration: 4_000, renewalInterval: 800, jitterRange: 100 };
const pool = newPool({ max: 10 });

function open(
    provider: Type,
    schema: string,
    more: LeaderElectorModuleOptions = {},
): Promise<INestApplicationContext> {
    const settings = { client: pool, schema, ...quick, logger: new Lines(), ...more };
    const imports = [ScheduleModule.forRoot(), LeaderElectorModule.forRoot(settings)];
    return openApplication({ imports, providers: [provider] });
}

@Injectable()
class Job {
    static readonly ran: Job[] = [];

    @OncePerTick({ name: "Job.run" })
    @Cron("*/2 * * * * *")
    run(): void {
        Job.ran.push(this);
    }
}

describe("@OncePerTick, in time", { concurrency: 1 }, () => {
    after(async () => {
        await closeAll();
        await pool.end();
        await endAll();
    });

    timed("each tick runs on exactly one node, even when leadership moves", async (witness) => {
        const schema = freshSchema();
        Job.ran.length = 0;
        const both = [await open(Job, schema), await open(Job, schema)];
        const leaders = new Set<INestApplicationContext>();
        for (let turn = 0; turn < 6; turn++) {
            const leader = both.find((application) => application.get(LeaderElectorService).amILeader());
            if (leader) leaders.add(leader);
            // Around a tick, so that leadership moves at that moment.
            await sleep(2_000 - (Date.now() % 2_000) - 5 + turn * 2);
            await leader?.get(LeaderElectorService).release();
            await sleep(1_000);
        }
        await sleep(1_000 + 2_000 - (Date.now() % 2_000));
        await Promise.all(both.map((application) => application.close()));
        // Each tick has one row: none was missed, and each ran once.
        const ask = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/Job.run/%' ORDER BY id`;
        const ticks = (await rows<{ id: string }>(ask)).map(({ id }) => Date.parse(id.split("/").pop()!));
        assert.ok(Job.ran.length <= ticks.length, "a tick ran twice");
        const none = ticks.length >= 6 && ticks.every((tick, at) => tick === ticks[0]! + at * 2_000);
        witness.holds(none && Job.ran.length === ticks.length, 2_000, `none was missed: ${ticks.join()}`);
        witness.holds(leaders.size === 2 && new Set(Job.ran).size === 2, 2_000, "leadership moved");
    });

    timed("a node with a late event loop does not run a tick that another node ran", async (witness) => {
        const schema = freshSchema();
        let ran = 0;
        @Injectable()
        class Late {
            @OncePerTick({ name: "late" })
            @Cron("*/3 * * * * *")
            run(): void {
                ran += 1;
            }
        }
        const both = [await open(Late, schema), await open(Late, schema)];
        await sleep(3_000 - (Date.now() % 3_000) - 200);
        const end = performance.now() + 1_500;
        while (performance.now() < end);
        await sleep(6_000);
        await Promise.all(both.map((application) => application.close()));
        const claims = await rows(`SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/late/%'`);
        assert.ok(ran <= claims.length, "a tick ran twice");
        witness.holds(ran === claims.length && ran >= 2, 3_000, `${ran} of ${claims.length} ran`);
    });

    test("a claim that hangs is abandoned, and a late grant does not run its tick", async () => {
        const schema = freshSchema();
        const shared = newPool({ max: 1 });
        const logger = new Lines();
        @Injectable()
        class Hung {
            static ran = 0;
            @OncePerTick({ name: "hung" })
            @Cron(CronExpression.EVERY_SECOND)
            run(): void {
                Hung.ran += 1;
            }
        }
        const application = await open(Hung, schema, { client: shared, logger });
        await until(() => Hung.ran > 0);
        const taken = await shared.connect();
        const said = /^hung: its run \(next due .*Z\) was skipped: the store did not answer in time$/;
        const leftOut = () => logger.errors.filter((line) => said.test(line)).length;
        await until(() => leftOut() > 2);
        taken.release();
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/hung/%'`;
        // All claims are granted now; each tick was skipped or ran, and none did both.
        await until(async () => {
            const [left, ran] = [leftOut(), Hung.ran];
            return (await rows(claims)).length === left + ran && ran === Hung.ran;
        });
        await application.close();
        await shared.end();
    });
});
