// README.md's code blocks, each run as a program in its own process.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { startServer } from "./server.mjs";
import { until } from "./support.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

const textOf = (path) => readFileSync(join(here, path), "utf8");

/** The code blocks of a document. */
function blocksOf(text) {
    const found = [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)];
    return found.map(([, language, code]) => ({ language, code }));
}
const programsOf = (from) => from.filter(({ language }) => language === "js").map(({ code }) => code);

export const blocks = blocksOf(textOf("../README.md"));
export const programs = programsOf(blocks);
export const raftq = textOf("../RAFTQ.md");
/** The programs of RAFTQ.md. */
export const raftqPrograms = programsOf(blocksOf(raftq));
/** The programs of the repository's README.md. */
export const frontPrograms = programsOf(blocksOf(textOf("../../../README.md")));

let server;
// In the package's folder, where the package's own name and its clients resolve.
let folder;
const children = [];
let started = 0;

/** Gives the tests of the calling file a PostgreSQL server. */
export function serve() {
    before(async () => {
        server = await startServer();
        folder = mkdtempSync(join(here, "readme-"));
    });
    after(async () => {
        for (const child of children) child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
        await server?.stop();
    });
}

/** Starts a program. `said` has its output; `ended` resolves to its exit code. */
export function start(code) {
    const file = join(folder, `block${++started}.mjs`);
    writeFileSync(file, code);
    const env = { ...process.env, DATABASE_URL: server.url };
    const child = spawn(process.execPath, [file], { env, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    const run = { child, said: "" };
    child.stdout.on("data", (data) => (run.said += data));
    child.stderr.on("data", (data) => (run.said += data));
    run.ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
    return run;
}

/** Starts the quick start twice, and resolves to the process that leads and the other one. */
export async function startTwo() {
    const [first, second] = [start(programs[0]), start(programs[0])];
    await until(() => first.said !== "" || second.said !== "", () => first.said);
    return first.said === "" ? [second, first] : [first, second];
}
