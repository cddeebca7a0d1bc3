// Electors on a real PostgreSQL, through the clients that applications have.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { Elector, memoryStore, postgresStore } from "../dist/cjs/index.mjs";
import { makePool, startServer } from "./server.mjs";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, within = 15_000) {
    const end = performance.now() + within;
    while (!(await what())) {
        assert.ok(performance.now() < end, `not within ${within} ms: ${what}`);
        await sleep(5);
    }
}

describe("PostgreSQL", { concurrency: 1 }, () => {
    let server;
    let schemas = 0;
    const pools = [];
    before(async () => (server = await startServer()));
    after(async () => {
        await Promise.all(pools.map((pool) => pool.end().catch(() => {})));
        await server.stop();
    });

    const pool = (options = {}) => {
        const made = makePool({ connectionString: server.url, max: 3, ...options });
        pools.push(made);
        return made;
    };
    const fresh = () => ({ schema: `p${++schemas}` });
    const timing = { leaseMs: 1_500, marginMs: 200 };
    const candidate = (client, options, more = {}) => {
        return new Elector({ election: "e", store: postgresStore(client, options), ...timing, ...more });
    };

    test("a release is heard of: the next leads long before it would look", async () => {
        const place = fresh();
        const lease = { leaseMs: 30_000 };
        const [a, b] = [candidate(pool(), place, lease), candidate(pool(), place, lease)];
        a.campaign();
        await until(() => a.amILeader());
        b.campaign();
        await until(() => b.leader());
        await sleep(100);
        const from = performance.now();
        await a.release();
        await until(() => b.amILeader());
        assert.ok(performance.now() - from < 3_000, "a notification, not a look, wakes the next");
        assert.ok(b.token > 0n && !a.amILeader());
        await b.release();
    });

    test("a transaction of the application's own on the client grants nothing", async () => {
        const client = new pg.Client(server.url);
        await client.connect();
        const place = fresh();
        const [a, b] = [candidate(client, place), candidate(pool(), place)];
        a.campaign();
        await until(() => a.amILeader());
        // What is answered in it would be undone by its end: renewals wait, and the term ends in time.
        await client.query("BEGIN");
        b.campaign();
        await until(() => b.amILeader());
        assert.equal(a.amILeader(), false);
        assert.match(a.lastError.message, /a transaction open on this client/);
        await b.release();
        assert.equal(a.amILeader(), false);
        await client.query("ROLLBACK");
        await until(() => a.amILeader());
        // A BEGIN that is on its way is executed before what is sent after it.
        const began = client.query("BEGIN");
        const confirmed = a.confirm();
        await began;
        await assert.rejects(confirmed, { failure: "unknown" });
        await client.query("ROLLBACK");
        await a.release();
        await client.end();
    });

    test("a Client and PGlite hear of releases too", async () => {
        const client = new pg.Client(server.url);
        await client.connect();
        const db = await PGlite.create();
        for (const each of [client, db]) {
            const store = postgresStore(each, fresh());
            const [a, b] = ["a", "b"].map((name) => {
                return new Elector({ election: "e", store, candidate: name, leaseMs: 30_000 });
            });
            a.campaign();
            await until(() => a.amILeader());
            b.campaign();
            await until(() => b.leader());
            const from = performance.now();
            await a.release();
            await until(() => b.amILeader());
            assert.ok(performance.now() - from < 3_000);
            await b.release();
        }
        await client.end();
        await db.close();
    });

    test("a pool that the application has exhausted does not lose leadership silently", async () => {
        const place = fresh();
        const shared = pool({ max: 1 });
        const said = [];
        const a = candidate(shared, place, { logger: { warn: (message) => said.push(message) } });
        const events = [];
        for (const name of ["atRisk", "stopNewWork", "deposed"]) {
            a.on(name, ({ event }) => events.push(event));
        }
        a.campaign();
        await until(() => a.amILeader());
        const b = candidate(pool(), place);
        b.campaign();
        let followedAt;
        b.on("elected", () => (followedAt ??= performance.now()));
        const first = a.token;
        const taken = await shared.connect();
        let last = performance.now();
        let deposedAt;
        a.on("deposed", () => (deposedAt = performance.now()));
        while (a.amILeader()) {
            last = performance.now();
            await sleep(1);
        }
        await until(() => b.amILeader());
        assert.ok(followedAt > last, "two at a time");
        assert.deepEqual([...new Set(events)], ["atRisk", "stopNewWork", "deposed"]);
        assert.ok(deposedAt - last < 500, `told ${deposedAt - last} ms late`);
        assert.match(said.join("\n"), /no answer in time.*pool is exhausted/);
        taken.release();
        // Its renewals that waited in the pool change nothing now.
        await sleep(500);
        assert.ok(b.amILeader() && b.token > first);
        await b.release();
        await until(() => a.amILeader());
        assert.ok(a.token > first);
        await a.release();
    });

    test("an event loop that is blocked for three leases never reports leader on waking", async () => {
        const a = candidate(pool(), fresh());
        a.campaign();
        await until(() => a.amILeader());
        const end = performance.now() + 3 * timing.leaseMs;
        while (performance.now() < end);
        assert.equal(a.amILeader(), false);
        assert.equal(a.leadership.leading, false);
        await until(() => a.amILeader());
        await a.release();
    });

    test("a guarded transaction of an old leader never commits after a new one is elected", async () => {
        const place = fresh();
        const work = pool();
        await work.query("CREATE TABLE IF NOT EXISTS done (token bigint)");
        const [a, b] = [candidate(pool(), place), candidate(pool(), place)];
        a.campaign();
        await until(() => a.amILeader());
        b.campaign();
        // While it is open nobody takes over, though the lease has ended.
        const open = await work.connect();
        await open.query("BEGIN");
        const token = await a.guard(open);
        assert.equal(token, a.token);
        await open.query("INSERT INTO done VALUES ($1)", [String(token)]);
        void a.release();
        await sleep(2 * timing.leaseMs);
        assert.equal(b.amILeader(), false);
        await open.query("COMMIT");
        await until(() => b.amILeader());
        // From then on the guard fails, whatever the old one believes.
        await open.query("BEGIN");
        await assert.rejects(a.guard((text, values) => open.query(text, values)), { code: "NOT_LEADER" });
        await open.query("ROLLBACK");
        open.release();
        await b.release();
        const memory = new Elector({ election: "e", store: memoryStore() });
        await assert.rejects(memory.guard(work), { code: "NO_GUARD" });
    });

    test("a term that was broken in the table fails its guard and its confirmation at once", async () => {
        const place = fresh();
        const a = candidate(pool(), place, { leaseMs: 30_000 });
        a.campaign();
        await until(() => a.amILeader());
        const admin = pool();
        await admin.query(`UPDATE ${place.schema}.leader_lease SET leader_id = '', token = token + 1`);
        await assert.rejects(a.guard(admin), { code: "NOT_LEADER" });
        assert.equal(a.amILeader(), true, "its lease still protects it");
        assert.equal((await a.confirm()).leading, false);
        assert.equal(a.amILeader(), false);
        await a.release();
    });

    test("a table that nest-leader-election made is adopted, and keeps numbers only", async () => {
        const { schema } = fresh();
        const admin = pool();
        await admin.query(`CREATE SCHEMA ${schema}`);
        await admin.query(`CREATE TABLE ${schema}.leader_lease (
            id integer PRIMARY KEY DEFAULT 1, leader_id text NOT NULL, expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(), CHECK (expires_at > created_at))`);
        await admin.query(`INSERT INTO ${schema}.leader_lease VALUES (1, 'theirs', now() + interval '1 s')`);
        const store = postgresStore(pool(), { schema });
        const a = new Elector({ election: "1", store, ...timing });
        const named = new Elector({ election: "nightly", store, ...timing });
        a.campaign();
        await until(() => a.leader());
        assert.equal(a.leader().candidate, "theirs");
        await until(() => a.amILeader());
        named.campaign();
        await until(() => named.lastError);
        assert.equal(named.lastError.code, "STORE_REFUSED");
        assert.match(named.lastError.message, /election "nightly" cannot be kept.*integer.*by a number/);
        await Promise.all([a.release(), named.release()]);
        const { rows } = await admin.query(`SELECT count(*)::int AS left FROM ${schema}.leader_lease`);
        assert.equal(rows[0].left, 0, "nest-leader-election takes no row over, so none is left");
    });

    test("a schema of any name is quoted, and candidates may make the table at once", async () => {
        const schema = 'my "schema"; DROP TABLE x; $migrate$';
        const electors = Array.from({ length: 8 }, (_, number) => {
            return candidate(pool({ max: 1 }), { schema, listen: false }, { election: `e${number}` });
        });
        for (const elector of electors) elector.campaign();
        await until(() => electors.every((elector) => elector.amILeader()), 30_000);
        await Promise.all(electors.map((elector) => elector.release()));
    });

    test("what cannot be used is refused with a reason and a remedy, and no password", async () => {
        const admin = pool();
        await admin.query("CREATE SCHEMA narrow");
        await admin.query("CREATE TABLE narrow.leader_lease (id text, leader_id text)");
        await admin.query("CREATE SCHEMA closed");
        await admin.query("CREATE ROLE nobody_special LOGIN PASSWORD 'hunter2'");
        const url = server.url.replace("postgres@", "nobody_special:hunter2@");
        const lost = `postgres://u:hunter2@127.0.0.1:1/postgres`;
        const wrong = [
            [admin, { schema: "none", createTable: false }, "STORE_REFUSED", /no table leader_lease/],
            [admin, { schema: "narrow" }, "STORE_REFUSED", /column expires_at is missing, and timestamp/],
            [pool({ connectionString: url }), { schema: "closed" }, "STORE_REFUSED", /permission denied/],
            [pool({ connectionString: lost }), {}, "STORE", /ECONNREFUSED/],
        ];
        for (const [client, options, code, message] of wrong) {
            const elector = candidate(client, { listen: false, ...options });
            elector.campaign();
            await until(() => elector.lastError);
            assert.equal(elector.lastError.code, code, elector.lastError.message);
            assert.match(elector.lastError.message, message);
            assert.doesNotMatch(elector.lastError.message, /hunter2/);
            await elector.release();
        }
        assert.throws(() => postgresStore(admin, { schema: "x".repeat(64) }), /1 to 63 bytes, not 64/);
        assert.throws(() => postgresStore({}), /no function query/);
    });

    test("fifty electors of one store need no more statements than a few", async () => {
        const shared = pool();
        let statements = 0;
        const counted = { query: (...given) => (statements++, shared.query(...given)) };
        const store = postgresStore(counted, fresh());
        const electors = Array.from({ length: 50 }, (_, number) => {
            return new Elector({ election: `e${number}`, store, ...timing });
        });
        let renewals = 0;
        for (const elector of electors) elector.on("renewed", () => (renewals += 1));
        for (const elector of electors) elector.campaign();
        await until(() => electors.every((elector) => elector.amILeader()));
        statements = renewals = 0;
        await sleep(5 * timing.leaseMs);
        assert.ok(electors.every((elector) => elector.amILeader()));
        console.log(`${renewals} renewals took ${statements} statements`);
        assert.ok(renewals >= 50 * 15 && statements <= renewals / 20);
        await Promise.all(electors.map((elector) => elector.release()));
    });

    test("connections that the server ends are made again, and the term goes on", async () => {
        const own = await startServer();
        const shared = makePool({ connectionString: own.url, max: 3 });
        // Long enough for a busy machine to make its connections anew.
        const leaseMs = 6_000;
        const a = candidate(shared, {}, { leaseMs });
        a.campaign();
        await until(() => a.amILeader());
        const first = a.token;
        const admin = new pg.Client(own.url);
        admin.on("error", () => {});
        await admin.connect();
        const others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        const { rowCount } = await admin.query(`SELECT pg_terminate_backend(pid) FROM ${others}`);
        assert.ok(rowCount >= 1, `${rowCount}`);
        await sleep(leaseMs + 1_000);
        assert.ok(a.amILeader(), a.lastError?.message);
        assert.equal(a.token, first);
        await a.release();
        await admin.end();
        await shared.end();
        await own.stop();
    });

    test("a pool without an error listener survives the end of its idle connections", async () => {
        const name = "unheard";
        const made = new pg.Pool({ connectionString: server.url, max: 3, application_name: name });
        const said = [];
        const a = candidate(made, fresh(), { logger: { warn: (message) => said.push(message) } });
        a.campaign();
        await until(() => a.amILeader());
        const admin = pool();
        const cut = async () => {
            // More than one is idle, and one listens.
            await Promise.all([1, 2, 3].map(() => made.query("SELECT pg_sleep(0.02)")));
            const ours = `pg_stat_activity WHERE application_name = '${name}'`;
            const { rowCount } = await admin.query(`SELECT pg_terminate_backend(pid) FROM ${ours}`);
            assert.ok(rowCount >= 3, `${rowCount}`);
            await sleep(2 * timing.leaseMs);
            assert.ok(a.amILeader(), a.lastError?.message);
        };
        await cut();
        const told = said.filter((message) => /a connection of the pool was lost: terminating/.test(message));
        assert.equal(told.length, 1, said.join("\n"));
        // Whoever listens is not silenced, and needs nobody to warn.
        const heard = [];
        made.on("error", (error) => heard.push(error));
        said.length = 0;
        await cut();
        assert.ok(heard.length >= 2);
        assert.deepEqual(said.filter((message) => message.includes("of the pool was lost")), []);
        await a.release();
        await made.end();
    });
});
