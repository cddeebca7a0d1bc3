// Runs test files, and counts the results of their tests.
import { spec } from "node:test/reporters";
import { run } from "node:test";

/** Runs the files, `concurrency` at a time. Resolves to the numbers of passed and of failed tests. */
export function runFiles(files, concurrency) {
    let [passed, failed] = [0, files.length === 0 ? 1 : 0];
    const count = ({ skip, todo, details }, isPassed) => {
        const isSuite = details?.type === "suite";
        // A suite repeats the failures of its tests, but only the suite reports a failure of its own hook or
        // body.
        const repeats = isSuite && (isPassed || details.error?.failureType === "subtestsFailed");
        // A skipped test proves nothing, so it counts as failed.
        if (skip !== undefined || todo !== undefined || (!isPassed && !repeats)) failed += 1;
        else if (!isSuite) passed += 1;
    };
    return new Promise((done) => {
        // A test that never ends fails, and does not delay the next ones.
        const stream = run({ files, concurrency, timeout: 300_000 });
        stream.on("test:pass", (event) => count(event, true));
        stream.on("test:fail", (event) => count(event, false));
        const told = stream.compose(new spec());
        told.pipe(process.stdout, { end: false });
        told.on("end", () => done([passed, failed]));
    });
}
