// The package as users install it, from `npm pack`, in runtimes, in bundlers and with each module resolution
// of TypeScript. ../test/workerd.test.mjs tests it in workerd.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { application } from "../test/packed.mjs";
import { Browser } from "./browser.mjs";
import { serve } from "./serve.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const tool = (name) => join(here, "node_modules/.bin", name);
const DONE = "one led, then the other";
let app;
let installed;
let remove;

before(() => {
    ({ folder: app, installed, remove } = application());
    cpSync(join(here, "fixtures"), app, { recursive: true });
});
after(() => remove?.());

function says(command, ...args) {
    return execFileSync(command, args, { cwd: app, encoding: "utf8", timeout: 120_000 }).trim();
}

test("the tarball contains the code and its types, and no dependency", () => {
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assert.equal(manifest.dependencies, undefined);
    const files = readdirSync(installed, { recursive: true }).filter((name) => extname(name));
    const meant = /^(dist\/|package\.json|README\.md|NESTJS\.md|RAFTQ\.md|LICENSE)/;
    const stray = files.filter((name) => !meant.test(name));
    assert.deepEqual(stray, []);
    for (const target of JSON.stringify(manifest.exports).match(/\.\/dist[^"]*/g)) {
        assert.ok(existsSync(join(installed, target)), target);
    }
});

test("the package runs in Node as CommonJS", () => assert.equal(says(process.execPath, "node.cjs"), DONE));

test("the package runs in Node as ES modules", () => assert.equal(says(process.execPath, "node.mjs"), DONE));

const DENO = [tool("deno"), "run", "--no-lock", "--cached-only", "--node-modules-dir=manual", "--allow-all"];

test("the package runs in Deno on node:sqlite", () => assert.equal(says(...DENO, "deno.mjs"), DONE));

test("the package runs in Bun on bun:sqlite", () => assert.equal(says(tool("bun"), "run", "bun.mjs"), DONE));

const RUNTIMES = { node: [process.execPath], deno: DENO, bun: [tool("bun"), "run"] };
for (const [runtime, command] of Object.entries(RUNTIMES)) {
    test(`raftq joins nodes over HTTP, which keep their states in files, in ${runtime}`, () => {
        rmSync(join(app, "raft-states"), { recursive: true, force: true });
        assert.equal(says(...command, `raftq-${runtime}.mjs`), DONE);
    });
}

// ---- Browsers ----

/** Opens a folder's page in a browser, and resolves to what the page reports. */
async function saidBy(folder) {
    let says;
    const said = new Promise((resolve) => (says = resolve));
    const { url, close } = await serve(folder, says);
    const browser = new Browser();
    try {
        await browser.open(url);
        return await Promise.race([said, sleep(60_000, "the page said nothing within 60 s", { ref: false })]);
    } finally {
        await browser.stop();
        close();
    }
}

test("the web build runs in a browser without a bundler", async () => {
    const map = { imports: { "elector-wasm": "/node_modules/elector-wasm/dist/esm/index.js" } };
    writeFileSync(join(app, "index.html"), `<!doctype html><meta charset="utf-8"><body>
<script type="importmap">${JSON.stringify(map)}</script><script type="module" src="/page.mjs"></script>`);
    assert.equal(await saidBy(app), DONE);
});

test("a bundle made by Vite runs in a browser", async () => {
    writeFileSync(join(app, "index.html"), `<!doctype html><meta charset="utf-8"><body>
<script type="module" src="/page.mjs"></script>`);
    await build({ root: app, logLevel: "error", build: { outDir: "vite", target: "es2022" } });
    assert.equal(await saidBy(join(app, "vite")), DONE);
});

// ---- Types ----

const RESOLUTIONS = {
    node10: { module: "commonjs", moduleResolution: "node10", file: "types.ts" },
    "node16 from CommonJS": { module: "node16", moduleResolution: "node16", file: "types.cts" },
    "node16 from ES modules": { module: "node16", moduleResolution: "node16", file: "types.mts" },
    nodenext: { module: "nodenext", moduleResolution: "nodenext", file: "types.mts" },
    bundler: { module: "es2022", moduleResolution: "bundler", file: "types.ts" },
};

for (const [name, { file, ...options }] of Object.entries(RESOLUTIONS)) {
    test(`TypeScript finds the types: ${name}`, () => {
        if (file !== "types.ts") copyFileSync(join(app, "types.ts"), join(app, file));
        const compilerOptions = {
            ...options, target: "es2022", lib: ["es2022", "dom"], types: [], strict: true, noEmit: true,
            exactOptionalPropertyTypes: true,
        };
        const project = join(app, "tsconfig.json");
        writeFileSync(project, JSON.stringify({ compilerOptions, files: [file] }));
        says(process.execPath, tool("tsc"), "-p", project);
    });
}
