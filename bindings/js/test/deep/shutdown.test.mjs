// The longest wait of a shutdown for its release.
import assert from "node:assert/strict";
import { CONFIRMED, UNCONFIRMED, shutDown } from "../shutdown.mjs";
import { timed } from "./witness.mjs";

timed("a shutdown whose release is not confirmed ends within ten seconds", async (witness) => {
    const all = await Promise.all(UNCONFIRMED.map(shutDown));
    for (const { code, said, ms } of all) {
        assert.equal(code, 0, `${ms} ms: ${said}`);
        witness.atMost(ms, 10_000, "an unconfirmed shutdown");
    }
});

timed("a shutdown whose release is confirmed ends within three seconds", async (witness) => {
    const { code, said, ms } = await shutDown(CONFIRMED);
    assert.equal(code, 0, said);
    witness.atMost(ms, 3_000, "a confirmed shutdown");
});
