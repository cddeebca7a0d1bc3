// A stage for candidates on a clock that only the tests move.
import assert from "node:assert/strict";
import { Elector, memoryStore } from "../dist/cjs/index.mjs";
import { FakeClock } from "./clock.mjs";

/** Long enough for what happens on a clock that only the tests move. */
export const LEASE = 10_000;

/** A store in memory, and who stands for one election in it. */
export function stage() {
    const clock = new FakeClock();
    const store = memoryStore(undefined, clock);
    const candidate = (name, options = {}) => {
        return new Elector({ election: "e", store, candidate: name, clock, leaseMs: LEASE, ...options });
    };
    return { clock, store, candidate };
}

/** Has a candidate elected that nobody stands in the way of. */
export async function leading(elector, clock) {
    elector.campaign();
    await clock.advance(1);
    assert.equal(elector.amILeader(), true, elector.lastError?.message);
    return elector.token;
}

/** All events of an elector from now on. */
export function heard(elector) {
    const all = [];
    for (const event of ["elected", "renewed", "atRisk", "stopNewWork", "deposed", "leaderChanged",
        "storeClockStepped", "timelineChanged", "poisonedRow"]) {
        elector.on(event, (change) => all.push(change));
    }
    return all;
}
