// What the tests share: waits that no busy machine cuts short.
import assert from "node:assert/strict";

/** How long an event is waited for before the test fails. */
export const PATIENCE_MS = 60_000;

/**
 * A lease that no busy machine outlasts: for tests in which a candidate must keep it. What comes within
 * PATIENCE_MS comes neither by its end nor by a look, which comes once in a third of it.
 */
export const LONG = { leaseMs: 300_000 };

/** A lease that ends soon: for tests that wait for its end, and in which nothing depends on keeping it. */
export const SHORT = { leaseMs: 1_500, marginMs: 200 };

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until something holds, and resolves to it. `about` tells what else is known if it never does. */
export async function until(holds, about = () => "") {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
        const held = await holds();
        if (held) return held;
        assert.ok(performance.now() < end, `not within ${PATIENCE_MS} ms: ${holds} ${about()}`);
        await sleep(5);
    }
}
