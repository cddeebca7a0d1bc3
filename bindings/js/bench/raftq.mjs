// Measures how soon another node leads, in processes that use the package as the document of `raftq` does:
// after `kill -9`, and after SIGINT. Prints each figure beside its limit, and fails above it.
//   npm --prefix bindings/js/test/deep ci && node bindings/js/bench/raftq.mjs
import { withServices } from "../test/deep/service/processes.mjs";
import { report } from "./report.mjs";

const TIMES = 100;
/** A shared machine may be slow for minutes, so figures above their limits are measured again. */
const TRIES = 3;

/** The value below which this share of a list lies. */
function quantile(list, share) {
    const sorted = list.toSorted((one, other) => one - other);
    return sorted[Math.ceil(share * sorted.length) - 1];
}

/** Ends the leader again and again, and starts it anew: the milliseconds until the next one was told. */
async function nextLeaders(services, signal) {
    const took = [];
    for (let count = 0; count < TIMES; count++) {
        const leader = await services.agreed();
        const at = await services.end(leader, signal);
        took.push(await services.nextLeader(at) - at);
        await services.start(leader.id);
    }
    return took;
}

/** The median and the 95th percentile, measured again while one is above its limit. */
async function measured(services, signal, limits) {
    for (let tries = 1; ; tries++) {
        const took = await nextLeaders(services, signal);
        const found = [quantile(took, 0.5), quantile(took, 0.95)];
        if (tries === TRIES || found.every((figure, at) => figure <= limits[at])) return found;
    }
}

/** What is measured of each program. */
const PROGRAMS = {
    "program.mjs": [["kill -9", "SIGKILL", [600, 1_100]], ["SIGINT", "SIGINT", [100, 100]]],
    "ready.mjs": [["SIGINT, over HttpTransport", "SIGINT", [100, 150]]],
};

let [passed, failed] = [0, 0];

/** Measures one run, and prints its figures. */
async function judged(services, [name, signal, limits]) {
    const figures = await measured(services, signal, limits);
    for (const [at, share] of ["p50", "p95"].entries()) {
        const what = `${name} to the next leader, ${share}, ms`;
        if (report("raftq", what, figures[at], limits[at])) passed += 1;
        else failed += 1;
    }
}

for (const [program, runs] of Object.entries(PROGRAMS)) {
    const { samples, terms } = await withServices({ program }, async (services) => {
        for (const id of services.ids) await services.start(id);
        for (const run of runs) await judged(services, run);
    });
    console.log(`two leaders at once: never in ${terms} terms, ${samples} samples`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
