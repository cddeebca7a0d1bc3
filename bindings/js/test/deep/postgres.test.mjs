// Upper bounds in time for electors on a real PostgreSQL.
import assert from "node:assert/strict";
import { describe } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { Elector, postgresStore } from "../../dist/cjs/index.mjs";
import { exhaust, leadAndStandBy, onPostgres } from "../candidates.mjs";
import { SHORT, sleep, until } from "../support.mjs";
import { timed } from "./witness.mjs";

describe("PostgreSQL, in time", { concurrency: 1 }, () => {
    const place = onPostgres();
    const { fresh, pool, candidate } = place;

    /**
     * The time from a release until the next candidate leads, either notified or by its look after ten
     * seconds.
     */
    async function handOver(store, witness) {
        const [a, b] = ["a", "b"].map((name) => {
            return new Elector({ election: "e", store: store(), candidate: name, leaseMs: 30_000 });
        });
        await leadAndStandBy(a, b);
        // Waits until it listens.
        await sleep(500);
        witness.reset();
        const from = performance.now();
        await a.release();
        await until(() => b.amILeader());
        witness.atMost(performance.now() - from, 3_000, "a hand-over");
        await b.release();
    }

    timed("a Pool, a Client and PGlite are notified of a release within three seconds", async (witness) => {
        const client = new pg.Client(place.url);
        await client.connect();
        const db = await PGlite.create();
        const table = fresh();
        const [ofClient, ofPglite] = [client, db].map((each) => postgresStore(each, fresh()));
        for (const store of [() => postgresStore(pool(), table), () => ofClient, () => ofPglite]) {
            await handOver(store, witness);
        }
        await client.end();
        await db.close();
    });

    timed("an exhausted pool is reported to the leader, and the term's end at once", async (witness) => {
        const table = fresh();
        const shared = pool({ max: 1 });
        const [a, b] = [candidate(shared, table, SHORT), candidate(pool(), table, SHORT)];
        a.campaign();
        await until(() => a.amILeader());
        const seen = await exhaust(shared, a, b);
        assert.ok(seen.lastLed > 0 && seen.lastLed < seen.followedAt, "two at a time");
        assert.deepEqual([...new Set(seen.told)], ["atRisk", "stopNewWork", "deposed"]);
        witness.atMost(seen.deposedAt - seen.lastLed, 500, "to be told of the end");
        seen.giveBack();
        await b.release();
        await a.release();
    });

    timed("fifty electors on one store keep short leases in few statements", async (witness) => {
        const shared = pool();
        let statements = 0;
        const counted = { query: (...given) => (statements++, shared.query(...given)) };
        const store = postgresStore(counted, fresh());
        const electors = Array.from({ length: 50 }, (_, number) => {
            return new Elector({ election: `e${number}`, store, ...SHORT });
        });
        let renewals = 0;
        for (const elector of electors) elector.on("renewed", () => (renewals += 1));
        for (const elector of electors) elector.campaign();
        await until(() => electors.every((elector) => elector.amILeader()));
        const tokens = electors.map(({ token }) => token);
        statements = renewals = 0;
        witness.reset();
        await sleep(5 * SHORT.leaseMs);
        const kept = electors.filter(({ token }, at) => token === tokens[at]).length;
        witness.holds(kept === 50, SHORT.leaseMs, `${kept} of 50 kept their leases`);
        const told = `${renewals} renewals took ${statements} statements`;
        console.log(told);
        witness.holds(renewals >= 50 * 15 && statements <= renewals / 20, SHORT.leaseMs, told);
        await Promise.all(electors.map((elector) => elector.release()));
    });

    timed("connections that the server ended are replaced within a lease of 6 s", async (witness) => {
        const leaseMs = 6_000;
        const a = candidate(pool({ application_name: "ended" }), fresh(), { leaseMs });
        a.campaign();
        await until(() => a.amILeader());
        const first = a.token;
        witness.reset();
        const ended = "pg_stat_activity WHERE application_name = 'ended'";
        const { rowCount } = await pool().query(`SELECT pg_terminate_backend(pid) FROM ${ended}`);
        assert.ok(rowCount >= 1, `${rowCount}`);
        await sleep(leaseMs + 1_000);
        witness.holds(a.token === first, leaseMs, `the lease was lost: ${a.lastError?.message}`);
        await a.release();
    });
});
