// How long an application that ends waits for a release, at most.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONFIRMED, UNCONFIRMED, farewell } from "../farewell.mjs";

test("a shutdown whose release is not confirmed ends within ten seconds", async () => {
    const all = await Promise.all(UNCONFIRMED.map(farewell));
    for (const { code, said, ms } of all) {
        assert.equal(code, 0, `${ms} ms: ${said}`);
        assert.ok(ms < 10_000, `${ms} ms`);
    }
});

test("a shutdown whose release is confirmed ends within three seconds", async () => {
    const { code, said, ms } = await farewell(CONFIRMED);
    assert.equal(code, 0, said);
    assert.ok(ms < 3_000, `${ms} ms`);
});
