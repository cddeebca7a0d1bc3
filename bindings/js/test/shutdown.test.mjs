// A shutdown waits for the release, for a limited time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONFIRMED, UNCONFIRMED, shutDown } from "./shutdown.mjs";

test("a shutdown whose release is not confirmed keeps the process alive for five seconds", async () => {
    const all = await Promise.all(UNCONFIRMED.map(shutDown));
    for (const { code, said, ms } of all) {
        assert.equal(code, 0, `${ms} ms: ${said}`);
        assert.equal(said, "shut down\n");
        // Node's timers may fire a millisecond early.
        assert.ok(ms >= 4_998, `${ms} ms`);
    }
});

test("a shutdown whose release is confirmed leaves no timer, and ends", async () => {
    const { code, said } = await shutDown(CONFIRMED);
    assert.equal(code, 0, said);
    assert.equal(said, "shut down; timers: \n");
});
