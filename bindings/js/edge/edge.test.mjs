// The package as users install it, from `npm pack`, in runtimes, in bundlers and with each module resolution
// of TypeScript. ../test/workerd.test.mjs tests it in workerd.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
    copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { application } from "../test/packed.mjs";

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

test("the package runs in Deno on node:sqlite", () => {
    const flags = ["run", "--no-lock", "--cached-only", "--node-modules-dir=manual", "--allow-all"];
    assert.equal(says(tool("deno"), ...flags, "deno.mjs"), DONE);
});

test("the package runs in Bun on bun:sqlite", () => assert.equal(says(tool("bun"), "run", "bun.mjs"), DONE));

// ---- Browsers ----

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript" };

/** Serves a folder, opens it in the browser, and resolves to the result that the page reports. */
async function saidBy(folder) {
    const profile = mkdtempSync(join(tmpdir(), "elector-chromium-"));
    let browser;
    const said = new Promise((resolve, reject) => {
        const server = createServer((request, response) => {
            if (request.method === "POST") {
                let body = "";
                request.on("data", (data) => (body += data));
                request.on("end", () => {
                    response.end();
                    server.close();
                    resolve(body);
                });
                return;
            }
            const path = join(folder, request.url === "/" ? "index.html" : request.url);
            if (!existsSync(path)) return response.writeHead(404).end();
            response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
            response.end(readFileSync(path));
        });
        server.listen(0, "127.0.0.1", () => {
            const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                `--user-data-dir=${profile}`, `http://127.0.0.1:${server.address().port}/`];
            browser = spawn("chromium", flags, { stdio: "ignore", detached: true });
            browser.on("error", (error) => reject(new Error(`${error}: install the package chromium`)));
            setTimeout(() => reject(new Error("the page said nothing within 60 s")), 60_000).unref();
        });
    });
    try {
        return await said;
    } finally {
        const ended = new Promise((resolve) => browser?.on("exit", resolve) ?? resolve());
        if (browser) process.kill(-browser.pid, "SIGKILL");
        await ended;
        rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
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
