// The WebAssembly module: its imports, its size, its types, its panics, and processes that use it and can
// exit.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esm from "../dist/cjs/index.mjs";
import { bootClock } from "../dist/cjs/index.mjs";
import * as core from "../dist/cjs/core.mjs";
import { PATIENCE_MS } from "./support.mjs";

const dist = new URL("../dist/", import.meta.url);
const bytes = readFileSync(new URL("workerd/wasm/elector_bg.wasm", dist));

test("the module imports nothing but its own glue", () => {
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    assert.ok(imports.length > 0);
    assert.deepEqual([...new Set(imports.map((each) => each.module))], ["./elector_bg.js"]);
    // The glue imports nothing either: no clock, timer, socket or random source.
    const glue = readFileSync(new URL("esm/wasm/elector_bg.js", dist), "utf8");
    assert.doesNotMatch(glue, /\b(Date|performance|setTimeout|crypto|fetch|Math\.random|require|import)\b/);
});

test("the compressed module has at most 60 KB", () => {
    const size = gzipSync(bytes, { level: 9 }).length;
    console.log(`elector_bg.wasm: ${size} bytes compressed`);
    assert.ok(size <= 60 * 1024, `${size}`);
});

test("the declared types contain no `any`", () => {
    // The NestJS module exists in CommonJS only.
    for (const folder of ["esm/", "cjs/nestjs/"]) {
        const files = readdirSync(new URL(folder, dist), { recursive: true });
        const types = files.filter((name) => name.endsWith(".d.ts"));
        assert.ok(types.length > 10);
        for (const name of types) {
            const text = readFileSync(new URL(`${folder}${name}`, dist), "utf8");
            const code = text.replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
            assert.doesNotMatch(code, /[:<,|&]\s*any\b|\bany\[\]|as any/, `${folder}${name}`);
        }
    }
});

test("a process that loads CommonJS and ES modules gets one copy of the package", () => {
    const cjs = createRequire(import.meta.url)("../dist/cjs/index.js");
    assert.equal(cjs.Elector, esm.Elector);
    assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).filter((key) => key !== "default").sort());
});

test("`require` resolves to CommonJS under every condition, `browser` included", () => {
    const code = 'const { Elector, memoryStore } = require("elector-wasm"); require("elector-wasm/core");' +
        'new Elector({ election: "e", store: memoryStore() }); console.log("made");';
    const browser = "--conditions=browser";
    for (const conditions of [[], [browser], [browser, "--conditions=module"]]) {
        const cwd = fileURLToPath(new URL("..", import.meta.url));
        const said = execFileSync(process.execPath, [...conditions, "-e", code], { cwd, encoding: "utf8" });
        assert.equal(said, "made\n");
    }
});

test("a panic in the machine throws an exception with its message, and later calls throw too", () => {
    const options = { election: "e", candidate: "c", incarnation: 1n, seed: 1n };
    const machine = new core.Machine(options, 0);
    assert.throws(() => machine.panic("as a fault would"), /the lease machine panicked: as a fault would/);
    assert.throws(() => machine.campaign(1), Error);
    assert.throws(() => machine.leadership(1), Error);
});

test("a malformed reply is refused, and the machine keeps working", () => {
    const machine = new core.Machine({ election: "e", candidate: "c", incarnation: 1n, seed: 1n }, 0);
    machine.campaign(0);
    const { id } = machine.poll();
    assert.throws(() => machine.reply(1, { id, outcome: "gone" }), /reply has the unknown outcome 'gone'/);
    assert.throws(() => machine.reply(1, { id, outcome: "granted", token: 0n }), /token/);
    machine.reply(1, { id, outcome: "granted", token: 7n });
    assert.equal(machine.leadership(1).token, 7n);
});

test("a suspend that only the wall clock counts advances the boot clock; noise does not", () => {
    let [steady, wall] = [0, 5_000];
    const now = bootClock({ performance: () => steady, date: () => Math.floor(wall) });
    for (let round = 0; round < 100_000; round++) {
        steady += 0.37;
        wall += 0.37;
        now();
    }
    assert.ok(now() - steady <= 3, `${now() - steady} ms were invented`);
    const before = now();
    wall += 60_000;
    assert.ok(Math.abs(now() - before - 60_000) <= 3);
    // A wall clock that is set back subtracts nothing, and a later suspend still counts.
    wall -= 3_600_000;
    assert.ok(now() - before >= 59_997);
    wall += 10_000;
    assert.ok(now() - before >= 69_995);
});

test("time for which the process was held up while it read its clocks is counted once", () => {
    let [steady, wall, heldUp] = [5_000, 1_700_000_000_000, 40];
    const pass = (ms) => [steady, wall] = [steady + ms, wall + ms];
    // Held up between the readings, before and after them.
    const performance = () => { pass(heldUp); return steady; };
    const date = () => { pass(heldUp); const read = wall; pass(heldUp); return read; };
    const now = bootClock({ performance, date });
    for (let round = 0; round < 100; round++) {
        const before = steady;
        const read = now();
        assert.ok(read >= before && read <= steady, `${read - steady} ms beyond the clock in round ${round}`);
    }
    // A suspend still counts.
    wall += 60_000;
    const before = steady;
    assert.ok(now() >= before + 60_000 - 3 * heldUp);
    heldUp = 0;
    assert.ok(Math.abs(now() - steady - 60_000) <= 3 * 40, `${now() - steady}`);
});

test("a process whose candidate stands by can exit", () => {
    const program = `
        const { Elector, memoryStore } = require(${JSON.stringify(new URL("cjs/index.js", dist).pathname)});
        const elector = new Elector({ election: "e", store: memoryStore() });
        elector.campaign();
        const asking = setInterval(() => {
            if (!elector.amILeader()) return;
            console.log("leads");
            clearInterval(asking);
        }, 5);`;
    const said = execFileSync(process.execPath, ["-e", program], { timeout: PATIENCE_MS, encoding: "utf8" });
    assert.equal(said.trim(), "leads");
});

test("an awaited release keeps the process alive until the store has confirmed it", () => {
    const program = `
        import { Elector, memoryStore } from ${JSON.stringify(new URL("cjs/index.mjs", dist).href)};
        const store = memoryStore();
        await using elector = new Elector({ election: "e", store, leaseMs: 1000, marginMs: 100 });
        elector.campaign();
        await new Promise((resolve) => elector.on("elected", resolve));
        store.failWith("unsent");
        await elector.release();
        console.log("settled");`.replace("await using", "const");
    const given = ["--input-type=module", "-e", program];
    const said = execFileSync(process.execPath, given, { timeout: PATIENCE_MS, encoding: "utf8" });
    assert.equal(said.trim(), "settled");
});
