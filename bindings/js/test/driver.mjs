#!/usr/bin/env node
// A candidate for tests/languages.rs; bindings/c/driver.c tells what it says and obeys. `pg` is its client.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import pg from "pg";
import { Elector, postgresStore } from "../dist/cjs/index.mjs";

const MARGIN_MS = 100;
const SAMPLE_MS = 1;
const SAMPLES_A_COMPLAINT = 30;

function environment(name) {
    const value = process.env[name];
    if (value === undefined) throw new Error(`${name} is not set; tests/languages.rs sets it`);
    return value;
}

/** The boot clock, which Node has no call for: how far it is ahead of the one that it has. */
function bootAhead() {
    const hundredths = () => readFileSync("/proc/uptime", "utf8").split(" ")[0].replace(".", "");
    const uptime = () => BigInt(hundredths()) * 10_000_000n;
    let ahead;
    for (let tick = 0; tick < 10; tick++) {
        const before = uptime();
        let now = before;
        while (now === before) now = uptime();
        const found = now - process.hrtime.bigint();
        if (ahead === undefined || found > ahead) ahead = found;
    }
    return ahead;
}

const ahead = bootAhead();
const bootClock = () => process.hrtime.bigint() + ahead;
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

/** An instant is only given when the candidate led at it for certain. */
function sample() {
    const before = bootClock();
    const token = elector.amILeader() ? elector.token : undefined;
    const after = bootClock();
    if (led !== token) {
        if (led !== undefined) say(`down ${led} ${last}`);
        if (token !== undefined) say(`up ${token} ${after}`);
    }
    led = token;
    last = before;
    if (round++ % SAMPLES_A_COMPLAINT !== 0) return;
    const found = elector.lastError?.message;
    if (found !== said) say(`error ${(found ?? "none").replace(/\s+/g, " ")}`);
    said = found;
}

async function obey(line) {
    if (line === "release") void elector.release();
    else if (line === "campaign") elector.campaign();
    else if (line === "end") {
        // That the store does not answer is part of the test.
        await Promise.race([elector.release(), new Promise((resolve) => setTimeout(resolve, 2_000))]);
        sample();
    } else throw new Error(`the test said "${line}"`);
    say(`done ${line}`);
}

elector.campaign();
setInterval(sample, SAMPLE_MS);
for await (const line of createInterface({ input: process.stdin })) await obey(line);
process.exit(0);
