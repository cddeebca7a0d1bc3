// Runs the tests, or those files of test/ that are named, and sums them up in one line. A name with a slash
// is the path of a file.
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { runFiles } from "./runner.mjs";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../test");
const wanted = process.argv.slice(2);
const names = readdirSync(folder).filter((name) => name.endsWith(".test.mjs"));
const path = (name) => (name.includes("/") ? resolve(name) : join(folder, `${name}.test.mjs`));
const chosen = wanted.length > 0 ? wanted.map(path) : names.map((name) => join(folder, name));
const [passed, failed] = await runFiles(chosen, 1);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
