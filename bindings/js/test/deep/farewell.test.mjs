// How long an application that ends waits for a release, at most.
import assert from "node:assert/strict";
import { CONFIRMED, UNCONFIRMED, farewell } from "../farewell.mjs";
import { timed } from "./witness.mjs";

timed("a shutdown whose release is not confirmed ends within ten seconds", async (witness) => {
    const all = await Promise.all(UNCONFIRMED.map(farewell));
    for (const { code, said, ms } of all) {
        assert.equal(code, 0, `${ms} ms: ${said}`);
        witness.atMost(ms, 10_000, "an unconfirmed shutdown");
    }
});

timed("a shutdown whose release is confirmed ends within three seconds", async (witness) => {
    const { code, said, ms } = await farewell(CONFIRMED);
    assert.equal(code, 0, said);
    witness.atMost(ms, 3_000, "a confirmed shutdown");
});
