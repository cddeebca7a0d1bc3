// The programs of README.md that wait for a lease to expire, or start PGlite.
import assert from "node:assert/strict";
import { test } from "node:test";
import { programs, serve, start, startTwo } from "../readme.mjs";
import { until } from "../support.mjs";

serve();

test("quick start: after the leader is killed, the other leads once the lease has expired", async () => {
    const [leader, other] = await startTwo();
    assert.equal(other.said, "");
    const killed = performance.now();
    leader.child.kill("SIGKILL");
    await until(() => other.said !== "", () => other.said);
    const took = performance.now() - killed;
    // The lease has ten seconds, and was renewed at most three seconds before.
    assert.ok(took > 5_000 && took < 15_000, `${took} ms`);
    other.child.kill("SIGINT");
    assert.equal(await other.ended, 0, other.said);
});

test("the program on PGlite runs", async () => {
    const run = start(programs[3]);
    assert.equal(await run.ended, 0, run.said);
    assert.match(run.said, /^three elections, one statement\n$/);
});
