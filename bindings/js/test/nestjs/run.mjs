// Runs the suite on one PostgreSQL server, with an application on each major version of Nest, or on the named
// ones.
//   node test/nestjs/run.mjs [--deep|--all] [10|11|12]… [FILE]…
// Without --deep and --all it runs the quick level, which a busy machine cannot fail. --deep runs suite/deep:
// tests that measure time, and tests with nest-leader-election, which tests/install/postgres.sh installs. The
// last line sums up the results.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runFiles } from "../../scripts/runner.mjs";
import { startServer } from "../server.mjs";
import { build, packed } from "./build.mjs";

const MAJORS = ["10", "11", "12"];
const LEVELS = { "--deep": ["deep"], "--all": ["", "deep"] };
const suite = join(dirname(fileURLToPath(import.meta.url)), "suite");

const wanted = process.argv.slice(2);
const majors = MAJORS.filter((major) => wanted.includes(major));
const named = wanted.filter((word) => !MAJORS.includes(word) && !(word in LEVELS));
const [levels = [""]] = wanted.filter((word) => word in LEVELS).map((word) => LEVELS[word]);

/** Tests that take minutes and depend on time, not on Nest: one version of Nest is enough. */
const ON_11_ONLY = ["deep/rolling", "deep/ticking"];

const levelOf = (path) => (path.startsWith("deep/") ? "deep" : "");

/** The selected tests, as paths in the suite without `.test.ts`. */
function chosen() {
    const inFolder = (level) => readdirSync(join(suite, level)).map((name) => join(level, name));
    const all = ["", "deep"].flatMap(inFolder).filter((path) => path.endsWith(".test.ts"));
    const tests = all.map((path) => path.slice(0, -".test.ts".length));
    if (named.length === 0) return tests.filter((path) => levels.includes(levelOf(path)));
    return named.flatMap((name) => {
        const found = [name, `deep/${name}`].find((path) => tests.includes(path));
        if (!found) throw new Error(`there is no test ${name}, but ${tests.join(", ")}`);
        return [found];
    });
}

const tests = chosen();
const isDeep = tests.some((path) => levelOf(path) === "deep");

const folder = mkdtempSync(join(tmpdir(), "elector-nest-"));
const server = await startServer({ max_connections: "200" });
process.env.ELECTOR_TEST_URL = server.url;
process.env.ELECTOR_TEST_PORT = String(server.port);
for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => void server.stop().then(() => process.exit(1)));
}
let [passed, failed] = [0, 0];
try {
    const ours = packed(folder);
    for (const major of majors.length > 0 ? majors : MAJORS) {
        console.log(`Nest ${major}`);
        const out = build(major, ours, { isDeep });
        // Quick tests mostly wait, so they run in parallel. Tests that measure time run one at a time, after
        // them.
        for (const [level, concurrency] of [["", 4], ["deep", 1]]) {
            const files = tests.filter((path) => levelOf(path) === level)
                .filter((path) => major === "11" || named.length > 0 || !ON_11_ONLY.includes(path));
            if (files.length === 0) continue;
            const compiled = files.map((path) => join(out, `${path}.test.js`));
            const [more, bad] = await runFiles(compiled, concurrency);
            passed += more;
            failed += bad;
        }
    }
} catch (error) {
    console.log(error);
    failed += 1;
} finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
