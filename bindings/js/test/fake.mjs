// Candidates on a memory store and on a fake clock, which only the tests advance.
import assert from "node:assert/strict";
import { Elector, memoryStore } from "../dist/cjs/index.mjs";
import { FakeClock } from "./clock.mjs";

/** A lease for tests on the fake clock. */
export const LEASE = 10_000;

/** A memory store, a fake clock, and a function that makes candidates of one election. */
export function fake() {
    const clock = new FakeClock();
    const store = memoryStore(undefined, clock);
    const candidate = (name, options = {}) => {
        return new Elector({ election: "e", store, candidate: name, clock, leaseMs: LEASE, ...options });
    };
    return { clock, store, candidate };
}

/** Starts the campaign of a candidate without competitors, and waits until it leads. */
export async function leading(elector, clock) {
    elector.campaign();
    await clock.advance(1);
    assert.equal(elector.amILeader(), true, elector.lastError?.message);
    return elector.token;
}

/** Collects all events of an elector from now on. */
export function eventsOf(elector) {
    const all = [];
    for (const event of ["elected", "renewed", "atRisk", "stopNewWork", "deposed", "leaderChanged",
        "storeClockStepped", "timelineChanged", "poisonedRow"]) {
        elector.on(event, (change) => all.push(change));
    }
    return all;
}
