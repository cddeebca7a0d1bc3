// Electors on a real PostgreSQL, through the clients that applications use.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import pg from "pg";
import { Elector, memoryStore, postgresStore } from "../dist/cjs/index.mjs";
import { exhaust, leadAndStandBy, onPostgres, renewalsOf, tokensOf } from "./candidates.mjs";
import { startProxy } from "./proxy.mjs";
import { LONG, SHORT, sleep, until } from "./support.mjs";

/** Renews often, so that no test waits long for a renewal. */
const RENEWED = { ...LONG, renewMs: 500 };

describe("PostgreSQL", { concurrency: 4 }, () => {
    const place = onPostgres();
    const { fresh, pool, candidate } = place;

    test("after a release the notified candidate leads long before its next look", async () => {
        const table = fresh();
        const [a, b] = [candidate(pool(), table, LONG), candidate(pool(), table, LONG)];
        await leadAndStandBy(a, b);
        await a.release();
        await until(() => b.amILeader());
        assert.ok(b.token > 0n && !a.amILeader());
        await b.release();
    });

    test("a silent listening connection is replaced, and notifications arrive again", async () => {
        const proxy = await startProxy(place.port);
        const table = fresh();
        const connectionString = place.url.replace(`:${place.port}/`, `:${proxy.port}/`);
        const a = candidate(pool(), table, LONG);
        const store = postgresStore(pool({ connectionString }), table);
        const [b, quick] = [["e", LONG], ["other", SHORT]].map(([election, more]) => {
            return new Elector({ election, store, ...more });
        });
        // With a short lease the connection is tested often. This elector campaigns in another election.
        quick.campaign();
        await leadAndStandBy(a, b);
        await until(() => proxy.listened() === 1);
        const before = proxy.made();
        proxy.silence(1);
        // The next connection is silent before it listens, and is abandoned too.
        await until(() => proxy.listened() >= 2 && proxy.made() >= before + 2);
        await a.release();
        await until(() => b.amILeader());
        await Promise.all([b.release(), quick.release()]);
        proxy.stop();
    });

    test("a listening connection outlives its role's limit for idle sessions", async () => {
        const admin = pool();
        const { rows } = await admin.query("SELECT FROM pg_settings WHERE name = 'idle_session_timeout'");
        await admin.query("CREATE ROLE idle LOGIN; GRANT CREATE ON DATABASE postgres TO idle");
        if (rows.length > 0) await admin.query("ALTER ROLE idle SET idle_session_timeout = '500ms'");
        const connectionString = place.url.replace("postgres@", "idle@");
        const a = candidate(pool({ connectionString, application_name: "resting" }), fresh(), LONG);
        a.campaign();
        await until(() => a.amILeader());
        await until(async () => {
            const { rowCount } = await admin.query(`SELECT FROM pg_stat_activity
                WHERE application_name = 'resting' AND query LIKE 'LISTEN%'
                AND clock_timestamp() > backend_start + interval '3 s'`);
            return rowCount === 1;
        });
        await a.release();
    });

    test("a Client is notified of releases", async () => {
        const client = new pg.Client(place.url);
        await client.connect();
        const store = postgresStore(client, fresh());
        const [a, b] = ["a", "b"].map((name) => {
            return new Elector({ election: "e", store, candidate: name, ...LONG });
        });
        await leadAndStandBy(a, b);
        await a.release();
        await until(() => b.amILeader());
        await b.release();
        await client.end();
    });

    test("an open transaction of the application on the client prevents grants", async () => {
        const client = new pg.Client(place.url);
        await client.connect();
        const table = fresh();
        const [a, b] = [candidate(client, table, SHORT), candidate(pool(), table, LONG)];
        a.campaign();
        await until(() => a.amILeader());
        // The transaction's end would undo the statements, so renewals wait, and the term ends in time.
        await client.query("BEGIN");
        b.campaign();
        await until(() => b.amILeader());
        assert.equal(a.amILeader(), false);
        await until(() => /an open transaction on this client/.test(a.lastError?.message));
        await b.release();
        assert.equal(a.amILeader(), false);
        await client.query("ROLLBACK");
        await until(() => a.amILeader());
        await a.release();
        await client.end();
    });

    test("a BEGIN in flight on the client leaves a renewal unconfirmed", async () => {
        const client = new pg.Client(place.url);
        await client.connect();
        const a = candidate(client, fresh(), LONG);
        a.campaign();
        await until(() => a.amILeader());
        // A BEGIN in flight is executed before the statements sent after it.
        const began = client.query("BEGIN");
        const confirmed = a.confirm();
        await began;
        await assert.rejects(confirmed, { failure: "unknown" });
        await client.query("ROLLBACK");
        await a.release();
        await client.end();
    });

    test("an exhausted pool is reported by atRisk and an error before the term ends", async () => {
        const table = fresh();
        const shared = pool({ max: 1 });
        const said = [];
        const logger = { warn: (message) => said.push(message) };
        const [a, b] = [candidate(shared, table, { ...SHORT, logger }), candidate(pool(), table, LONG)];
        const [first, next] = [tokensOf(a), tokensOf(b)];
        a.campaign();
        await until(() => a.amILeader());
        const seen = await exhaust(shared, a, b);
        assert.ok(seen.lastLed < seen.followedAt, "two at a time");
        // On a busy event loop the `atRisk` listener may run after the risk has passed.
        const told = [...new Set(seen.told)].filter((event) => event !== "atRisk");
        assert.deepEqual(told, ["stopNewWork", "deposed"]);
        const isWarned = () => said.some((message) => /no answer in time.*pool exhausted/.test(message));
        await until(isWarned, () => said.join("\n"));
        seen.giveBack();
        // Its renewals that waited in the pool change nothing now.
        await sleep(500);
        assert.equal(b.token, next[0]);
        assert.ok(next[0] > first.at(-1) && !a.amILeader());
        await b.release();
        await until(() => a.amILeader());
        assert.ok(first.at(-1) > next[0]);
        await a.release();
    });

    test("after the event loop was blocked for three leases the candidate never reports leader", async () => {
        const a = candidate(pool(), fresh(), SHORT);
        a.campaign();
        await until(() => a.amILeader());
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * SHORT.leaseMs);
        assert.equal(a.amILeader(), false);
        assert.equal(a.leadership.leading, false);
        await until(() => a.amILeader());
        await a.release();
    });

    test("a guarded transaction of an old leader never commits after a new leader is elected", async () => {
        const table = fresh();
        const work = pool();
        await work.query("CREATE TABLE IF NOT EXISTS done (token bigint)");
        const [a, b] = [candidate(pool(), table, SHORT), candidate(pool(), table, SHORT)];
        const tokens = tokensOf(a);
        a.campaign();
        const open = await work.connect();
        // Retries until the guard passes: on a busy machine a short lease may be lost at any time.
        let token;
        await until(async () => {
            await open.query("BEGIN");
            token = await a.guard(open).catch((error) => assert.equal(error.code, "NOT_LEADER"));
            if (token === undefined) await open.query("ROLLBACK");
            return token;
        });
        assert.equal(token, tokens.at(-1));
        await open.query("INSERT INTO done VALUES ($1)", [String(token)]);
        b.campaign();
        void a.release();
        // While the transaction is open no other candidate takes over, although the lease has expired.
        await sleep(2 * SHORT.leaseMs);
        assert.equal(b.amILeader(), false);
        await open.query("COMMIT");
        await until(() => b.amILeader());
        // Now the guard fails, whatever the old leader believes.
        await open.query("BEGIN");
        await assert.rejects(a.guard((text, values) => open.query(text, values)), { code: "NOT_LEADER" });
        await open.query("ROLLBACK");
        open.release();
        await b.release();
        const memory = new Elector({ election: "e", store: memoryStore() });
        await assert.rejects(memory.guard(work), { code: "NO_GUARD" });
    });

    test("a draining term can be guarded and confirmed until drained() is called", async () => {
        const [a, admin] = [candidate(pool(), fresh(), LONG), pool()];
        a.campaign();
        const token = await until(() => a.token);
        a.drain(60_000);
        assert.equal(a.amILeader(), false);
        assert.equal(await a.guard(admin), token);
        const { leading, phase, token: kept } = await a.confirm();
        assert.deepEqual([leading, phase, kept], [false, "draining", token]);
        await a.drained();
        await assert.rejects(a.guard(admin), { code: "NOT_LEADER" });
    });

    test("a guard with an old snapshot fails, even after its table was rewritten", async () => {
        const table = fresh();
        const a = candidate(pool(), table, LONG);
        a.campaign();
        await until(() => a.amILeader());
        const [admin, open] = [pool(), await pool().connect()];
        const begin = async () => {
            await open.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
            await open.query("SELECT 1");
        };
        for (const rewrite of ["VACUUM FULL", "CLUSTER"]) {
            const by = rewrite === "CLUSTER" ? "USING leader_lease_pkey" : "";
            await begin();
            await admin.query(`${rewrite} ${table.schema}.leader_lease ${by}`);
            await assert.rejects(a.guard(open), { code: "NOT_LEADER" });
            await open.query("ROLLBACK");
            await begin();
            assert.equal(await a.guard(open), a.token, "a new transaction passes");
            await open.query("COMMIT");
        }
        // Without a rewrite, the server reports that the row has changed.
        await begin();
        await admin.query(`DELETE FROM ${table.schema}.leader_lease`);
        await assert.rejects(a.guard(open), { code: "40001" });
        await open.query("ROLLBACK");
        open.release();
        await a.release();
    });

    test("a term whose row was changed by hand fails guard() and confirm() at once", async () => {
        const table = fresh();
        const a = candidate(pool(), table, LONG);
        a.campaign();
        await until(() => a.amILeader());
        const admin = pool();
        await admin.query(`UPDATE ${table.schema}.leader_lease SET leader_id = '', token = token + 1`);
        await assert.rejects(a.guard(admin), { code: "NOT_LEADER" });
        assert.equal(a.amILeader(), true, "its lease still protects it");
        assert.equal((await a.confirm()).leading, false);
        assert.equal(a.amILeader(), false);
        await a.release();
    });

    test("a table of nest-leader-election is adopted, and accepts only numeric elections", async () => {
        const { schema } = fresh();
        const admin = pool();
        await admin.query(`CREATE SCHEMA ${schema}`);
        await admin.query(`CREATE TABLE ${schema}.leader_lease (
            id integer PRIMARY KEY DEFAULT 1, leader_id text NOT NULL, expires_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(), CHECK (expires_at > created_at))`);
        await admin.query(`INSERT INTO ${schema}.leader_lease VALUES (1, 'theirs', now() + interval '1 h')`);
        const store = postgresStore(pool(), { schema });
        const a = new Elector({ election: "1", store, ...LONG });
        const named = new Elector({ election: "nightly", store, ...LONG });
        a.campaign();
        await until(() => a.leader());
        assert.equal(a.leader().candidate, "theirs");
        // No notification says that the row has changed, so the candidate looks again.
        await admin.query(`UPDATE ${schema}.leader_lease SET expires_at = now() + interval '1 s'`);
        await a.release();
        a.campaign();
        await until(() => a.amILeader());
        named.campaign();
        await until(() => named.lastError);
        assert.equal(named.lastError.code, "STORE_REFUSED");
        assert.match(named.lastError.message, /election "nightly" cannot be kept.*integer.*by a number/);
        await Promise.all([a.release(), named.release()]);
        const { rows } = await admin.query(`SELECT count(*)::int AS left FROM ${schema}.leader_lease`);
        assert.equal(rows[0].left, 0, "nest-leader-election takes no row over, so none is left");
    });

    test("a schema with any name works, and several candidates can make the table at once", async () => {
        const schema = 'my "schema"; DROP TABLE x; $migrate$';
        const electors = Array.from({ length: 8 }, (_, number) => {
            const more = { election: `e${number}`, ...LONG };
            return candidate(pool({ max: 1 }), { schema, listen: false }, more);
        });
        for (const elector of electors) elector.campaign();
        await until(() => electors.every((elector) => elector.amILeader()));
        await Promise.all(electors.map((elector) => elector.release()));
    });

    test("an unusable table or server is refused with reason and advice, without the password", async () => {
        const admin = pool();
        await admin.query("CREATE SCHEMA narrow");
        await admin.query("CREATE TABLE narrow.leader_lease (id text, leader_id text)");
        await admin.query("CREATE SCHEMA closed");
        await admin.query("CREATE ROLE nobody_special LOGIN PASSWORD 'hunter2'");
        const url = place.url.replace("postgres@", "nobody_special:hunter2@");
        const lost = `postgres://u:hunter2@127.0.0.1:1/postgres`;
        const wrong = [
            [admin, { schema: "none", createTable: false }, "STORE_REFUSED", /no table leader_lease/],
            [admin, { schema: "narrow" }, "STORE_REFUSED", /column expires_at is missing, and timestamp/],
            [pool({ connectionString: url }), { schema: "closed" }, "STORE_REFUSED", /permission denied/],
            [pool({ connectionString: lost }), {}, "STORE", /ECONNREFUSED/],
        ];
        for (const [client, options, code, message] of wrong) {
            const elector = candidate(client, { listen: false, ...options }, LONG);
            elector.campaign();
            await until(() => elector.lastError);
            assert.equal(elector.lastError.code, code, elector.lastError.message);
            assert.match(elector.lastError.message, message);
            assert.doesNotMatch(elector.lastError.message, /hunter2/);
            await elector.release();
        }
        assert.throws(() => postgresStore(admin, { schema: "x".repeat(64) }), /has 64 bytes; use 1 to 63/);
        assert.throws(() => postgresStore({}), /no method query/);
    });

    test("a text that the encoding lacks is refused at once, and other elections still work", async () => {
        await pool().query("CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
        const store = postgresStore(pool({ connectionString: place.url.replace(/postgres$/, "latin1") }));
        const elector = (election, candidate, meta) => {
            return new Elector({ election, candidate, meta, store, ...LONG });
        };
        const lacking = [elector("лидер", "a"), elector("x", "лидер"), elector("y", "a", "лидер")];
        const held = Array.from({ length: 20 }, (_, at) => elector(`e${at}`, "a"));
        held.unshift(elector("é", "ä", "ö"));
        const refused = [];
        const all = [...held.slice(0, 9), ...lacking, ...held.slice(9)];
        for (const elector of all) elector.campaign();
        await until(() => held.every((elector) => elector.amILeader()));
        for (const [at, what] of ["election", "candidate", "meta text"].entries()) {
            await until(() => lacking[at].lastError, () => what);
            assert.equal(lacking[at].lastError.code, "STORE_REFUSED");
            const said = lacking[at].lastError.message;
            assert.match(said, new RegExp(`the ${what} "лидер" cannot be kept.*LATIN1`));
            refused.push(lacking[at].amILeader());
        }
        assert.deepEqual(refused, [false, false, false]);
        const { rows } = await store.client.query("SELECT leader_id, meta FROM leader_lease WHERE id = 'é'");
        assert.match(rows[0].leader_id, /^ä#/);
        assert.equal(rows[0].meta, "ö");
        await Promise.all(all.map((elector) => elector.release()));
    });

    test("a row hidden by row security is reported as hidden, not as absent or locked", async () => {
        const [admin, { schema }] = [pool(), fresh()];
        const made = candidate(pool(), { schema }, LONG);
        made.campaign();
        await until(() => made.amILeader());
        const table = `${schema}.leader_lease`;
        await admin.query(`CREATE ROLE hidden LOGIN; GRANT USAGE ON SCHEMA ${schema} TO hidden;
            GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO hidden`);
        await admin.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);
        const connectionString = place.url.replace("postgres@", "hidden@");
        const own = { ...SHORT, election: "a" };
        const a = candidate(pool({ connectionString }), { schema, listen: false }, own);
        const said = () => a.lastError?.message;
        const says = (text) => until(() => said()?.includes(text), said);
        a.campaign();
        await says('role "hidden": no policy allows SELECT, INSERT, UPDATE; have its owner run CREATE');
        assert.equal(a.lastError.code, "STORE_REFUSED");
        await admin.query(`CREATE POLICY one ON ${table} FOR SELECT TO hidden USING (true)`);
        await admin.query(`CREATE POLICY two ON ${table} FOR INSERT TO hidden WITH CHECK (true)`);
        await says("no policy allows UPDATE; have its owner run");
        assert.equal((await admin.query(`SELECT FROM ${table}`)).rowCount, 1, "it took what it cannot renew");
        await admin.query(said().split("have its owner run ")[1]);
        await until(() => a.amILeader(), said);
        await a.release();
        // A policy may distinguish elections. A refusal by a policy is not a missing permission.
        await admin.query(`DROP POLICY elector ON ${table}; DROP POLICY one ON ${table};
            DROP POLICY two ON ${table}; CREATE POLICY own ON ${table} USING (id LIKE 'own/%')`);
        a.campaign();
        await says("row security is on: have the table's owner make policies");
        await Promise.all([a.release(), made.release()]);
    });

    test("row security that is switched on during a campaign is not reported as a lock", async () => {
        const [admin, { schema }] = [pool(), fresh()];
        await admin.query("CREATE ROLE closed LOGIN; GRANT CREATE ON DATABASE postgres TO closed");
        const connectionString = place.url.replace("postgres@", "closed@");
        const a = candidate(pool({ connectionString }), { schema }, RENEWED);
        a.campaign();
        await until(() => a.amILeader());
        const table = `${schema}.leader_lease`;
        await admin.query(`CREATE POLICY one ON ${table} FOR SELECT USING (true);
            ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`);
        await until(() => a.lastError?.message.includes("no policy allows INSERT, UPDATE"));
        await admin.query(`ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`);
        const counted = renewalsOf(a);
        await until(() => counted.renewals > 0);
        await a.release();
    });

    test("fifty electors on one store renew in a few statements", async () => {
        const shared = pool();
        let statements = 0;
        const counted = { query: (...given) => (statements++, shared.query(...given)) };
        const store = postgresStore(counted, fresh());
        const electors = Array.from({ length: 50 }, (_, number) => {
            return new Elector({ election: `e${number}`, store, ...RENEWED });
        });
        for (const elector of electors) elector.campaign();
        await until(() => electors.every((elector) => elector.amILeader()));
        const all = electors.map(renewalsOf);
        const sum = () => all.reduce((total, { renewals }) => total + renewals, 0);
        statements = 0;
        await until(() => all.every(({ renewals }) => renewals >= 10));
        console.log(`${sum()} renewals took ${statements} statements`);
        assert.ok(statements <= sum() / 20, `${statements} statements for ${sum()} renewals`);
        assert.ok(electors.every((elector) => elector.amILeader()));
        await Promise.all(electors.map((elector) => elector.release()));
    });

    const backends = (name) => `pg_stat_activity WHERE application_name = '${name}'`;

    test("after the server ends connections they are replaced, and the term goes on", async () => {
        const a = candidate(pool({ application_name: "ended" }), fresh(), RENEWED);
        a.campaign();
        await until(() => a.amILeader());
        const first = a.token;
        const { rowCount } = await pool().query(`SELECT pg_terminate_backend(pid) FROM ${backends("ended")}`);
        assert.ok(rowCount >= 1, `${rowCount}`);
        const counted = renewalsOf(a);
        await until(() => counted.renewals >= 2, () => a.lastError?.message);
        assert.equal(a.token, first);
        await a.release();
    });

    test("a pool without an error listener survives the end of its idle connections", async () => {
        const name = "unlistened";
        const options = { max: 3, application_name: name, idleTimeoutMillis: 0 };
        const made = new pg.Pool({ connectionString: place.url, ...options });
        const said = [];
        const a = candidate(made, fresh(), { ...RENEWED, logger: { warn: (message) => said.push(message) } });
        const lost = () => said.filter((message) => message.includes("of the pool was lost"));
        a.campaign();
        await until(() => a.amILeader());
        const first = a.token;
        const admin = pool();
        let removed = 0;
        made.on("remove", () => (removed += 1));
        const cut = async () => {
            // More than one connection is idle.
            await Promise.all([1, 2, 3].map(() => made.query("SELECT pg_sleep(0.02)")));
            const [before, had] = [removed, made.totalCount];
            const { rowCount } = await admin.query(`SELECT pg_terminate_backend(pid) FROM ${backends(name)}`);
            assert.ok(rowCount >= 3, `${rowCount}`);
            await until(() => removed - before >= had);
            const counted = renewalsOf(a);
            await until(() => counted.renewals >= 2, () => a.lastError?.message);
            assert.equal(a.token, first);
        };
        await cut();
        await until(() => lost().length > 0, () => said.join("\n"));
        assert.equal(lost().length, 1, said.join("\n"));
        assert.match(lost()[0], /a connection of the pool was lost: terminating/);
        // An application's own listener is called, and then no warning is logged.
        const errors = [];
        made.on("error", (error) => errors.push(error));
        said.length = 0;
        await cut();
        await until(() => errors.length >= 2);
        assert.deepEqual(lost(), []);
        await a.release();
        await made.end();
    });
});
