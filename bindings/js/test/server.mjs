// A PostgreSQL server for tests. elector-kit of tests/kit starts it, and removes it once its input closes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import pg from "pg";

const MANIFEST = fileURLToPath(new URL("../../../Cargo.toml", import.meta.url));

/** The command of elector-kit, which tests/run.sh has built, or which cargo builds. */
function kit() {
    const { ELECTOR_TEST_KIT: built } = process.env;
    return built ? [built] : ["cargo", "run", "-q", "--manifest-path", MANIFEST, "-p", "elector-kit", "--"];
}

/** A pool whose connections may be cut at any time, also while they are returned to it. */
export function makePool(options) {
    const pool = new pg.Pool(options);
    pool.on("error", () => {});
    pool.on("connect", (client) => client.on("error", () => {}));
    return pool;
}

/**
 * Starts a server: of the newest release if the environment has the settings that tests/install/postgres.sh
 * prints, else of the system's release. `stop` ends and removes it.
 */
export async function startServer(settings = {}) {
    const release = process.env.ELECTOR_TEST_PEER ? "newest" : "system";
    const given = Object.entries({ max_connections: 100, ...settings });
    const options = given.flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const [program, ...first] = kit();
    const command = [...first, "postgres", "--release", release, ...options];
    const server = spawn(program, command, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(server, "close");
    const said = once(createInterface(server.stdout), "line").then(([line]) => line);
    const url = await Promise.race([said, ended]);
    assert.equal(typeof url, "string", `elector-kit ended with ${url[0]}; is PostgreSQL installed?`);
    const stop = async () => {
        server.stdin.end();
        await ended;
    };
    return { url, port: Number(new URL(url).port), stop };
}
