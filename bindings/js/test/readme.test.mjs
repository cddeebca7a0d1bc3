// Every code block of README.md runs, in a process of its own, and says what it says that it says.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startServer } from "./server.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const text = readFileSync(join(here, "../README.md"), "utf8");
const found = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)];
const blocks = found.map(([, language, code]) => ({ language, code }));
const programs = blocks.filter(({ language }) => language === "js").map(({ code }) => code);
let server;
// Inside the package, whose own name then means the package, and whose clients are there.
let folder;
before(async () => {
    server = await startServer();
    folder = mkdtempSync(join(here, "readme-"));
});
after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await server.stop();
});

let started = 0;

function start(code) {
    const file = join(folder, `block${++started}.mjs`);
    writeFileSync(file, code);
    const env = { ...process.env, DATABASE_URL: server.url };
    const child = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "pipe"] });
    const run = { child, said: "" };
    child.stdout.on("data", (data) => (run.said += data));
    child.stderr.on("data", (data) => (run.said += data));
    run.ended = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
    return run;
}

async function until(what, run, within = 30_000) {
    const end = performance.now() + within;
    while (!what()) {
        assert.ok(performance.now() < end, `not in time: ${what}; it said: ${run.said}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

const SAYS = [
    undefined,
    /^elected under bigint\ntrue http:\/\/10\.0\.0\.7\ndeposed: released\n$/,
    /^committed by the leader\n$/,
    /^three elections, one statement\n$/,
    undefined,
];

test("every block is of a kind that is run here", () => {
    assert.equal(programs.length, SAYS.length);
    assert.deepEqual([...new Set(blocks.map(({ language }) => language))].sort(), ["js", "sh"]);
});

test("quick start: one of two prints, and when it is killed or told to stop the other does", async () => {
    const [first, second] = [start(programs[0]), start(programs[0])];
    await until(() => first.said !== "" || second.said !== "", first);
    const [leader, other] = first.said === "" ? [second, first] : [first, second];
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    assert.match(leader.said, /^(only one process prints this, under token \d+\n)+$/);
    assert.equal(other.said, "");
    leader.child.kill("SIGTERM");
    assert.equal(await leader.ended, 0, leader.said);
    await until(() => other.said !== "", other);
    const third = start(programs[0]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    other.child.kill("SIGKILL");
    await until(() => third.said !== "", third);
    third.child.kill("SIGINT");
    assert.equal(await third.ended, 0, third.said);
});

for (const [at, says] of SAYS.entries()) {
    if (!says) continue;
    test(`block ${at + 1} runs`, async () => {
        const run = start(programs[at]);
        assert.equal(await run.ended, 0, run.said);
        assert.match(run.said, says);
    });
}

test("the Durable Object's class leads once its alarm rings", async () => {
    const run = start(`${programs[4]}
import Database from "better-sqlite3";
const db = new Database(":memory:");
const exec = (text, ...values) => {
    const statement = db.prepare(text);
    return { toArray: () => (statement.reader ? statement.all(...values) : (statement.run(...values), [])) };
};
let at;
const object = new Scheduler({ storage: { sql: { exec }, setAlarm: async (time) => { at = time; } } });
await object.alarm();
if (!(at > Date.now() && at <= Date.now() + 1_000)) throw new Error("the alarm was not set: " + at);
await object.elector.release();
`);
    assert.equal(await run.ended, 0, run.said);
    assert.equal(run.said, "this object leads\n");
});
