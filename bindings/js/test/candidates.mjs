// Electors on a PostgreSQL server for the calling file.
import { after, before } from "node:test";
import { Elector, postgresStore } from "../dist/cjs/index.mjs";
import { makePool, startServer } from "./server.mjs";
import { until } from "./support.mjs";

/** Gives the tests of a suite a server, and makes names of schemas, pools and candidates for it. */
export function onPostgres() {
    let server;
    let schemas = 0;
    const pools = [];
    before(async () => (server = await startServer()));
    after(async () => {
        await Promise.all(pools.map((pool) => pool.end().catch(() => {})));
        await server?.stop();
    });
    return {
        get url() {
            return server.url;
        },
        get port() {
            return server.port;
        },
        fresh: () => ({ schema: `p${++schemas}` }),
        pool: (options = {}) => {
            const made = makePool({ connectionString: server.url, max: 3, ...options });
            pools.push(made);
            return made;
        },
        candidate: (client, options, more) => {
            return new Elector({ election: "e", store: postgresStore(client, options), ...more });
        },
    };
}

/** Waits until `a` leads, and `b` stands by and knows of it. */
export async function leadAndStandBy(a, b) {
    a.campaign();
    await until(() => a.amILeader());
    b.campaign();
    await until(() => b.leader());
}

/** Collects the tokens of an elector's elections from now on. */
export function tokensOf(elector) {
    const tokens = [];
    elector.on("elected", ({ token }) => tokens.push(token));
    return tokens;
}

/** Counts an elector's renewals from now on. */
export function renewalsOf(elector) {
    const counted = { renewals: 0 };
    elector.on("renewed", () => (counted.renewals += 1));
    return counted;
}

/**
 * Exhausts the pool of the leader `a`, and waits until `b` leads. Resolves to the events of `a`, to the last
 * instant at which `a` was seen to lead, and to the instants of its `deposed` and of the election of `b`.
 */
export async function exhaust(shared, a, b) {
    const seen = { told: [], lastLed: -Infinity, deposedAt: undefined, followedAt: undefined };
    for (const name of ["atRisk", "stopNewWork", "deposed"]) {
        a.on(name, ({ event }) => seen.told.push(event));
    }
    a.on("deposed", () => (seen.deposedAt ??= performance.now()));
    b.on("elected", () => (seen.followedAt ??= performance.now()));
    b.campaign();
    const taken = await shared.connect();
    await until(() => {
        const asked = performance.now();
        if (a.amILeader()) seen.lastLed = asked;
        return seen.deposedAt !== undefined && seen.followedAt !== undefined;
    });
    return { ...seen, giveBack: () => taken.release() };
}
