#!/usr/bin/env node
// A candidate for tests/peers; bindings/c/driver.c tells what it says and obeys. `pg` is its client.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import pg from "pg";
import { Elector, postgresStore } from "../dist/cjs/index.mjs";

const MARGIN_MS = 100;
const SAMPLE_MS = 3;
// The number of questions after which it prints again that it still leads, and reads its latest store error.
const REPEAT = 10;

function environment(name) {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set; tests/peers sets it`);
    return value;
}

/**
 * The lead of the boot clock, for which Node has no call, over the clock that Node has: its lower and upper
 * bound. The kernel prints hundredths of a second, rounded down.
 */
function bootAhead() {
    const hundredth = 10_000_000n;
    const hundredths = () => readFileSync("/proc/uptime", "utf8").split(" ")[0].replace(".", "");
    let least, most;
    for (const end = process.hrtime.bigint() + 20n * hundredth; process.hrtime.bigint() < end; ) {
        const before = process.hrtime.bigint();
        const shown = BigInt(hundredths()) * hundredth;
        const after = process.hrtime.bigint();
        if (least === undefined || shown - after > least) least = shown - after;
        if (most === undefined || shown + hundredth - before < most) most = shown + hundredth - before;
    }
    return { least, most };
}

const ahead = bootAhead();
const noLaterThan = () => process.hrtime.bigint() + ahead.most;
const noEarlierThan = () => process.hrtime.bigint() + ahead.least;
const say = (text) => process.stdout.write(`@ ${text}\n`);

const pool = new pg.Pool({ connectionString: environment("ELECTOR_TEST_STORE"), max: 2 });
pool.on("error", () => {});
const elector = new Elector({
    election: environment("ELECTOR_TEST_CANDIDATE"),
    store: postgresStore(pool),
    leaseMs: Number(environment("ELECTOR_TEST_LEASE_MS")),
    marginMs: MARGIN_MS,
});

let led;
let last;
let said;
let round = 0;

/** Reads the clock on the safe side: after the first yes, and before the question of the last yes. */
function sample() {
    const before = noEarlierThan();
    const token = elector.amILeader() ? elector.token : undefined;
    const after = noLaterThan();
    if (led !== token) {
        if (led !== undefined) say(`down ${led} ${last}`);
        if (token !== undefined) say(`up ${token} ${after}`);
    }
    led = token;
    last = before;
    if (round++ % REPEAT !== 0) return;
    if (token !== undefined) say(`still ${token} ${before}`);
    const found = elector.lastError?.message;
    if (found !== said) say(`error ${(found ?? "none").replace(/\s+/g, " ")}`);
    said = found;
}

async function obey(line) {
    if (line === "release") void elector.release();
    else if (line === "campaign") elector.campaign();
    else if (line === "end") {
        // The test makes the store fail, so that is no error here.
        await Promise.race([elector.release(), new Promise((resolve) => setTimeout(resolve, 2_000))]);
        sample();
    } else throw new Error(`the test said "${line}"`);
    say(`done ${line}`);
}

elector.campaign();
setInterval(sample, SAMPLE_MS);
for await (const line of createInterface({ input: process.stdin })) await obey(line);
process.exit(0);
