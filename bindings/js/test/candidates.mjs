// Electors on a PostgreSQL of the calling file's own.
import { after, before } from "node:test";
import { Elector, postgresStore } from "../dist/cjs/index.mjs";
import { makePool, startServer } from "./server.mjs";
import { until } from "./support.mjs";

/** Has the tests of a suite run with a server; makes schemas' names, pools and candidates for it. */
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

/** Has `a` lead, and `b` stand by and know of it. */
export async function leadAndStandBy(a, b) {
    a.campaign();
    await until(() => a.amILeader());
    b.campaign();
    await until(() => b.leader());
}

/** The tokens under which an elector is elected from now on. */
export function tokensOf(elector) {
    const tokens = [];
    elector.on("elected", ({ token }) => tokens.push(token));
    return tokens;
}

/** How often an elector is renewed from now on. */
export function renewalsOf(elector) {
    const counted = { renewals: 0 };
    elector.on("renewed", () => (counted.renewals += 1));
    return counted;
}

/**
 * Exhausts the pool of `a`, which leads, and waits until `b` leads. Resolves to what `a` was told, when it
 * was last seen to lead, when it was told that it was deposed, and when `b` was elected.
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
