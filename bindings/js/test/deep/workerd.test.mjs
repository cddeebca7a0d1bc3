// The packed package in workerd, with leases of two seconds that really end.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { sleep } from "../support.mjs";
import { isMisled, startWorkerd } from "../workerd.mjs";

let workerd;
before(async () => (workerd = await startWorkerd()));
after(() => workerd?.stop());

test("a Worker that computes for two leases learns from the store that its lease has ended", async () => {
    isMisled(await workerd.ask("/worker/spins"));
});

test("a Durable Object that an alarm wakes keeps a short lease for long", async () => {
    const started = await workerd.stand({ leaseMs: 2_000, marginMs: 200 });
    assert.equal(started.first.leading, true, started.error);
    await sleep(5_000);
    const later = await workerd.ask("/object/state");
    assert.ok(later.alarms >= 5, `${later.alarms} alarms`);
    assert.equal(later.kept, true, "its term lasts for two leases and more");
    assert.equal(later.first.token, started.first.token);
});
