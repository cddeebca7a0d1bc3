// Shared by the tests: waits that a busy machine cannot cut short.
import assert from "node:assert/strict";

/** The longest wait for an event, after which the test fails. */
export const PATIENCE_MS = 60_000;

/**
 * A lease longer than any test on a busy machine, for tests in which a candidate must keep it. An election
 * within PATIENCE_MS is caused neither by its expiry nor by a look, which comes every third of it.
 */
export const LONG = { leaseMs: 300_000 };

/** A short lease, for tests that wait for its expiry and do not depend on keeping it. */
export const SHORT = { leaseMs: 1_500, marginMs: 200 };

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Polls every `pauseMs` until `holds` returns a true value, and resolves to it. `about` adds details to the
 * error of a time-out.
 */
export async function until(holds, about = () => "", pauseMs = 5) {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
        const held = await holds();
        if (held) return held;
        if (performance.now() >= end) assert.fail(`not within ${PATIENCE_MS} ms: ${holds} ${await about()}`);
        await sleep(pauseMs);
    }
}
