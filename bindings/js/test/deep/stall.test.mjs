// A leader with a blocked event loop, and a candidate in another process that takes over meanwhile.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startServer } from "../server.mjs";

const LEASE = 2_000;
const HERE = JSON.stringify(import.meta.url);

let server;
let folder;
const children = [];
before(async () => {
    server = await startServer();
    folder = mkdtempSync(join(tmpdir(), "elector-js-"));
});
after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
});

/** A candidate in its own process, which runs `code` once told to, with its output. */
function candidate(name, code) {
    // On Linux this clock is the same for all processes.
    const program = `
import { existsSync, writeFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(${HERE});
const { Elector, postgresStore } = require("../../dist/cjs/index.js");
const pg = require("pg");
const now = () => Number(process.hrtime.bigint()) / 1e6;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (what) => writeSync(1, JSON.stringify(what) + "\\n");
const led = ${JSON.stringify(join(folder, "led"))};
const pool = new pg.Pool({ connectionString: ${JSON.stringify(server.url)}, max: 2 });
await pool.query("SELECT 1");
const timing = { leaseMs: ${LEASE}, marginMs: 200 };
const elector = new Elector({ election: "e", candidate: "${name}", store: postgresStore(pool), ...timing });
say("ready");
await new Promise((resolve) => process.stdin.once("data", resolve));
${code}`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
    children.push(child);
    const made = { child, said: "" };
    child.stdout.on("data", (data) => (made.said += data));
    child.stderr.on("data", (data) => (made.said += data));
    made.ended = new Promise((resolve) => child.on("close", resolve));
    made.says = async (what) => {
        const end = performance.now() + 60_000;
        while (!made.said.includes(what)) {
            assert.ok(child.exitCode === null && performance.now() < end, `${what}: ${made.said}`);
            await new Promise((resolve) => setTimeout(resolve, 1));
        }
    };
    made.last = () => JSON.parse(made.said.trim().split("\n").at(-1));
    return made;
}

/** Blocks for three leases, then waits for the other candidate, and asks `amILeader()` all the time. */
const STALLED = `
elector.campaign();
while (!elector.amILeader()) await sleep(1);
const { token } = elector;
say("stands still");
const cell = new Int32Array(new SharedArrayBuffer(4));
const [from, answers] = [now(), { yes: 0, no: 0 }];
let last = from;
while (now() - from < ${3 * LEASE} || (!existsSync(led) && now() - from < 60_000)) {
    const asked = now();
    const leads = elector.amILeader();
    if (leads) last = asked;
    answers[leads ? "yes" : "no"] += 1;
    Atomics.wait(cell, 0, 0, 1);
}
const woke = now();
// No turn of the event loop lies between the two calls.
const waking = [elector.amILeader(), elector.leadership.leading, elector.token === undefined];
say({ last, woke, waking, answers, token: String(token) });
process.exit();`;

const NEXT = `
elector.on("elected", () => {
    const leads = elector.amILeader();
    say({ leads, first: now(), token: String(elector.token) });
    writeFileSync(led, "");
});
elector.campaign();
await new Promise((resolve) => process.stdin.once("data", resolve));
process.exit();`;

test("a leader blocked for three leases is succeeded, and two candidates never lead at once", async () => {
    const [stalled, next] = [candidate("a", STALLED), candidate("b", NEXT)];
    await Promise.all([stalled.says("ready"), next.says("ready")]);
    stalled.child.stdin.write("go\n");
    await stalled.says("stands still");
    next.child.stdin.write("go\n");
    assert.equal(await stalled.ended, 0, stalled.said);
    await next.says("first");
    const [a, b] = [stalled.last(), next.last()];
    next.child.stdin.write("end\n");
    assert.equal(await next.ended, 0, next.said);
    const overlap = a.last - b.first;
    console.log(`overlap: ${overlap.toFixed(1)} ms; the stalled one said yes ${a.answers.yes} times, ` +
        `no ${a.answers.no} times, and woke ${(a.woke - b.first).toFixed(0)} ms after the next led`);
    assert.deepEqual(a.waking, [false, false, true], "it leads no more in the turn in which it wakes");
    assert.ok(a.answers.yes > 0 && a.answers.no > 0);
    assert.ok(b.leads && b.first < a.woke, "the next led before it woke");
    assert.ok(overlap < 0, `two led for ${overlap} ms`);
    assert.ok(BigInt(b.token) > BigInt(a.token));
});
