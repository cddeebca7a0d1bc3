// The packed package in workerd, with leases of two seconds that really expire.
import { sleep } from "../support.mjs";
import { isMisled, startWorkerd } from "../workerd.mjs";
import { timed } from "./witness.mjs";

/** A test with its own workerd. */
function inWorkerd(name, body) {
    timed(name, async (witness) => {
        const workerd = await startWorkerd();
        try {
            await body(workerd, witness);
        } finally {
            await workerd.stop();
        }
    });
}

inWorkerd("a Worker that computes for two leases learns from the store that its lease has ended", async (
    workerd, witness,
) => {
    const told = await workerd.ask("/worker/spins");
    witness.holds(told.confirmed?.token !== undefined, 2_000, "its lease was confirmed before it computed");
    isMisled(told);
});

inWorkerd("a Durable Object that an alarm wakes keeps a short lease for long", async (workerd, witness) => {
    const started = await workerd.stand({ leaseMs: 2_000, marginMs: 200 });
    witness.holds(started.first.leading, 2_000, `it leads: ${started.error}`);
    await sleep(5_000);
    const later = await workerd.ask("/object/state");
    const kept = later.alarms >= 5 && later.kept && later.first.token === started.first.token;
    witness.holds(kept, 2_000, `its term lasts for two leases and more: ${JSON.stringify(later)}`);
});
