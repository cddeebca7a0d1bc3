// The properties of src/testing/conformance, with the same names.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { sleep, until } from "./support.mjs";

const LEASE = 120_000;
const holder = (name) => `${name}#0000000000000001`;
let lastId = 0;

function job(election, request) {
    return { election, request: { id: ++lastId, deadlineMs: Infinity, ...request } };
}

async function execute(store, jobs) {
    const replies = new Map();
    await store.execute(jobs, (answered, reply) => {
        assert.equal(replies.has(answered), false, "answered twice");
        assert.equal(reply.id, answered.request.id);
        replies.set(answered, reply);
    });
    return jobs.map((each) => replies.get(each) ?? assert.fail("not answered"));
}

const acquiring = (name, leaseMs = LEASE, unchanged = { condition: "any" }, meta = `${name}'s`) => {
    return { op: "acquire", holder: holder(name), leaseMs, meta, ...unchanged };
};
const renewing = (name, token, leaseMs = LEASE) => ({ op: "renew", holder: holder(name), token, leaseMs });
const releasing = (name, token) => ({ op: "release", holder: holder(name), token });
const one = async (store, election, request) => (await execute(store, [job(election, request)]))[0];
const look = async (store, election) => (await one(store, election, { op: "look" })).row;

async function granted(store, election, name, leaseMs = LEASE) {
    const reply = await one(store, election, acquiring(name, leaseMs));
    assert.equal(reply.outcome, "granted");
    return reply.token;
}

async function grantedAtLast(store, election, name) {
    for (;;) {
        const reply = await one(store, election, acquiring(name));
        if (reply.outcome === "granted") return reply.token;
        await sleep(2);
    }
}

/**
 * The time from the acquire of a lease of 300 ms until it is granted to another candidate after its expiry.
 */
async function granting(open) {
    const [a, b] = [open(), open()];
    await look(b, "e");
    const start = performance.now();
    const first = await granted(a, "e", "a", 300);
    const second = await grantedAtLast(b, "e", "b");
    const waited = performance.now() - start;
    assert.ok(second > first);
    return waited;
}

export const properties = {
    async "one of eight racing candidates is granted the lease"({ open }) {
        const stores = Array.from({ length: 8 }, () => open());
        for (let round = 0; round < 10; round++) {
            const race = async (store, who) => {
                for (;;) {
                    const { outcome } = await one(store, `race ${round}`, acquiring(`c${who}`));
                    // A locked file is a reason to retry, not an answer.
                    if (outcome !== "unsent") return outcome;
                }
            };
            const outcomes = await Promise.all(stores.map(race));
            assert.equal(outcomes.filter((outcome) => outcome === "granted").length, 1, outcomes.join());
        }
    },
    async "a held lease is shown and not granted"({ open }) {
        const [a, b] = [open(), open()];
        const token = await granted(a, "e", "a");
        for (const store of [a, b]) {
            const { outcome, row } = await one(store, "e", acquiring("b"));
            assert.equal(outcome, "seen");
            assert.deepEqual([row.holder, row.token, row.leaseMs], [holder("a"), token, LEASE]);
            assert.ok(row.remainingUs > 60_000_000n && row.remainingUs <= 120_000_000n, `${row.remainingUs}`);
        }
        assert.equal((await one(a, "e", acquiring("a"))).row.token, token);
    },
    async "an expired lease is granted and not before"({ open }) {
        const waited = await granting(open);
        // SQLite's clock has whole milliseconds.
        assert.ok(waited >= 299, `${waited}`);
    },
    async "a lease counts from the execution of the acquire"({ open }) {
        const a = open();
        const { nowUs } = await one(a, "e", acquiring("a"));
        assert.equal((await look(a, "e")).expiresUs, nowUs + 120_000_000n);
    },
    async "only the holder renews"({ open }) {
        const a = open();
        const token = await granted(a, "e", "a");
        const was = await look(a, "e");
        await sleep(3);
        assert.equal((await one(a, "e", renewing("b", token))).outcome, "lost");
        assert.equal((await one(a, "e", renewing("a", token + 1n))).outcome, "lost");
        assert.equal((await one(a, "none", renewing("a", token))).outcome, "lost");
        assert.equal((await look(a, "e")).expiresUs, was.expiresUs);
        assert.equal((await one(a, "e", renewing("a", token))).outcome, "renewed");
        assert.ok((await look(a, "e")).expiresUs > was.expiresUs);
    },
    async "an expired lease cannot be renewed"({ open }) {
        const a = open();
        const token = await granted(a, "e", "a", 20);
        while ((await look(a, "e")).remainingUs > 0n) await sleep(1);
        assert.equal((await one(a, "e", renewing("a", token))).outcome, "lost");
    },
    async "only the holder releases"({ open }) {
        const a = open();
        const token = await granted(a, "e", "a");
        await execute(a, [job("e", releasing("b", token)), job("e", releasing("a", token + 1n)),
            job("none", releasing("a", token))]);
        assert.equal((await look(a, "e")).holder, holder("a"));
        assert.equal(await look(a, "none"), undefined);
    },
    async "a released row keeps its token and is free at once"({ open }) {
        const [a, b] = [open(), open()];
        const token = await granted(a, "e", "a");
        assert.equal((await one(a, "e", releasing("a", token))).outcome, "released");
        await sleep(2);
        const row = await look(b, "e");
        assert.deepEqual([row.holder || undefined, row.token, row.remainingUs], [undefined, token, 0n]);
        assert.equal((await one(a, "e", renewing("a", token))).outcome, "lost");
        assert.ok((await granted(b, "e", "b")) > token);
    },
    async "a late release does not end the next term"({ open }) {
        const a = open();
        const first = await granted(a, "e", "a");
        await one(a, "e", releasing("a", first));
        const second = await grantedAtLast(a, "e", "a");
        await one(a, "e", releasing("a", first));
        assert.equal((await one(a, "e", renewing("a", second))).outcome, "renewed");
    },
    async "tokens grow through every end of a term"({ open }) {
        let last = await granted(open(), "e", "a", 1);
        for (let round = 0; round < 10; round++) {
            const store = open();
            const token = await grantedAtLast(store, "e", "a");
            assert.ok(token > last);
            last = token;
            if (round % 2 === 0) await one(store, "e", releasing("a", token));
            else assert.equal((await one(store, "e", renewing("a", token, 1))).outcome, "renewed");
        }
    },
    async "tokens are not below the microseconds since 1970"({ open }) {
        const before = BigInt(Date.now() - 1) * 1_000n;
        const token = await granted(open(), "e", "a");
        assert.ok(token >= before && token <= BigInt(Date.now() + 1) * 1_000n);
    },
    async "an acquire of an unchanged row is refused if it changed"({ open }) {
        const [a, b] = [open(), open()];
        const version = ({ token, expiresUs }) => {
            return { condition: "same", rowToken: token, rowExpiresUs: expiresUs };
        };
        const token = await granted(a, "e", "a");
        const held = version(await look(b, "e"));
        await one(a, "e", releasing("a", token));
        await sleep(2);
        for (const unchanged of [{ condition: "absent" }, held]) {
            assert.equal((await one(b, "e", acquiring("b", LEASE, unchanged))).outcome, "seen");
        }
        const free = version(await look(b, "e"));
        assert.equal((await one(b, "e", acquiring("b", LEASE, free))).outcome, "granted");
        assert.equal((await one(b, "e2", acquiring("b", LEASE, held))).outcome, "seen");
        assert.equal((await one(b, "e2", acquiring("b", LEASE, { condition: "absent" }))).outcome, "granted");
    },
    async "a look changes nothing"({ open }) {
        const [a, b] = [open(), open()];
        assert.equal(await look(b, "e"), undefined);
        assert.equal(await look(b, "e"), undefined);
        await granted(a, "e", "a");
        const [first, second] = [await look(b, "e"), await look(b, "e")];
        assert.deepEqual([first.token, first.expiresUs], [second.token, second.expiresUs]);
        assert.ok(second.remainingUs <= first.remainingUs);
    },
    async "meta is shown while the term lasts"({ open }) {
        const a = open();
        const token = await granted(a, "e", "a");
        assert.equal((await look(a, "e")).meta, "a's");
        await one(a, "e", renewing("a", token));
        assert.equal((await look(a, "e")).meta, "a's");
        await one(a, "e", releasing("a", token));
        assert.equal((await look(a, "e")).meta, undefined);
    },
    async "every name is kept exactly"({ open }) {
        const a = open();
        const names = ["'", "\"", "\\", "'; DROP TABLE leader_lease; --", "a b\t\n", "日本語 🗳", "%_?",
            "{a,b}", "NULL", "1", "01", " 1", `${"ü".repeat(127)}x`];
        const given = names.map((name) => {
            return job(name, { ...acquiring("x", LEASE, { condition: "any" }, name), holder: holder(name) });
        });
        const tokens = (await execute(a, given)).map((reply) => reply.token);
        for (const [at, name] of names.entries()) {
            const row = await look(a, name);
            assert.deepEqual([row.token, row.holder, row.meta], [tokens[at], holder(name), name]);
        }
    },
    async "a batch is answered in order"({ open }) {
        const a = open();
        const token = await granted(a, "held", "a");
        const replies = await execute(a, [
            job("held", renewing("a", token)), job("new", acquiring("a")), job("held", renewing("b", token)),
            job("none", { op: "look" }), job("held", { op: "look" }),
        ]);
        assert.deepEqual(replies.map(({ outcome, row }) => [outcome, row?.token === token]), [
            ["renewed", false], ["granted", false], ["lost", false], ["seen", false], ["seen", true],
        ]);
    },
    async "a batch grants an election once"({ open }) {
        const a = open();
        const token = await granted(a, "e", "a");
        await one(a, "e", releasing("a", token));
        await sleep(2);
        const jobs = [job("e", acquiring("b")), job("e", acquiring("c")), job("e", { op: "look" })];
        const [b, c, seen] = await execute(a, jobs);
        assert.equal([b, c].filter(({ outcome }) => outcome === "granted").length, 1);
        assert.equal(seen.row.holder, holder(b.outcome === "granted" ? "b" : "c"));
    },
    async "two thousand jobs are one batch"({ open }) {
        const a = open();
        const names = Array.from({ length: 2_000 }, (_, number) => `election ${number}`);
        const grants = await execute(a, names.map((name) => job(name, acquiring("a"))));
        const renewals = names.map((name, at) => job(name, renewing("a", grants[at].token)));
        assert.ok((await execute(a, renewals)).every(({ outcome }) => outcome === "renewed"));
    },
    async "a release notifies every connection"({ open }) {
        const store = open();
        const notified = [];
        // A connection that starts listening is notified without a name: elections may have become free
        // before.
        const notify = (election) => election !== undefined && notified.push(election);
        const end = await store.listen(notify, () => {}, () => 1_000);
        const token = await granted(store, "e", "a");
        await one(store, "e", renewing("a", token));
        await one(store, "e", releasing("a", token));
        await until(() => notified.length > 0);
        assert.deepEqual(notified, ["e"]);
        await end();
    },
    async "replies carry one clock that goes forward"({ open }) {
        const [a, b] = [open(), open()];
        let last;
        for (let round = 0; round < 20; round++) {
            const { nowUs, timeline } = await one(round % 2 ? a : b, "e", { op: "look" });
            if (last) assert.ok(nowUs >= last.nowUs && timeline === last.timeline);
            last = { nowUs, timeline };
        }
    },
};

/** Properties whose subject is real time. */
export const timed = {
    async "an expired lease is granted within three seconds"({ open }) {
        const waited = await granting(open);
        assert.ok(waited < 3_000, `${waited}`);
    },
};

/** Tests each property on each store. */
export function prove(proven, places) {
    for (const [name, start] of Object.entries(places)) {
        describe(name, { concurrency: 1 }, () => {
            let place;
            before(async () => (place = await start()));
            after(() => place?.close());
            for (const [property, holds] of Object.entries(proven)) {
                test(property, async () => {
                    const fresh = place.fresh();
                    await holds(fresh);
                    await fresh.close();
                });
            }
        });
    }
}
