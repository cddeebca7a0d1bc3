// Roll-outs during a job of six seconds: SIGTERM to the old replica while the new one campaigns.
import assert from "node:assert/strict";
import { after, describe } from "node:test";
import type { Running } from "../support.js";
import { endAll, freshSchema, sleep, start, until, url } from "../support.js";
import { timed } from "./timed.js";

const ROLL_OUTS = 20;
/** The default lease, as in `rolling.ts`: the longest delay that a machine may cause. */
const LEASE_MS = 10_000;

interface Run { readonly begun: number; readonly ended: number }

function runsOf({ output }: Running): Run[] {
    const all = [...output.matchAll(/ran (\d+) (\d+)/g)];
    return all.map(([, begun, ended]) => ({ begun: Number(begun), ended: Number(ended) }));
}

describe("roll-outs", { concurrency: 1 }, () => {
    after(endAll);

    timed(`${ROLL_OUTS} roll-outs with jobs of 6 s: two never run at once`, async (witness) => {
        const schema = freshSchema();
        const all: Running[] = [];
        const replica = () => {
            const made = start("rolling.js", [url, schema]);
            all.push(made);
            return made;
        };
        let old = replica();
        for (let turn = 0; turn < ROLL_OUTS; turn++) {
            await until(() => old.count("begun") > 0, () => old.output);
            const next = replica();
            await until(() => next.count("stands") > 0, () => next.output);
            // In the middle of the job.
            await sleep(Math.random() * 4_000);
            const isBusy = old.count("begun") > old.count("ran");
            old.child.kill("SIGTERM");
            await old.ended;
            const isDone = old.count("begun") === old.count("ran");
            assert.ok(!isBusy || isDone, `the job was cut off: ${old.output}`);
            old = next;
        }
        await until(() => old.count("ran") > 0, () => old.output);
        await old.kill("SIGTERM");
        const runs = all.flatMap(runsOf).sort((a, b) => a.begun - b.begun);
        const overlaps = runs.slice(1).map(({ begun }, at) => Math.max(0, runs[at]!.ended - begun));
        const gaps = runs.slice(1).map(({ begun }, at) => Math.max(0, begun - runs[at]!.ended));
        console.log(`${ROLL_OUTS} roll-outs, ${runs.length} runs: ${Math.max(...overlaps)} ms of overlap, ` +
            `at most ${Math.max(...gaps)} ms between two runs`);
        assert.ok(runs.length > ROLL_OUTS);
        witness.holds(Math.max(...overlaps) === 0, LEASE_MS, `no overlap: ${overlaps.join()}`);
    });
});
