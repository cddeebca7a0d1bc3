// The scenarios of tests/api, on a fake clock that only the tests advance.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Elector, ElectorError, memoryStore, postgresStore } from "../dist/cjs/index.mjs";
import { settle } from "./clock.mjs";
import { LEASE, eventsOf, fake, leading } from "./fake.mjs";

test("after a release another candidate leads at once with a larger token", async () => {
    const { clock, candidate } = fake();
    const [first, second] = [candidate("a"), candidate("b")];
    const old = await leading(first, clock);
    second.campaign();
    await clock.advance(100);
    assert.equal(second.amILeader(), false, "the lease is held");
    assert.equal(second.leader().candidate, "a");
    await Promise.all([first.release(), clock.advance(1)]);
    assert.ok(second.token > old);
    assert.equal(first.amILeader(), false);
});

test("a release is confirmed even if a campaign follows", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    for (const end of ["release", "drained"]) {
        const old = await leading(elector, clock);
        if (end === "drained") elector.drain();
        const released = elector[end]();
        // As a timer that is due before the answer is read.
        elector.campaign();
        await clock.advance(1);
        await released;
        assert.ok(elector.token > old, "it leads again, for as long as this lasts");
    }
});

test("drained() resolves at once in a term later than the drained one", async () => {
    const { clock, store, candidate } = fake();
    const kept = async (promise) => {
        let done = false;
        void promise.then(() => (done = true));
        await settle();
        assert.equal(done, true, "it waits for the end of a term that does not drain");
    };
    for (const campaignsAtOnce of [false, true]) {
        const elector = candidate("a");
        const old = await leading(elector, clock);
        await kept(elector.drained());
        elector.drain();
        if (campaignsAtOnce) elector.campaign();
        store.failWith("unsent");
        await clock.advance(LEASE);
        assert.equal(elector.leadership.reason, "expired");
        store.failWith(undefined);
        elector.campaign();
        await clock.advance(LEASE);
        assert.ok(elector.token > old);
        await kept(elector.drained());
        assert.equal(elector.amILeader(), true, "it drains no term but that one");
        await Promise.all([elector.release(), clock.advance(1)]);
    }
});

test("release and drain take effect before they return", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    for (let round = 0; round < 20; round++) {
        await leading(elector, clock);
        void elector.release();
        assert.ok(!elector.amILeader() && elector.token === undefined);
        await clock.advance(2_000);
        await leading(elector, clock);
        elector.drain();
        assert.equal(elector.amILeader(), false);
        const kept = elector.leadership;
        assert.equal(kept.phase, "draining");
        assert.ok(kept.workForMs > 0 && kept.workForMs < kept.trustedForMs);
        void elector.drained();
        const { phase, workForMs, trustedForMs } = elector.leadership;
        assert.deepEqual([phase, workForMs, trustedForMs], ["standby", 0, 0]);
        await clock.advance(2_000);
    }
});

test("trust ends by the clock alone when the store hangs", async () => {
    const { clock, store, candidate } = fake();
    const elector = candidate("a");
    const events = eventsOf(elector);
    await leading(elector, clock);
    const goOn = store.hang();
    // The answer needs no timer.
    const { trustedForMs } = elector.leadership;
    assert.ok(trustedForMs < LEASE * 0.99 - 600, `${trustedForMs}`);
    clock.stall(trustedForMs - 1);
    assert.equal(elector.amILeader(), true);
    clock.stall(1.001);
    assert.equal(elector.amILeader(), false);
    assert.equal(elector.leadership.leading, false);
    await clock.advance(1_000);
    const names = events.map((change) => change.event);
    assert.ok(names.includes("stopNewWork"), names.join());
    assert.equal(events.findLast((change) => change.event === "deposed").reason, "expired");
    goOn();
    await clock.advance(1);
});

test("after the event loop was blocked for three leases the candidate never reports leader", async () => {
    const { clock, store, candidate } = fake();
    const [a, b] = [candidate("a"), candidate("b")];
    await leading(a, clock);
    clock.stall(3 * LEASE);
    // Asked first after waking: no timer and no answer has been handled yet.
    assert.equal(a.amILeader(), false);
    assert.equal(a.token, undefined);
    assert.equal(a.leadership.leading, false);
    b.campaign();
    await clock.advance(5_000);
    assert.ok([a, b].filter((elector) => elector.amILeader()).length <= 1);
    assert.equal(store.counted.batches > 1, true);
});

test("a store that answers again before the hard deadline keeps the term", async () => {
    const { clock, store, candidate } = fake();
    const elector = candidate("a");
    const token = await leading(elector, clock);
    const events = eventsOf(elector);
    store.failWith("unsent");
    await clock.advance(4_000);
    assert.equal(events[0].event, "atRisk");
    assert.match(elector.lastError.message, /told to fail/);
    store.failWith(undefined);
    await clock.advance(3_000);
    assert.ok(events.some((change) => change.event === "renewed"));
    assert.equal(elector.token, token);
    assert.equal(elector.lastError, undefined);
});

test("an acquired lease whose answer was lost is found and used", async () => {
    const { clock, store, candidate } = fake();
    store.failWith("unknown");
    const elector = candidate("a");
    elector.campaign();
    await clock.advance(50);
    assert.equal(elector.amILeader(), false);
    store.failWith(undefined);
    await clock.advance(3_000);
    assert.equal(elector.amILeader(), true, "the row carries this candidate's incarnation");
});

test("with progressGate, a host that does not call alive() loses its term", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a", { progressGate: true });
    const events = eventsOf(elector);
    await leading(elector, clock);
    for (let round = 0; round < 20; round++) {
        elector.alive();
        await clock.advance(LEASE / 4);
        assert.equal(elector.amILeader(), true);
    }
    await clock.advance(2 * LEASE);
    assert.equal(elector.amILeader(), false);
    assert.equal(events.findLast((change) => change.event === "deposed").reason, "stalled");
});

test("a strict candidate takes over only after a full lease of its own clock", async () => {
    const { clock, store, candidate } = fake();
    const first = candidate("a");
    await leading(first, clock);
    const second = candidate("b", { strict: true });
    second.campaign();
    await clock.advance(100);
    const goOn = store.hang();
    clock.stall(LEASE);
    goOn();
    await first.release();
    await clock.advance(LEASE - 1_000);
    assert.equal(second.amILeader(), false);
    await clock.advance(3 * LEASE);
    assert.equal(second.amILeader(), true);
});

test("disposing an elector releases the lease and ends its changes", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    await leading(elector, clock);
    const changes = elector.changes();
    await Promise.all([elector[Symbol.asyncDispose](), clock.advance(10)]);
    const names = [];
    for await (const change of changes) names.push(change.event);
    assert.deepEqual(names, ["deposed", "leaderChanged"]);
    assert.equal(clock.timers, 0);
});

test("electors on one store share batches, and each gets its own answers", async () => {
    const { clock, store } = fake();
    const electors = Array.from({ length: 500 }, (_, number) => {
        return new Elector({ election: `e${number}`, store, clock, leaseMs: LEASE });
    });
    for (const elector of electors) elector.campaign();
    await clock.advance(10);
    assert.equal(store.counted.batches, 1);
    assert.equal(store.counted.operations, 500);
    assert.ok(electors.every((elector) => elector.amILeader()));
    await clock.advance(60_000);
    assert.ok(electors.every((elector) => elector.amILeader()));
    const renewals = store.counted.operations - 500;
    assert.ok(renewals >= 500 * 18, `${renewals}`);
    const { batches } = store.counted;
    assert.ok(batches < renewals / 100, `${batches} batches for ${renewals} renewals`);
});

test("wrong options are refused by the constructor", async () => {
    const store = memoryStore();
    const wrong = [
        [{ store }, /`election` is missing/],
        [{ election: "", store }, /the election name is empty/],
        [{ election: "x".repeat(256), store }, /256 bytes/],
        [{ election: "e" }, /`store` is missing/],
        [{ election: "e", store, leaseMs: 5 }, /a lease of 5 ms is out of bounds/],
        [{ election: "e", store, renewMs: 9_000 }, /three renewal attempts do not fit/],
        [{ election: "e", store, leaseMs: "10s" }, /`leaseMs` is 10s/],
        [{ election: "e", store, jitterMs: NaN }, /`jitterMs` is NaN/],
        [{ election: "e", store, candidate: 7 }, /`candidate` is not a string/],
        [{ election: "e", store, meta: "é".repeat(32_769) }, /the meta text has 65538 bytes; at most 65536/],
    ];
    for (const [options, message] of wrong) {
        assert.throws(() => new Elector(options), (error) => {
            assert.ok(error instanceof ElectorError && error.code === "INVALID_OPTIONS", String(error));
            assert.match(error.message, message);
            return true;
        });
    }
    assert.equal(store.counted.batches, 0);
});

test("a text with a lone surrogate is refused", () => {
    for (const name of ["election", "candidate", "meta"]) {
        const message = new RegExp(`^\`${name}\` has half a character`);
        const refusal = { code: "INVALID_OPTIONS", message };
        const make = (text) => new Elector({ election: "e", store: memoryStore(), [name]: text });
        for (const text of ["a\u{1f600}".slice(0, 2), "\u{1f600}b".slice(1)]) {
            assert.throws(() => make(text), refusal);
        }
        assert.equal(make("a\u{1f600}\u00e9").amILeader(), false);
    }
});

test("changes that are read late arrive in order and complete", async () => {
    const { clock, store, candidate } = fake();
    const elector = candidate("a");
    const live = eventsOf(elector);
    const late = elector.changes();
    await leading(elector, clock);
    for (let round = 0; round < 30; round++) {
        await clock.advance(8_000);
        store.failWith("unsent");
        await clock.advance(5_000);
        store.failWith(undefined);
        await clock.advance(8_000);
    }
    void elector.release();
    await clock.advance(1);
    await elector[Symbol.asyncDispose]();
    const read = [];
    for await (const change of late) read.push(change);
    const turns = (changes) => changes.filter((change) => change.event !== "renewed");
    assert.deepEqual(turns(read), turns(live));
    assert.ok(turns(read).length > 60);
    assert.ok(read.every((change, at) => !(change.event === "renewed" && read[at + 1]?.event === "renewed")));
});

test("a listener that releases or throws does not disturb other listeners", async () => {
    const { clock, candidate } = fake();
    const said = [];
    const elector = candidate("a", { logger: { error: (message) => said.push(message) } });
    const order = [];
    elector.on("elected", () => {
        void elector.release();
        throw new Error("of the listener");
    });
    elector.on("elected", () => order.push(`elected ${elector.amILeader()}`));
    elector.on("deposed", () => order.push("deposed"));
    elector.campaign();
    await clock.advance(10);
    assert.deepEqual(order, ["elected false", "deposed"]);
    assert.deepEqual(said, ["a listener of elected threw: of the listener"]);
});

test("a logger that throws hides no event from listeners and ends no term", async () => {
    const { clock, store, candidate } = fake();
    const logger = Object.fromEntries(["debug", "info", "warn", "error"].map((level) => [level, () => {
        throw new Error("of the logger");
    }]));
    const elector = candidate("a", { logger });
    const all = eventsOf(elector);
    const token = await leading(elector, clock);
    store.failWith("unsent");
    await clock.advance(LEASE / 2);
    store.failWith(undefined);
    await clock.advance(LEASE);
    assert.equal(elector.token, token);
    assert.deepEqual(all.slice(0, 2).map((change) => change.event), ["elected", "leaderChanged"]);
    assert.ok(all.some((change) => change.event === "atRisk") && all.at(-1).event === "renewed");
});

// The logger blocks the event loop, and so the timer of the renewals.
test("while a logger blocks, renewals stop and trust ends by the clock", async () => {
    const { clock, candidate } = fake();
    const answers = [];
    const logger = {
        info: (message) => {
            if (answers.length > 0 || !message.endsWith(": elected")) return;
            answers.push(elector.amILeader());
            clock.stall(LEASE);
            answers.push(elector.amILeader(), elector.token);
        },
    };
    const elector = candidate("a", { logger });
    const all = eventsOf(elector);
    elector.campaign();
    await clock.advance(LEASE / 2);
    assert.deepEqual(answers, [true, false, undefined]);
    const turns = all.filter((change) => change.event === "elected" || change.event === "deposed");
    assert.deepEqual(turns.slice(0, 2).map((change) => change.reason), [undefined, "expired"]);
    assert.ok(turns[2].token > turns[0].token && elector.amILeader(), "it stands again");
});

test("confirm() asks the store, and ends a term that has ended there", async () => {
    const { clock, store, candidate } = fake();
    const elector = candidate("a");
    assert.equal((await elector.confirm()).leading, false);
    const token = await leading(elector, clock);
    assert.equal((await elector.confirm()).token, token);
    store.deleteRow("e");
    assert.equal(elector.amILeader(), true);
    assert.equal((await elector.confirm()).leading, false);
    assert.equal(elector.amILeader(), false);
    await clock.advance(2_000);
    store.failWith("unsent");
    await assert.rejects(elector.confirm(), { code: "STORE" });
    // The wait for a hanging store is bounded.
    store.failWith(undefined);
    await clock.advance(2_000);
    await leading(elector, clock);
    const goOn = store.hang();
    const late = assert.rejects(elector.confirm(), /no answer/);
    await clock.advance(LEASE / 2);
    await late;
    goOn();
    await clock.advance(1);
});

test("on a host without timers, step() campaigns, renews and takes over", async () => {
    const { clock, store } = fake();
    const still = { now: clock.now, setTimeout: () => 0, clearTimeout: () => {} };
    const elector = new Elector({ election: "e", store, clock: still, leaseMs: LEASE });
    elector.campaign();
    const first = await elector.step();
    assert.equal(first.leadership.leading, true);
    assert.ok(first.nextMs > 0 && first.nextMs <= LEASE * 0.3, `${first.nextMs}`);
    const token = elector.token;
    for (let round = 0; round < 20; round++) {
        clock.stall((await elector.step()).nextMs);
        assert.equal((await elector.step()).leadership.token, token);
    }
    clock.stall(LEASE);
    assert.equal(elector.amILeader(), false);
    assert.equal(elector.token, undefined);
    // This call ends that term and begins another.
    const { leadership } = await elector.step();
    assert.equal(leadership.leading, true);
    assert.ok(leadership.token > token, `${leadership.token} after ${token}`);
});

test("after a panic calls throw its message, and the elector never leads", async () => {
    const { clock, candidate } = fake();
    const [elector, other] = [candidate("a"), candidate("b")];
    const token = await leading(elector, clock);
    const events = eventsOf(elector);
    elector.tell((machine) => machine.panic("as a fault would"));
    assert.equal(elector.amILeader(), false);
    assert.equal(elector.leadership.leading, false);
    assert.equal(elector.leader(), undefined);
    assert.deepEqual(events.map(({ event, token: of }) => [event, of]), [["deposed", token]]);
    assert.equal(elector.lastError.code, "PANIC");
    assert.match(elector.lastError.message, /the lease machine panicked: as a fault would/);
    assert.throws(() => elector.campaign(), { code: "PANIC" });
    await elector.release();
    await clock.advance(LEASE);
    assert.equal(elector.amILeader(), false);
    // Other electors of the module go on.
    other.campaign();
    await clock.advance(LEASE);
    assert.equal(other.amILeader(), true);
});

test("a PostgreSQL error has the core's verdict, however its client wraps the error", async () => {
    const request = { id: 1, deadlineMs: Infinity, op: "look" };
    const types = {
        id: "text", leader_id: "text", expires_at: "timestamp with time zone",
        created_at: "timestamp with time zone", token: "bigint", lease_ms: "bigint", meta: "text",
    };
    const table = Object.entries(types).map(([name, type]) => {
        return { name, type, is_key: name === "id", is_demanded: false, is_logged: true };
    });
    for (const [code, severity, failure, advice = /cannot /] of [
        ["40003", "ERROR", "unknown"],
        ["42P05", "ERROR", "unsent"],
        ["42P01", "ERROR", "refused"],
        ["57P01", "FATAL", "unknown"],
        ["ECONNREFUSED", undefined, "unsent"],
        ["ECONNRESET", undefined, "unknown"],
        ["EPIPE", undefined, "unknown"],
        ["EMFILE", undefined, "unsent", /no file descriptor is left/],
    ]) {
        const told = Object.assign(new Error("so it is"), { code, severity });
        for (const error of [told, Object.assign(new Error("wrapped"), { driverError: told })]) {
            const query = async (text) => {
                if (text.includes("pg_attribute")) return { rows: table };
                throw error;
            };
            const store = postgresStore({ query });
            const answers = [];
            await store.execute([{ election: "e", request }], (job, reply, { message }) => {
                answers.push([reply.outcome, advice.test(message)]);
            });
            assert.deepEqual(answers, [[failure, true]], code);
        }
    }
});

test("a connection error of a host with several addresses contains each address's error", async () => {
    const said = ["::1:5432", "127.0.0.1:5432"].map((address) => `connect ECONNREFUSED ${address}`);
    const refused = new AggregateError(said.map((message) => new Error(message)), "");
    const store = postgresStore({ query: () => Promise.reject(refused) });
    const request = { id: 1, deadlineMs: Infinity, op: "look" };
    let told;
    await store.execute([{ election: "e", request }], (_job, _reply, error) => (told = error.message));
    assert.ok(told.endsWith(`: ${said.join(", ")}`), told);
});
