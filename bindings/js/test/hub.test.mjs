// Electors on one store: hanging batches, and which electors report which errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Elector, StoreError, memoryStore } from "../dist/cjs/index.mjs";
import { FakeClock, settle } from "./clock.mjs";

const LEASE = 10_000;

/**
 * Electors on a store whose batches go through `take` first. The store awaits what `take` returns before it
 * executes a batch; with `false` it never executes it.
 */
function fake() {
    const clock = new FakeClock();
    const store = memoryStore(undefined, clock);
    const fake = { clock, store, asked: [], take: () => true };
    const execute = store.execute.bind(store);
    store.execute = async (jobs, answer) => {
        fake.asked.push(clock.now());
        if ((await fake.take(jobs, answer)) === false) await new Promise(() => {});
        await execute(jobs, answer);
    };
    fake.elector = (election, options = {}) => {
        return new Elector({ election, store, candidate: "a", clock, leaseMs: LEASE, ...options });
    };
    return fake;
}

const ops = (jobs) => jobs.map((job) => job.request.op);

async function leading(elector, clock) {
    elector.campaign();
    await clock.advance(1);
    assert.equal(elector.amILeader(), true, elector.lastError?.message);
}

async function isKept(promise) {
    let kept = false;
    void promise.then(() => (kept = true));
    await settle();
    return kept;
}

test("a client that never answers gets a bounded number of batches", async () => {
    const { clock, store, asked, elector } = fake();
    const a = elector("e");
    const goOn = store.hang();
    a.campaign();
    await clock.advance(20 * LEASE);
    assert.equal(a.amILeader(), false);
    // Four batches at once, and then one about every ten seconds.
    assert.ok(asked.length >= 15 && asked.length <= 24, `${asked.length} batches`);
    assert.match(a.lastError.message, /no answer in time.*pool exhausted/);
    const before = asked.length;
    let cleaned = 0;
    store.cleanUp = async () => void (cleaned += 1);
    await clock.advance(24 * 3_600_000);
    assert.ok(asked.length - before < 150, `${asked.length - before} batches in a day`);
    assert.equal(cleaned, 0, "nor is it given what can wait");
    goOn();
    await clock.advance(3 * LEASE);
    assert.equal(a.amILeader(), true);
    await settle();
});

test("a client that lost batches for ever is probed, and used again once it answers", async () => {
    const all = fake();
    const { clock, asked, elector } = all;
    const a = elector("e");
    await leading(a, clock);
    all.take = () => false;
    await clock.advance(10 * LEASE);
    assert.equal(a.amILeader(), false);
    assert.ok(asked.length > 4);
    // As a Worker's next request does, or a new connection of a pool with dead ones.
    all.take = () => true;
    await clock.advance(3 * LEASE);
    assert.equal(a.amILeader(), true);
    const { token } = a;
    await clock.advance(20 * LEASE);
    assert.equal(a.token, token, "what is lost for ever counts no more");
});

test("a hung acquire of a long lease does not depose the leader of a shorter lease", async () => {
    const all = fake();
    const { clock, elector } = all;
    const a = elector("short");
    const b = elector("long", { leaseMs: 60_000 });
    await leading(a, clock);
    const { token } = a;
    let hung = 0;
    all.take = () => hung++ > 0;
    b.campaign();
    await clock.advance(5 * 60_000);
    assert.ok(hung > 1);
    assert.equal(a.token, token, a.leadership.reason);
    assert.equal(b.amILeader(), true);
});

test("a hung renewal of a long lease does not depose the leader of a shorter lease", async () => {
    const all = fake();
    const { clock, elector } = all;
    const long = Array.from({ length: 3 }, (_, at) => elector(`long${at}`, { leaseMs: 60_000 }));
    for (const each of long) await leading(each, clock);
    const a = elector("short");
    await leading(a, clock);
    const tokens = [a, ...long].map((each) => each.token);
    let hung = 0;
    all.take = (jobs) => {
        const hangs = jobs.length > 0 && jobs.some((job) => job.election.startsWith("long"));
        hung += hangs ? 1 : 0;
        return !(hangs && hung <= 3);
    };
    await clock.advance(3 * 60_000);
    assert.ok(hung > 3, `${hung}`);
    assert.deepEqual([a, ...long].map((each) => each.token), tokens, a.leadership.reason);
});

test("an error is reported by the affected electors only, and logged once", async () => {
    const all = fake();
    const { clock, store, elector } = all;
    const said = [];
    const logger = { warn: (message) => said.push(message) };
    const execute = store.execute;
    store.execute = async (jobs, answer) => {
        const refused = jobs.filter((job) => job.election === "refused");
        for (const job of refused) {
            const error = new StoreError("refused", "of the refused election");
            answer(job, { id: job.request.id, outcome: "refused" }, error);
        }
        await execute(jobs.filter((job) => job.election !== "refused"), answer);
    };
    const [healthy, refused] = [elector("healthy", { logger }), elector("refused", { logger })];
    const seen = { healthy: new Set(), refused: new Set() };
    healthy.campaign();
    refused.campaign();
    await clock.advance(1);
    for (let round = 0; round < 200; round++) {
        await clock.advance(LEASE / 20);
        seen.healthy.add(healthy.lastError?.message);
        seen.refused.add(refused.lastError?.message);
    }
    assert.equal(healthy.amILeader(), true);
    assert.deepEqual([...seen.healthy], [undefined]);
    assert.deepEqual([...seen.refused], ["of the refused election"]);
    assert.deepEqual(said, ["of the refused election"]);
});

test("a late failure is ignored by an elector with a later success", async () => {
    const all = fake();
    const { clock, elector } = all;
    const a = elector("e");
    await leading(a, clock);
    let fail;
    all.take = (jobs) => new Promise((_, reject) => (fail ??= () => reject(new Error("the socket is dead"))));
    await clock.advance(6_000);
    const early = fail;
    assert.match(a.lastError.message, /no answer in time/);
    all.take = () => true;
    await clock.advance(LEASE / 2);
    assert.equal(a.lastError, undefined);
    early();
    await settle();
    assert.equal(a.lastError, undefined);
    assert.equal(a.amILeader(), true);
});

test("an outage for many electors is logged once, and each elector's lastError says why", async () => {
    const { clock, store, elector } = fake();
    const said = [];
    const logger = { warn: (message) => said.push(message) };
    const electors = Array.from({ length: 100 }, (_, at) => elector(`e${at}`, { logger }));
    for (const each of electors) each.campaign();
    await clock.advance(LEASE);
    assert.ok(electors.every((each) => each.amILeader()));
    store.failWith("unsent");
    await clock.advance(LEASE / 2);
    assert.ok(electors.every((each) => /told to fail/.test(each.lastError?.message)));
    assert.equal(said.length, 1, said.join("\n"));
    store.failWith(undefined);
    await clock.advance(LEASE / 2);
    assert.ok(electors.every((each) => each.lastError === undefined));
    assert.match(said[1], /^.*: the store answers again, after \d s$/);
    // Candidates whose jobs wait behind a hanging batch report it too.
    const goOn = store.hang();
    await clock.advance(LEASE);
    assert.equal(said.length, 3, said.join("\n"));
    assert.ok(electors.every((each) => /no answer in time/.test(each.lastError?.message)));
    goOn();
    await clock.advance(3 * LEASE);
    assert.ok(electors.every((each) => each.lastError === undefined && each.amILeader()));
    assert.equal(said.length, 4, said.join("\n"));
});

test("an outage with alternating errors is logged once for each, then rarely, then at its end", async () => {
    const { clock, store, elector } = fake();
    const said = [];
    const logger = { warn: (message) => said.push(message) };
    const electors = Array.from({ length: 10 }, (_, at) => elector(`e${at}`, { logger }));
    for (const each of electors) each.campaign();
    await clock.advance(LEASE);
    const { execute } = store;
    let batches = 0;
    store.execute = async (jobs, answer) => {
        batches += 1;
        const kind = batches % 2 ? "refused by port" : "cut off after";
        // Each message contains a different number.
        for (const job of jobs) {
            const error = new StoreError("unsent", `${kind} ${batches}`);
            answer(job, { id: job.request.id, outcome: "unsent" }, error);
        }
    };
    await clock.advance(4 * 60_000);
    assert.ok(batches > 50, `${batches}`);
    assert.equal(said.length, 2, said.join("\n"));
    await clock.advance(5 * 60_000);
    const again = said.slice(2);
    assert.equal(again.length, 2, said.join("\n"));
    const repeated = /^(refused by port|cut off after) \d+ \(for 3\d\d s so far\)$/;
    for (const line of again) assert.match(line, repeated);
    store.execute = execute;
    await clock.advance(LEASE);
    assert.equal(said.length, 5, said.join("\n"));
    assert.match(said[4], /: the store answers again, after 5\d\d s$/);
});

test("a lease granted after a release is released again, with retries until that succeeds", async () => {
    const all = fake();
    const { clock, store, elector } = all;
    const a = elector("e");
    let letGo;
    all.take = (jobs) => !ops(jobs).includes("acquire") || new Promise((resolve) => (letGo = resolve));
    a.campaign();
    await clock.advance(1);
    await Promise.all([a.release(), clock.advance(4 * LEASE)]);
    assert.equal(clock.timers, 0, "an elector that stands by has no timers");
    // As in a pool that was exhausted: the acquire gets its connection now, and the release after it gets
    // none.
    let lost = 0;
    all.take = () => lost++ > 0;
    letGo(true);
    await settle();
    assert.equal(lost, 1);
    const again = a.release();
    assert.equal(await isKept(again), false, "the store holds a lease for it");
    const b = elector("e", { candidate: "b", store, leaseMs: 60_000 });
    await clock.advance(0.9 * LEASE);
    assert.equal(await isKept(again), true, "before the lease ends by itself");
    assert.ok(lost > 1, "the release was tried again");
    await leading(b, clock);
    await Promise.all([b.release(), clock.advance(1)]);
    assert.equal(clock.timers, 0);
});
