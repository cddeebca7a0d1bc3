// Work in `runAsLeader`: when it ends, and how its term ends then.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LEASE, eventsOf, fake, leading } from "./fake.mjs";

function deadlinesOf({ trustedForMs, workForMs }) {
    return [trustedForMs, workForMs].map(Math.round);
}

test("work runs in a term, and its result is returned after the release", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    let term;
    const run = elector.runAsLeader(async (given) => {
        term = given;
        const { token, signal } = term;
        assert.equal(token, elector.token);
        assert.equal(signal.aborted, false);
        const before = deadlinesOf(term);
        assert.deepEqual(before, deadlinesOf(elector.leadership));
        assert.equal(before[0] - before[1], LEASE / 10, "the grace");
        clock.stall(100);
        assert.deepEqual(deadlinesOf(term), before.map((ms) => ms - 100), "from each reading");
        return `done under ${typeof token}`;
    });
    await clock.advance(10);
    assert.equal(await run, "done under bigint");
    assert.equal(elector.amILeader(), false);
    assert.deepEqual(deadlinesOf(term), [0, 0]);
    await clock.advance(3 * LEASE);
    assert.equal(clock.timers, 0, "an elector that stands by has no timers");
});

test("work is aborted at the soft deadline and called again under a larger token", async () => {
    const { clock, store, candidate } = fake();
    const elector = candidate("a");
    const tokens = [];
    let abortedWithMs;
    const run = elector.runAsLeader(async ({ token, signal }) => {
        tokens.push(token);
        if (tokens.length === 2) return "second time";
        store.failWith("unsent");
        const trustedUntil = clock.now() + elector.leadership.trustedForMs;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        abortedWithMs = trustedUntil - clock.now();
        store.failWith(undefined);
        throw signal.reason;
    });
    await clock.advance(3 * LEASE);
    assert.equal(await run, "second time");
    assert.ok(tokens[1] > tokens[0]);
    assert.ok(abortedWithMs >= LEASE / 10 - 1, `only ${abortedWithMs} ms before trust ends`);
});

test("a candidate whose work was cut off does not lead until the work has returned", async () => {
    for (const isLost of [false, true]) {
        const { clock, store, candidate } = fake();
        const [first, second] = [candidate("a"), candidate("b")];
        const terms = [];
        const ledWhenTold = [];
        const run = first.runAsLeader(({ token, signal }) => new Promise((end) => {
            terms.push({ token, signal, end });
            signal.addEventListener("abort", () => ledWhenTold.push(first.amILeader()));
        }));
        await clock.advance(10);
        // The store answers again before or after the hard deadline.
        store.failWith("unsent");
        while (!terms[0].signal.aborted) await clock.advance(50);
        if (isLost) await clock.advance(LEASE);
        store.failWith(undefined);
        first.campaign();
        await clock.advance(LEASE / 4);
        const { phase, token } = first.leadership;
        assert.deepEqual([phase, token], isLost ? ["standby", undefined] : ["draining", terms[0].token]);
        second.campaign();
        await clock.advance(3 * LEASE);
        assert.deepEqual([first.amILeader(), second.amILeader()], [false, true], "the work hangs");
        const { token: later } = second;
        terms[0].end("late");
        await clock.advance(10);
        void second.release();
        await clock.advance(LEASE);
        assert.ok(terms[1].token > later, "called again");
        terms[1].end("in time");
        await clock.advance(10);
        assert.equal(await run, "in time");
        assert.deepEqual(ledWhenTold, [false]);
    }
});

test("a release or drain during work ends the run with RELEASED", async () => {
    for (const give of ["release", "drain"]) {
        const { clock, candidate } = fake();
        const elector = candidate("a");
        const run = elector.runAsLeader(({ signal }) => {
            return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        });
        const ended = assert.rejects(run, { code: "RELEASED" });
        await clock.advance(10);
        void elector[give]();
        await clock.advance(3 * LEASE);
        await ended;
        assert.equal(elector.leadership.phase, "standby");
    }
});

test("a release while a run waits for its election ends the run", async () => {
    const { clock, candidate } = fake();
    const [first, second] = [candidate("a"), candidate("b")];
    await leading(first, clock);
    const ended = assert.rejects(second.runAsLeader(() => "never"), { code: "RELEASED" });
    await clock.advance(10);
    void second.release();
    await clock.advance(LEASE);
    await ended;
});

test("an aborted run rejects with the signal's reason, and a failed run with the work's error", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    const controller = new AbortController();
    const run = elector.runAsLeader(({ signal }) => {
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }, { signal: controller.signal });
    const ended = assert.rejects(run, /enough/);
    await clock.advance(10);
    controller.abort(new Error("enough"));
    await clock.advance(10);
    await ended;
    assert.equal(elector.amILeader(), false);
    const work = () => {
        throw new TypeError("of the work");
    };
    const thrown = assert.rejects(elector.runAsLeader(work), /of the work/);
    await clock.advance(3 * LEASE);
    await thrown;
});

test("after an abort the lease is kept until the work has returned", async () => {
    const { clock, candidate } = fake();
    const [first, second] = [candidate("a"), candidate("b")];
    const controller = new AbortController();
    let finish;
    let ledWhenTold;
    const run = first.runAsLeader(({ signal }) => new Promise((resolve) => {
        assert.equal(signal.aborted, false);
        signal.addEventListener("abort", () => (ledWhenTold = first.amILeader()));
        finish = () => resolve(assert.match(signal.reason.message, /enough/));
    }), { signal: controller.signal, drainMs: 10 * LEASE });
    const ended = assert.rejects(run, /enough/);
    await clock.advance(10);
    const { token } = first;
    second.campaign();
    controller.abort(new Error("enough"));
    assert.deepEqual([ledWhenTold, first.amILeader()], [false, false], "nothing new is begun");
    await clock.advance(3 * LEASE);
    assert.deepEqual([first.leadership.phase, first.leadership.token], ["draining", token]);
    assert.equal(second.amILeader(), false, "the work goes on");
    finish();
    await clock.advance(10);
    await ended;
    assert.equal(first.leadership.phase, "standby");
    await clock.advance(LEASE);
    assert.ok(second.token > token);
});

test("work that ignores the abort is renewed for drainMs at most, and then the lease expires", async () => {
    const { clock, candidate } = fake();
    const [first, second] = [candidate("a"), candidate("b")];
    const events = eventsOf(first);
    const controller = new AbortController();
    let finish;
    const work = () => new Promise((resolve) => (finish = resolve));
    const run = first.runAsLeader(work, { signal: controller.signal });
    const ended = assert.rejects(run, { name: "AbortError" });
    await clock.advance(10);
    second.campaign();
    controller.abort();
    // The default `drainMs` is half a lease.
    await clock.advance(LEASE / 2);
    assert.ok(first.leadership.token !== undefined && !second.amILeader());
    await clock.advance(1.5 * LEASE);
    assert.equal(first.leadership.token, undefined);
    assert.equal(events.findLast((change) => change.event === "deposed").reason, "stalled");
    assert.equal(second.amILeader(), true);
    finish();
    await clock.advance(10);
    await ended;
    assert.equal(second.amILeader(), true);
});

test("a run that stops before it is elected does not end a drain of other work", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    const token = await leading(elector, clock);
    elector.drain();
    const controller = new AbortController();
    const work = () => assert.fail("the other work goes on");
    const run = elector.runAsLeader(work, { signal: controller.signal });
    const ended = assert.rejects(run, { name: "AbortError" });
    await clock.advance(10);
    controller.abort();
    await clock.advance(10);
    await ended;
    assert.deepEqual([elector.leadership.phase, elector.leadership.token], ["draining", token]);
    void elector.drained();
    await clock.advance(3 * LEASE);
    assert.equal(elector.leadership.phase, "standby");
});

test("a second run on one elector is refused with BUSY, and drainMs must be a number", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    for (const drainMs of [-1, NaN, "1"]) {
        await assert.rejects(elector.runAsLeader(() => 0, { drainMs }), { code: "INVALID_OPTIONS" });
    }
    let signal;
    let finish;
    const work = (term) => new Promise((resolve) => ([signal, finish] = [term.signal, resolve]));
    const run = elector.runAsLeader(work);
    await clock.advance(10);
    await assert.rejects(elector.runAsLeader(() => assert.fail("two at once")), { code: "BUSY" });
    elector.campaign();
    assert.ok(elector.amILeader() && !signal.aborted, "neither ends what the first one does");
    finish("done");
    await clock.advance(10);
    assert.equal(await run, "done");
    const again = elector.runAsLeader(() => "again");
    await clock.advance(LEASE);
    assert.equal(await again, "again");
});

test("changes of a long term do not pile up while work runs", async () => {
    const { clock, candidate } = fake();
    const elector = candidate("a");
    const made = [];
    const changes = elector.changes.bind(elector);
    elector.changes = () => {
        const opened = changes();
        made.push(opened);
        return opened;
    };
    const open = async () => {
        const states = await Promise.all(made.map((one) => Promise.race([one.next(), "open"])));
        return states.filter((state) => state === "open" || !state.done).length;
    };
    const run = elector.runAsLeader(open);
    await clock.advance(10);
    assert.deepEqual([await run, made.length], [0, 1]);
});
