// The packed package in a Worker, and in a Durable Object that an alarm wakes; the lease and raftq.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { LONG, until } from "./support.mjs";
import { isMisled, startWorkerd } from "./workerd.mjs";

let workerd;
before(async () => (workerd = await startWorkerd()));
after(() => workerd?.stop());

test("a Worker whose clock stands still learns from the store that its lease has expired", async () => {
    isMisled(await workerd.ask("/worker/ended"));
});

test("nodes of raftq in a Worker elect and replicate", async () => {
    assert.deepEqual(await workerd.ask("/worker/raftq"), { leaders: 1 });
});

test("a Durable Object woken by alarms renews its lease, and another leads after its release", async () => {
    const started = await workerd.stand({ ...LONG, renewMs: 500 });
    assert.equal(started.first.leading, true, started.error);
    let state;
    await until(async () => {
        state = await workerd.ask("/object/state");
        return state.alarms >= 5 && state.renewals >= 2;
    }, () => JSON.stringify(state));
    assert.equal(state.kept, true);
    assert.equal(state.first.token, started.first.token);
    const handed = await workerd.ask("/object/hand-over");
    assert.equal(handed.first.leading, false);
    assert.equal(handed.second.leading, true);
    assert.ok(BigInt(handed.second.token) > BigInt(started.first.token));
});
