// A process with a default Pool of pg whose candidate stands by can exit: idle connections do not keep it
// alive.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import pg from "pg";
import { Elector, postgresStore } from "../dist/cjs/index.mjs";
import { startServer } from "./server.mjs";
import { PATIENCE_MS, until } from "./support.mjs";

const run = promisify(execFile);
let server;
before(async () => (server = await startServer()));
after(() => server.stop());

/** Campaigns until it has looked at the store several times, and then does nothing. */
const program = (dist) => `
    const { Elector, postgresStore } = require(${JSON.stringify(dist)});
    const pg = require("pg");
    const pool = new pg.Pool({ connectionString: process.argv[1] });
    let asked = 0;
    const query = pool.query.bind(pool);
    pool.query = (...values) => {
        asked += 1;
        return query(...values);
    };
    // Looks often, so that the pool never closes a connection for being idle.
    const elector = new Elector({ election: "e", store: postgresStore(pool), leaseMs: 600 });
    elector.campaign();
    const waiting = setInterval(() => {
        if (asked < 8) return;
        clearInterval(waiting);
        console.log("waits for nothing");
    }, 5);`;

test("a process that stands by or leads with a default pool can exit", async () => {
    const code = program(new URL("../dist/cjs/index.js", import.meta.url).pathname);
    const cwd = new URL("..", import.meta.url).pathname;
    const ends = () => run(process.execPath, ["-e", code, server.url], { cwd, timeout: PATIENCE_MS });
    assert.equal((await ends()).stdout, "waits for nothing\n", "as the leader");
    const pool = new pg.Pool({ connectionString: server.url });
    const leader = new Elector({ election: "e", store: postgresStore(pool), leaseMs: 60_000 });
    leader.campaign();
    await until(() => leader.amILeader());
    assert.equal((await ends()).stdout, "waits for nothing\n", "as another candidate");
    await leader.release();
    await pool.end();
});
