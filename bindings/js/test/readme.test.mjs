// The code blocks of README.md, each run in its own process, print what the text says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blocks, frontPrograms, programs, serve, start, startTwo } from "./readme.mjs";
import { sleep, until } from "./support.mjs";

serve();

/** The programs' expected output. Programs without an entry have their own test, here or in deep/. */
const SAYS = [
    undefined,
    /^elected under bigint\ntrue http:\/\/10\.0\.0\.7\ndeposed: released\n$/,
    /^committed by the leader\n$/,
    undefined,
    undefined,
];

test("every code block is run by this file or by the deep level", () => {
    assert.equal(programs.length, SAYS.length);
    assert.deepEqual([...new Set(blocks.map(({ language }) => language))].sort(), ["js", "sh"]);
    assert.match(programs[3], /PGlite/);
});

test("quick start: one of two processes leads, and after SIGTERM the other leads", async () => {
    const [leader, other] = await startTwo();
    await sleep(1_000);
    assert.match(leader.said, /^(only one process prints this, under token \d+\n)+$/);
    assert.equal(other.said, "");
    leader.child.kill("SIGTERM");
    assert.equal(await leader.ended, 0, leader.said);
    await until(() => other.said !== "", () => other.said);
    other.child.kill("SIGINT");
    assert.equal(await other.ended, 0, other.said);
});

for (const [at, says] of SAYS.entries()) {
    if (!says) continue;
    test(`block ${at + 1} runs`, async () => {
        const run = start(programs[at]);
        assert.equal(await run.ended, 0, run.said);
        assert.match(run.said, says);
    });
}

test("the program of the repository's README runs", async () => {
    assert.equal(frontPrograms.length, 1);
    const run = start(frontPrograms[0]);
    assert.equal(await run.ended, 0, run.said);
    assert.match(run.said, /^only one process prints this, under token \d+, aborted: false\n$/);
});

test("the Durable Object's class leads once its alarm has fired", async () => {
    const run = start(`${programs[4]}
import Database from "libsql";
const db = new Database(":memory:");
const exec = (text, ...values) => {
    const statement = db.prepare(text);
    return { toArray: () => (statement.reader ? statement.all(...values) : (statement.run(...values), [])) };
};
const set = [];
const setAlarm = async (time) => set.push({ asked: Date.now(), time });
const object = new Scheduler({ storage: { sql: { exec }, setAlarm } });
const began = Date.now();
await object.alarm();
const [{ asked, time }] = set;
if (!(time > began && time <= asked + 1_000)) throw new Error("the alarm was not set: " + time);
await object.elector.release();
`);
    assert.equal(await run.ended, 0, run.said);
    assert.equal(run.said, "this object leads\n");
});
