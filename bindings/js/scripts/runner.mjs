// Runs files of tests, and counts what became of each test.
import { spec } from "node:test/reporters";
import { run } from "node:test";

/** Runs the files, so many at a time; resolves to how many tests passed, and how many did not. */
export function runFiles(files, concurrency) {
    let [passed, failed] = [0, files.length === 0 ? 1 : 0];
    const count = ({ skip, todo, details }, isPassed) => {
        const isSuite = details?.type === "suite";
        // A suite repeats what its tests say; a hook or a body of its own that fails is told by nothing else.
        const repeats = isSuite && (isPassed || details.error?.failureType === "subtestsFailed");
        // A test that was left out proved nothing.
        if (skip !== undefined || todo !== undefined || (!isPassed && !repeats)) failed += 1;
        else if (!isSuite) passed += 1;
    };
    return new Promise((done) => {
        // What waits for ever fails, and does not hold up what comes after it.
        const stream = run({ files, concurrency, timeout: 300_000 });
        stream.on("test:pass", (event) => count(event, true));
        stream.on("test:fail", (event) => count(event, false));
        const told = stream.compose(new spec());
        told.pipe(process.stdout, { end: false });
        told.on("end", () => done([passed, failed]));
    });
}
