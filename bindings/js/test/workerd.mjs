// The packed package in workerd, the runtime of Cloudflare Workers, bundled as Workers are.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { application } from "./packed.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const program = join(here, "../node_modules/.bin/workerd");

/** Bundles the Worker into an application. */
async function bundle({ folder, installed }) {
    cpSync(join(here, "workerd"), folder, { recursive: true });
    const wasm = {
        name: "wasm",
        resolveId: (id) => (id.endsWith(".wasm") ? { id: basename(id), external: true } : null),
    };
    const bundled = await rolldown({
        cwd: folder, input: "worker.mjs", plugins: [wasm], external: ["cloudflare:workers"],
        resolve: { conditionNames: ["workerd", "worker", "import"] },
    });
    await bundled.write({ file: join(folder, "worker.bundle.mjs"), format: "esm" });
    await bundled.close();
    for (const name of ["elector_bg.wasm", "raft_bg.wasm"]) {
        copyFileSync(join(installed, "dist/workerd/wasm", name), join(folder, name));
    }
    mkdirSync(join(folder, "storage"), { recursive: true });
}

/** Starts the Worker. `ask` resolves to its answer on a path; `stop` ends and removes it. */
export async function startWorkerd() {
    const app = application();
    await bundle(app);
    const args = ["serve", "--experimental", "--control-fd=3", "workerd.capnp"];
    const stdio = ["ignore", "inherit", "inherit", "pipe"];
    const server = spawn(program, args, { cwd: app.folder, stdio });
    const ended = new Promise((resolve) => server.on("close", resolve));
    const port = await new Promise((resolve, reject) => {
        server.on("error", (error) => reject(new Error(`${error}: run npm ci, which installs workerd`)));
        server.on("exit", (code) => reject(new Error(`workerd ended with ${code}`)));
        server.stdio[3].on("data", (data) => {
            const told = /"port":\s*(\d+)/.exec(String(data));
            if (told) resolve(Number(told[1]));
        });
    });
    const ask = async (path) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`);
        const text = await response.text();
        assert.equal(response.status, 200, text);
        return JSON.parse(text);
    };
    /** Starts the campaign of the object's first candidate, with these times. */
    const stand = (timing) => ask(`/object/start?timing=${encodeURIComponent(JSON.stringify(timing))}`);
    const stop = async () => {
        server.kill();
        await ended;
        app.remove();
    };
    return { ask, stand, stop };
}

/** The Worker's answer after its lease has expired while its clock stood still. */
export function isMisled({ leadership, nextMs, confirmed, believes, after }) {
    assert.equal(leadership.leading, true);
    assert.equal(confirmed.token, leadership.token);
    assert.ok(nextMs > 0);
    assert.equal(believes, true, "the clock of a Worker stands still between I/O");
    assert.equal(after.leading, false, "so confirm() is what to rely on");
}
