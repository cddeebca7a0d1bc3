// The witness: which delays it attributes to the machine, and which not.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { sleep } from "../support.mjs";
import { witnessed } from "./witness.mjs";

/** Runs twice as many busy processes as there are processors, for a second, as descendants of this one. */
async function crowd() {
    const spin = "const end = Date.now() + 1_000; while (Date.now() < end);";
    const ends = Array.from({ length: 2 * availableParallelism() }, () => {
        return new Promise((resolve) => spawn(process.execPath, ["-e", spin]).on("close", resolve));
    });
    await Promise.all(ends);
}

test("a missed bound on an idle machine fails at once", async () => {
    let runs = 0;
    await assert.rejects(witnessed(async (witness) => {
        runs += 1;
        await sleep(50);
        witness.atMost(3_600_001, 3_600_000, "the hour");
    }), /^AssertionError.*the hour: 3600001 ms, at most 3600000; the machine kept it waiting for /);
    assert.equal(runs, 1);
});

test("a missed bound on a busy machine is run once more, and reported if missed again", async () => {
    let runs = 0;
    const missesUntil = (run) => witnessed(async (witness) => {
        runs += 1;
        await crowd();
        witness.atMost(runs < run ? 101 : 99, 100, "it");
        return runs;
    });
    assert.equal(await missesUntil(2), 2);
    runs = 0;
    await assert.rejects(missesUntil(3), /inconclusive twice: the machine is too busy to tell: it: 101 ms/);
    assert.equal(runs, 2);
});

test("on a busy machine, a kept bound passes and any other failure fails", async () => {
    await witnessed(async (witness) => {
        await crowd();
        assert.ok(witness.waited() > 500, `${witness.waited()}`);
        witness.atMost(100, 100, "it");
        witness.reset();
        assert.ok(witness.waited() < 500, `${witness.waited()}`);
    });
    let runs = 0;
    await assert.rejects(witnessed(async () => {
        runs += 1;
        await crowd();
        assert.fail("two leaders");
    }), /two leaders/);
    assert.equal(runs, 1);
});
