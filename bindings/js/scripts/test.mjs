// Runs tests, and sums them up in one line.
//   npm test                   the quick level, which no busy machine can fail: test/ and test/raftq/
//   npm test -- --deep         those of test/deep/: what measures time, and clients that are slow to install
//   npm test -- --all          both
//   npm test -- stall hub      the files of these names, in any folder; a name with a slash is a path
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { runFiles } from "./runner.mjs";

const ENDING = ".test.mjs";
const quick = join(dirname(fileURLToPath(import.meta.url)), "../test");
const raftq = join(quick, "raftq");
const deep = join(quick, "deep");

const inFolder = (folder) => {
    return readdirSync(folder).filter((name) => name.endsWith(ENDING)).map((name) => join(folder, name));
};

/** The files that a word of the command line selects. */
function filesOf(word) {
    if (word === "--deep") return inFolder(deep);
    if (word === "--all") return [...all(), ...inFolder(deep)];
    if (word.includes("/")) return [resolve(word)];
    const found = [quick, raftq, deep].map((folder) => join(folder, word + ENDING)).filter(existsSync);
    if (found.length === 0) throw new Error(`no ${word}${ENDING} in test, test/raftq and test/deep`);
    return found;
}

const words = process.argv.slice(2);
const all = () => [...inFolder(quick), ...inFolder(raftq)];
const chosen = words.length > 0 ? [...new Set(words.flatMap(filesOf))] : all();
const isDeep = (file) => dirname(file) === deep;
const needsAll = words.includes("--deep") || words.includes("--all");
if (needsAll && !existsSync(join(deep, "node_modules/better-sqlite3"))) {
    throw new Error("better-sqlite3 is missing: run npm --prefix test/deep ci");
}
const areNamed = words.some((word) => !word.startsWith("--"));
// Quick tests mostly wait, so they run in parallel. Tests that measure time run one at a time, after them,
// and so do named files.
const levels = [
    [chosen.filter((file) => !isDeep(file)), areNamed ? 1 : 2 * availableParallelism()],
    [chosen.filter(isDeep), 1],
];
let [passed, failed] = [0, 0];
for (const [files, concurrency] of levels.filter(([files]) => files.length > 0)) {
    const [more, bad] = await runFiles(files, concurrency);
    passed += more;
    failed += bad;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
