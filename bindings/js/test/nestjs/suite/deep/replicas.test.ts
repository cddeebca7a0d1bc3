// Replicas of the real nest-leader-election and of this package share one table during a roll-out and a
// roll-back, in real time.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { TypeOrmModule } from "@nestjs/typeorm";
import { LeaderElectorModule, LeaderElectorService } from "elector-wasm/nestjs";
import { closeAll, openApplication } from "../application.js";
import { Running, endAll, freshDatabase, sleep, until } from "../support.js";

/** Short, but longer than a short stall of the event loop. */
const quick = { leaseDuration: 4_000, renewalInterval: 800, jitterRange: 100 };

/** The real nest-leader-election in a process. */
function peer(database: string, settings: object): Running {
    const folder = process.env["ELECTOR_TEST_PEER"];
    assert.ok(folder, "run tests/install/postgres.sh, which installs nest-leader-election");
    const arguments_ = [join(folder, "peer.mjs"), JSON.stringify({ url: database, ...settings })];
    return new Running(spawn(process.execPath, arguments_, { stdio: ["pipe", "pipe", "ignore"] }));
}

function open(database: string) {
    const root = TypeOrmModule.forRoot({ type: "postgres", url: database });
    return openApplication({ imports: [root, LeaderElectorModule.forRoot(quick)] });
}

describe("replicas of nest-leader-election", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await endAll();
    });

    test("a replica of nest-leader-election works on a table with text ids", async () => {
        const database = await freshDatabase();
        const application = await open(database);
        const service = application.get(LeaderElectorService);
        await until(() => service.amILeader());
        const config = { leaseDuration: 1_200, renewalInterval: 300, jitterRange: 100 };
        const old = peer(database, { config });
        await until(() => old.output.includes('"ready":true'));
        await sleep(quick.leaseDuration);
        assert.ok(service.amILeader() && !old.output.includes('"leader":true'));
        await application.close();
        await until(() => old.output.includes('"leader":true'));
        // The roll-back.
        const again = await open(database);
        assert.equal(again.get(LeaderElectorService).amILeader(), false);
        old.child.stdin?.write("release\n");
        await until(() => old.output.includes('"leader":false'));
        await old.kill("SIGKILL");
        await until(() => again.get(LeaderElectorService).amILeader());
    });

    for (const mode of ["core", "nest"]) {
        test(`replicas of nest-leader-election (${mode}) share it during roll-outs`, async () => {
            const database = await freshDatabase();
            const times = { leaseDuration: 1_200, renewalInterval: 300, jitterRange: 100 };
            const config = { ...times, baseCleanInterval: 500 };
            const old = peer(database, { mode, config });
            await until(() => old.output.includes('"leader":true'));
            const application = await open(database);
            const service = application.get(LeaderElectorService);
            await sleep(2 * quick.leaseDuration);
            assert.equal(service.amILeader(), false, "its lease is honoured");
            old.child.stdin?.write("release\n");
            await until(() => old.output.includes('"leader":false'));
            // A renewal in progress would make that replica campaign again.
            await old.kill("SIGKILL");
            await until(() => service.amILeader());
            const next = peer(database, { mode, config });
            await until(() => next.output.includes('"ready":true'));
            await sleep(2 * quick.leaseDuration);
            assert.ok(service.amILeader() && !next.output.includes('"leader":true'), "ours is honoured");
            await application.close();
            await until(() => next.output.includes('"leader":true'));
        });
    }
});
