// What applications load: the types, the module of WebAssembly, its size in a bundle.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import * as esm from "../../dist/cjs/raftq/index.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

test("code that applications write compiles under `strict`", () => {
    const { status, stdout } = spawnSync(process.execPath, [
        path("../../node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--exactOptionalPropertyTypes",
        "--target", "es2022", "--types", "node", "--module", "nodenext", path("fixtures/usage.ts"),
    ], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
});

test("a bundle with everything has at most 75 KB compressed", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "elector-raftq-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const bundled = await rolldown({ input: path("../../dist/esm/raftq/index.js"), logLevel: "warn" });
    const { output } = await bundled.write({ dir: folder, minify: true });
    assert.equal(output.length, 1);
    const text = readFileSync(join(folder, output[0].fileName));
    const size = gzipSync(text, { level: 9 }).length;
    console.log(`raftq: ${text.length} bytes in a bundle, ${size} compressed`);
    assert.ok(size <= 75_000, `${size}`);
    // The core of leases is not in it.
    assert.doesNotMatch(String(text), /memoryTable|postgresSql/i);
});

test("a process that loads CommonJS and ES modules gets one copy", () => {
    const cjs = createRequire(import.meta.url)("../../dist/cjs/raftq/index.js");
    assert.equal(cjs.Raftq, esm.Raftq);
    assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).filter((key) => key !== "default").sort());
});

test("the module imports nothing but its own glue", () => {
    const bytes = readFileSync(path("../../dist/workerd/wasm/raft_bg.wasm"));
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
    assert.deepEqual([...new Set(imports.map((each) => each.module))], ["./raft_bg.js"]);
    const glue = readFileSync(path("../../dist/esm/wasm/raft_bg.js"), "utf8");
    assert.doesNotMatch(glue, /\b(Date|performance|setTimeout|crypto|fetch|Math\.random|require|import)\b/);
});
