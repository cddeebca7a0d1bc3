// The SQLite store beside its operations: expired rows, and transactions of the application.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sqliteStore } from "../dist/cjs/index.mjs";

const SECOND = 1_000_000;
const LARGEST = 2 ** 53 - 1;

/** Sends one request to a store. */
async function ask(store, election, request) {
    let found;
    const job = { election, request: { id: 1, deadlineMs: Infinity, ...request } };
    await store.execute([job], (_job, reply, error) => (found = { ...reply, error }));
    return found;
}

export const acquire = (store, election, leaseMs = 120_000) => {
    return ask(store, election, { op: "acquire", holder: "a#1", leaseMs, condition: "any" });
};
export const look = async (store, election) => (await ask(store, election, { op: "look" })).row;

/**
 * A store on an in-memory database, the ids of its rows, and a function that makes a lease expire some
 * seconds ago.
 */
function opened(Database) {
    const db = new Database(":memory:");
    const store = sqliteStore(db);
    const ids = () => db.prepare("SELECT id FROM leader_lease ORDER BY id").all().map(({ id }) => id);
    const ended = (election, seconds) => {
        const expires = Date.now() * 1_000 - seconds * SECOND;
        db.prepare("UPDATE leader_lease SET expires_wall = ?, expires_at = ? WHERE id = ?")
            .run(expires, expires, election);
    };
    return { db, store, ids, ended };
}

/** Tests the store on a client with the methods of better-sqlite3. */
export function prove(name, Database) {
    describe(name, () => proveWith(Database));
}

/** Tests the bounds of its clean-up in time. */
export function proveTimed(name, Database) {
    test(`${name}: a row that expired almost a minute ago stays`, async () => {
        const { db, store, ids, ended } = opened(Database);
        await acquire(store, "fresh");
        ended("fresh", 55);
        await store.cleanUp();
        assert.deepEqual(ids(), ["fresh"]);
        db.close();
    });
}

function proveWith(Database) {
    test("only rows that expired over a minute ago are deleted", async () => {
        const { db, store, ids, ended } = opened(Database);
        // Without a table there is nothing to delete.
        await store.cleanUp();
        for (const election of ["live", "fresh", "dead", "native"]) await acquire(store, election);
        // The row stays for a minute.
        ended("fresh", 0);
        ended("dead", 65);
        ended("native", 3_600);
        db.prepare("UPDATE leader_lease SET boot_id = 'of a machine' WHERE id = 'native'").run();
        await store.cleanUp();
        assert.deepEqual(ids(), ["", "fresh", "live", "native"]);
        assert.equal((await look(store, "live")).holder, "a#1");
        db.close();
    });

    test("a deleted and recreated election has a larger token, even if the clock was set back", async () => {
        const { db, store, ids, ended } = opened(Database);
        const ahead = 2 ** 51;
        for (const [election, token] of [["low", 7], ["high", ahead], ["middle", 9]]) {
            await acquire(store, election);
            db.prepare("UPDATE leader_lease SET token = ? WHERE id = ?").run(token, election);
            ended(election, 65);
            // Rows that are deleted later do not lower the floor.
            await store.cleanUp();
            assert.deepEqual(ids(), [""]);
        }
        assert.equal((await acquire(store, "high")).token, BigInt(ahead) + 1n);
        assert.equal((await acquire(store, "another")).token, BigInt(ahead) + 1n);
        db.close();
    });

    test("a row with the largest token blocks no other election", async () => {
        const { db, store, ids, ended } = opened(Database);
        for (const token of [LARGEST, LARGEST - 1, 2 ** 52]) {
            await acquire(store, "spent");
            db.prepare("UPDATE leader_lease SET token = ?").run(token);
            ended("spent", 65);
            await store.cleanUp();
            assert.deepEqual(ids(), ["spent"]);
            assert.ok((await acquire(store, `fresh${token}`)).token < BigInt(token));
            db.prepare("DELETE FROM leader_lease").run();
        }
        db.close();
    });

    test("a row that is acquired or expires between the statements of a clean-up stays", async () => {
        const { db, ids, ended } = opened(Database);
        const plain = sqliteStore(db);
        let between = () => {};
        const store = sqliteStore({
            prepare(text) {
                const run = between;
                if (text.startsWith("DELETE")) run();
                return db.prepare(text);
            },
        });
        for (const election of ["taken", "covered"]) {
            await acquire(plain, election);
            ended(election, 65);
        }
        await acquire(plain, "ended");
        db.prepare("UPDATE leader_lease SET token = token + 1000000 WHERE id = 'ended'").run();
        between = () => {
            ended("taken", -3_600);
            ended("ended", 65);
        };
        await store.cleanUp();
        assert.deepEqual(ids(), ["", "ended", "taken"]);
        db.close();
    });

    test("a clean-up deletes a bounded number of rows", async () => {
        const { db, store, ids } = opened(Database);
        await acquire(store, "first");
        db.prepare(`INSERT INTO leader_lease
            SELECT 'tick/' || json_each.key, leader_id, token, 0, 0, created_at,
            lease_ms, boot_id, process_lock, meta FROM leader_lease, json_each(?)`)
            .run(JSON.stringify(Array.from({ length: 1_500 }, (_, at) => at)));
        await store.cleanUp();
        assert.equal(ids().length, 502);
        await store.cleanUp();
        assert.deepEqual(ids(), ["", "first"]);
        db.close();
    });

    test("an open transaction of the application on the client prevents grants", async () => {
        const { db, store } = opened(Database);
        await acquire(store, "before");
        db.exec("BEGIN");
        const refused = await acquire(store, "within");
        assert.equal(refused.outcome, "unsent");
        assert.match(refused.error.message, /an open transaction on this client/);
        db.exec("ROLLBACK");
        assert.equal((await acquire(store, "after")).outcome, "granted");
        db.close();
    });
}
