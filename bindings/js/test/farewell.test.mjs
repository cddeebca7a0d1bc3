// An application that ends waits for a release, but not for ever.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";

const HERE = JSON.stringify(import.meta.url);

/** Runs it in a process of its own, and says how long that took to end once it said "begin". */
function run(code) {
    const program = `
import { createRequire } from "node:module";
const require = createRequire(${HERE});
const { LeaderElectorCore } = require("../dist/cjs/nestjs/index.js");
const { memoryStore } = require("../dist/cjs/index.js");
const store = memoryStore();
const elector = new LeaderElectorCore(store, { leaseDuration: 60_000, logger: false });
while (!elector.amILeader()) await new Promise((resolve) => setTimeout(resolve, 5));
${code}`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
    let said = "";
    let began;
    child.stdout.on("data", (data) => {
        said += data;
        if (said.includes("begin")) began ??= performance.now();
    });
    child.stderr.on("data", (data) => (said += data));
    const limit = setTimeout(() => child.kill("SIGKILL"), 20_000);
    return new Promise((resolve) => {
        child.on("exit", (code) => {
            clearTimeout(limit);
            resolve({ code, said, ms: performance.now() - began });
        });
    });
}

test("a shutdown whose release is not confirmed keeps the process alive for five seconds only", async () => {
    const all = await Promise.all([
        run(`
store.failWith("unsent");
console.log("begin");
await elector.shutdown();
console.log("shut down");`),
        run(`
const work = elector.runAsLeader(({ signal }) => new Promise((resolve) => (signal.onabort = resolve)));
work.catch(() => {});
await new Promise((resolve) => setImmediate(resolve));
store.failWith("unsent");
console.log("begin");
await elector.shutdown();
console.log("shut down");`),
    ]);
    for (const { code, said, ms } of all) {
        assert.equal(code, 0, `${ms} ms: ${said}`);
        assert.equal(said, "begin\nshut down\n");
        assert.ok(ms > 4_500 && ms < 10_000, `${ms} ms`);
    }
});

test("a shutdown whose release is confirmed ends at once", async () => {
    const { code, said, ms } = await run(`
console.log("begin");
await elector.shutdown();
console.log("shut down");`);
    assert.equal(code, 0, said);
    assert.equal(said, "begin\nshut down\n");
    assert.ok(ms < 3_000, `${ms} ms`);
});
