// Shutdowns of a leader in its own process.
import { spawn } from "node:child_process";

const HERE = JSON.stringify(import.meta.url);

/**
 * Runs code in a process that leads. Resolves to its exit code, its output, and the milliseconds from
 * `begin()` to its end by its own clock. The lease is longer than the test waits, so a timer of that length
 * would keep the process alive too long.
 */
export function shutDown(code) {
    const program = `
import { createRequire } from "node:module";
const require = createRequire(${HERE});
const { LeaderElectorCore } = require("../dist/cjs/nestjs/index.js");
const { memoryStore } = require("../dist/cjs/index.js");
const store = memoryStore();
const elector = new LeaderElectorCore(store, { leaseDuration: 300_000, logger: false });
while (!elector.amILeader()) await new Promise((resolve) => setTimeout(resolve, 5));
let began;
const begin = () => (began = performance.now());
process.on("exit", () => console.log("ended after", performance.now() - began));
${code}`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
    let said = "";
    child.stdout.on("data", (data) => (said += data));
    child.stderr.on("data", (data) => (said += data));
    const limit = setTimeout(() => child.kill("SIGKILL"), 60_000);
    return new Promise((resolve) => {
        child.on("close", (code) => {
            clearTimeout(limit);
            const [, before, ms] = /^([^]*)ended after (.*)\n$/.exec(said) ?? [undefined, said];
            resolve({ code, said: before, ms: Number(ms) });
        });
    });
}

/** Shutdowns while the store confirms nothing. */
export const UNCONFIRMED = [`
store.failWith("unsent");
begin();
await elector.shutdown();
console.log("shut down");`, `
const work = elector.runAsLeader(({ signal }) => new Promise((resolve) => (signal.onabort = resolve)));
work.catch(() => {});
await new Promise((resolve) => setImmediate(resolve));
store.failWith("unsent");
begin();
await elector.shutdown();
console.log("shut down");`];

/** A shutdown with a confirmed release. It prints the timers that keep the process alive afterwards. */
export const CONFIRMED = `
begin();
await elector.shutdown();
const timers = process.getActiveResourcesInfo().filter((kind) => /Timeout|Immediate/.test(kind));
console.log("shut down; timers:", timers.join());`;
