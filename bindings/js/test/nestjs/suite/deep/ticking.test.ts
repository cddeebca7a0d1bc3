// A thousand ticks in five processes of two builds, which are killed and restarted all the time.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { bundled } from "../bundles.js";
import { Running, endAll, folder, freshSchema, rows, sleep, until, url } from "../support.js";

const JOBS = 20;
const TICKS = 1_000;
const PROCESSES = 5;

after(endAll);

interface Counted { readonly job: string; readonly pid: number; readonly times: number }

const sum = (counts: readonly Counted[]) => counts.reduce((all, { times }) => all + times, 0);

test("of 1 000 ticks in 5 killed processes none runs twice or is lost unlogged", async (t) => {
    const schema = freshSchema();
    await rows(`CREATE SCHEMA ${schema}`);
    await rows(`CREATE TABLE ${schema}.runs (job text, pid int)`);
    // One build as compiled, and one with minified names.
    const compiled = join(dirname(folder), "ticking.js");
    const builds = [compiled, await bundled("esbuild", compiled)];
    const all: Running[] = [];
    const killed = new Set<number>();
    const start = (build: string) => {
        const command = [build, url, schema, String(JOBS)];
        const made = new Running(spawn(process.execPath, command, { stdio: "pipe" }));
        all.push(made);
        return { made, build };
    };
    const running = Array.from({ length: PROCESSES }, (_, at) => start(builds[at % 2]!));
    await until(() => running.every(({ made }) => made.count("ticks") > 0), () => all.map(end).join("\n"));
    const ask = `SELECT id, leader_id AS holder FROM ${schema}.leader_lease WHERE id LIKE 'tick/%'`;
    while ((await rows(ask)).length < TICKS) {
        await sleep(1_000 + Math.random() * 3_000);
        const at = Math.floor(Math.random() * PROCESSES);
        const { made, build } = running[at]!;
        killed.add(made.child.pid!);
        await made.kill("SIGKILL");
        running[at] = start(build);
    }
    await Promise.all(running.map(({ made }) => made.kill("SIGTERM")));
    const claims = (await rows<{ id: string; holder: string }>(ask)).map(({ id, holder }) => {
        const [, job, time] = /^tick\/1\/(job\d+)\/(.*)$/.exec(id)!;
        return { job: job!, at: Date.parse(time!), pid: Number(/-(\d+)#/.exec(holder)?.[1]) };
    });
    const runs = `SELECT job, pid, count(*)::int AS times FROM ${schema}.runs GROUP BY 1, 2`;
    const ran = await rows<Counted>(runs);
    // Each claim is one run in the process that has it; more runs would be a tick that ran twice.
    const claimsOf = (job: string, pid: number) => {
        return claims.filter((claim) => claim.job === job && claim.pid === pid).length;
    };
    const doubled = ran.filter(({ job, pid, times }) => times > claimsOf(job, pid));
    assert.deepEqual(doubled, []);
    // A claim without a run belongs to a process that was killed at that moment; the row names it.
    const runsOf = (job: string, pid: number) => {
        return ran.find((run) => run.job === job && run.pid === pid)?.times ?? 0;
    };
    const unrun = claims.filter(({ job, pid }) => runsOf(job, pid) < claimsOf(job, pid));
    assert.deepEqual(unrun.filter(({ pid }) => !killed.has(pid)), []);
    // Between the first and the last tick of each job, each second has a tick, or a log line that says why
    // not.
    const output = all.map((each) => each.output).join("");
    const leftOut = [...output.matchAll(/(job\d+): its run \(next due (\S+)\) was skipped: /g)]
        .map(([, job, time]) => ({ job: job!, from: Date.parse(time!) - 1, to: Date.parse(time!) + 1 }));
    const late = [...output.matchAll(/(job\d+): its runs between (\S+) and (\S+) were skipped here/g)]
        .map(([, job, from, to]) => ({ job: job!, from: Date.parse(from!), to: Date.parse(to!) }));
    const isSaid = (job: string, time: number) => {
        return [...leftOut, ...late].some((said) => said.job === job && said.from < time && time < said.to);
    };
    const missed: string[] = [];
    let said = 0;
    for (let at = 0; at < JOBS; at++) {
        const own = claims.filter(({ job }) => job === `job${at}`);
        const times = own.map((each) => each.at).sort((a, b) => a - b);
        const known = new Set(times);
        for (let time = times[0]!; time < times.at(-1)!; time += 1_000) {
            if (known.has(time)) continue;
            if (isSaid(`job${at}`, time)) said += 1;
            else missed.push(`job${at} ${time}`);
        }
    }
    assert.deepEqual(missed, []);
    t.diagnostic(`${claims.length} ticks, ${sum(ran)} runs, ${killed.size} kills: 0 doubled, 0 missed ` +
        `without a log line; ${claims.length - sum(ran)} claimed by a process that was killed then, ` +
        `${said} logged as skipped`);
});

const end = ({ output }: Running) => output.slice(-500);
