// The stores beside their operations: expired rows, and transactions of the application.
import assert from "node:assert/strict";
import { test } from "node:test";
import Database from "libsql";
import { Elector, memoryStore } from "../dist/cjs/index.mjs";
import { FakeClock } from "./clock.mjs";
import { acquire, look, prove } from "./sqlite.mjs";

prove("libsql", Database);

test("memory: expired rows are deleted while a candidate campaigns, and tokens still grow", async () => {
    const clock = new FakeClock();
    const store = memoryStore(undefined, clock);
    const elector = new Elector({ election: "e", store, clock });
    elector.campaign();
    await clock.advance(1);
    const { token } = elector;
    const ticks = Array.from({ length: 1_500 }, (_, at) => `tick/${at}`);
    for (const tick of ticks) await acquire(store, tick);
    const tokens = [];
    for (const tick of ticks) tokens.push((await look(store, tick)).token);
    await clock.advance(69_000);
    assert.equal((await look(store, "tick/0")).token, tokens[0], "not dead for a minute yet");
    await clock.advance(5 * 60_000);
    for (const tick of ticks) assert.equal(await look(store, tick), undefined);
    assert.equal(elector.token, token);
    // As if the wall clock had been set back since.
    const { now } = Date;
    Date.now = () => 1;
    try {
        const most = tokens.reduce((a, b) => (a > b ? a : b));
        assert.ok((await acquire(store, "tick/0")).token > most);
    } finally {
        Date.now = now;
    }
    await Promise.all([elector.release(), clock.advance(1)]);
});

test("memory: a request that cannot be executed is refused; others in the batch are not", async () => {
    const jobs = ["a", "x".repeat(256), "b"].map((election, id) => {
        return { election, request: { id, deadlineMs: Infinity, op: "look" } };
    });
    const answers = [];
    await memoryStore().execute(jobs, (job, reply, error) => answers.push([reply.id, reply.outcome, error]));
    const outcomes = answers.map(([id, outcome]) => [id, outcome]);
    assert.deepEqual(outcomes, [[0, "seen"], [1, "refused"], [2, "seen"]]);
    assert.match(answers[1][2].message, /^memory: election "x{256}": .*255/);
});
