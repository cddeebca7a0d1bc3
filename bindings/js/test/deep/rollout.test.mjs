// Measures roll-outs: each process is stopped while a job runs that takes a while longer, and a new process
// campaigns already. Candidates on separate clients stand for processes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { startServer } from "../server.mjs";
import { sleep } from "../support.mjs";
import { timed } from "./witness.mjs";

const require = createRequire(import.meta.url);
const { Elector, postgresStore } = require("../../dist/cjs/index.js");
const pg = require("pg");

let server;
before(async () => (server = await startServer()));
after(() => server?.stop());

timed("in twenty roll-outs two jobs never run at once", async (witness) => {
    const jobs = [];
    const begins = new EventTarget();
    const start = (candidate) => {
        const pool = new pg.Pool({ connectionString: server.url, max: 2 });
        const elector = new Elector({ election: "nightly", candidate, store: postgresStore(pool) });
        const stop = new AbortController();
        const run = elector.runAsLeader(async ({ signal }) => {
            while (!signal.aborted) {
                const began = performance.now();
                begins.dispatchEvent(new Event(candidate));
                await sleep(1_500);
                jobs.push({ began, ended: performance.now() });
            }
        }, { signal: stop.signal });
        const ended = assert.rejects(run, { name: "AbortError" });
        return {
            begun: once(begins, candidate),
            stop: async () => {
                stop.abort();
                await ended;
                await pool.end();
            },
        };
    };
    let leader = start("0");
    for (let turn = 1; turn <= 20; turn++) {
        await leader.begun;
        const next = start(String(turn));
        await sleep(200);
        await leader.stop();
        leader = next;
    }
    await leader.begun;
    await leader.stop();
    assert.ok(jobs.length >= 21, `${jobs.length} jobs`);
    const gaps = jobs.slice(1).map((job, at) => job.began - jobs[at].ended).sort((a, b) => a - b);
    assert.ok(gaps[0] >= 0, `two jobs ran at once for ${-gaps[0]} ms`);
    const told = gaps.map((ms) => ms.toFixed(1)).join();
    console.log(`${jobs.length} jobs, 0 ms of overlap; from one to the next in ms: ${told}`);
    witness.atMost(gaps.at(-1), 5_000, "the hand-over");
});
