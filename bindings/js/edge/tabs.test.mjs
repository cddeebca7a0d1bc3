// examples/tabs in real headless Chromium: tabs of one browser elect a leader over a shared PGlite.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { until as polled } from "../test/support.mjs";
import { Browser } from "./browser.mjs";

const LEASE_MS = 2_000;
const example = fileURLToPath(new URL("../examples/tabs/", import.meta.url));
let server;
let browser;
let url;
/** The open tabs. */
const tabs = new Set();
/**
 * The terms that tabs reported, by lease (each lease is an election of its own): for each token, when it
 * first led, and until when it was trusted at most. A closed tab may report for a moment longer.
 */
const elections = new Map();

/**
 * Runs in a tab: reports every 50 ms, and at each change, until when this tab trusts its term. The example's
 * worker paces it, since the timers of hidden tabs are late.
 */
function observe(leaseMs) {
    const sample = () => {
        const at = Date.now();
        const { leading, token, trustedForMs } = elector.leadership;
        if (leading) note(JSON.stringify({ leaseMs, token: String(token), at, until: at + trustedForMs }));
    };
    const { port } = new SharedWorker(`worker.js?lease=${leaseMs}`, { type: "module", name: "elector" });
    port.onmessage = sample;
    elector.on("elected", sample);
    elector.on("renewed", sample);
}

function termsOf(lease) {
    if (!elections.has(lease)) elections.set(lease, new Map());
    return elections.get(lease);
}

function noted({ leaseMs, token, at, until }) {
    const terms = termsOf(leaseMs);
    const term = terms.get(token) ?? { from: at, last: at, until };
    terms.set(token, { from: Math.min(term.from, at), last: at, until: Math.max(term.until, until) });
}

/** The total time for which two terms led at once. `released` has the tokens that were released. */
function overlap(terms, released) {
    const sorted = [...terms].sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
    let sum = 0;
    sorted.slice(1).forEach(([, { from }], index) => {
        const [token, { last, until }] = sorted[index];
        sum += Math.max(0, (released.includes(token) ? last : until) - from);
    });
    return sum;
}

async function openTab(lease = LEASE_MS) {
    const tab = await browser.open(`${url}?lease=${lease}`);
    tab.see = () => tab.run(`({
        name: document.getElementById("name")?.textContent,
        says: document.getElementById("leads")?.textContent,
        leader: document.getElementById("leader")?.textContent,
        token: document.getElementById("token")?.textContent,
        problem: document.getElementById("problem")?.textContent,
        changes: [...document.querySelectorAll("#changes li")].map((item) => item.textContent),
        leads: globalThis.elector?.amILeader() ?? false,
    })`);
    await until("the page runs", () => tab.run("globalThis.elector !== undefined"));
    await tab.send("Runtime.enable");
    await tab.send("Runtime.addBinding", { name: "note" });
    await tab.run(`(${observe})(${lease})`);
    tab.name = (await tab.see()).name;
    tabs.add(tab);
    return tab;
}

/** Polls until a condition holds, and resolves to its value. */
function until(what, holds) {
    const seen = () => Promise.all([...tabs].map((tab) => tab.see()));
    return polled(holds, async () => `${what}; the tabs: ${JSON.stringify(await seen())}`, 20);
}

/** The leader, once all of these tabs agree on it and on a token larger than the given one. */
function agreed(after = 0n) {
    return until(`one leader, and a token after ${after}`, async () => {
        const seen = await Promise.all([...tabs].map(async (tab) => ({ tab, ...await tab.see() })));
        const leaders = seen.filter(({ leads }) => leads);
        if (leaders.length !== 1) return undefined;
        const [{ tab, name, token, says }] = leaders;
        const same = seen.every((other) => other.leader === name && other.token === token);
        const standBy = seen.filter((other) => other.says === "This tab stands by").length;
        const isTold = says === "This tab leads" && standBy === tabs.size - 1;
        return same && isTold && BigInt(token) > after ? { tab, token } : undefined;
    });
}

/** Makes the leading tab release, and resolves to the released token. */
function release(tab) {
    return tab.run(`{
        const token = String(elector.leadership.token);
        document.getElementById("release").click();
        token;
    }`);
}

/** The milliseconds until another tab leads. */
async function takenOver(from) {
    await until("another tab leads", async () => {
        const leads = await Promise.all([...tabs].map((tab) => tab.run("elector.amILeader()")));
        return leads.includes(true);
    });
    return performance.now() - from;
}

before(async () => {
    server = spawn(process.execPath, ["serve.mjs"], { cwd: example, stdio: ["ignore", "pipe", "inherit"] });
    const said = await new Promise((resolve) => server.stdout.once("data", resolve));
    url = String(said).trim();
    browser = new Browser((payload) => noted(JSON.parse(payload)));
});
after(async () => {
    await browser?.stop();
    server?.kill();
});

// ---- Each test continues where the previous one ended ----

const released = [];
let leader;
/** Chromium runs the worker in the process of the tab that started it. */
let host;

test("one of three tabs leads, and all agree on the leader and its token", async () => {
    host = await openTab();
    for (let tab = 1; tab < 3; tab++) await openTab();
    leader = await agreed();
});

test("after the leader's tab is closed another leads within a second, under a larger token", async () => {
    const { tab, token } = leader;
    tabs.delete(tab);
    released.push(token);
    const from = performance.now();
    await tab.close();
    const took = await takenOver(from);
    assert.ok(took < 1_000, `it took ${took} ms`);
    leader = await agreed(BigInt(token));
    await openTab();
    leader = await agreed(BigInt(token));
});

test("a leader's tab that hung for three leases does not report leader on waking", async () => {
    const { tab, token } = leader;
    // The answer is from the turn in which the tab hung.
    const hanging = tab.run("document.getElementById('hang').click(); elector.amILeader()");
    tabs.delete(tab);
    let isAwake = false;
    const woke = hanging.then((leads) => {
        isAwake = true;
        return leads;
    });
    await takenOver(performance.now());
    assert.equal(isAwake, false, "another leads while it hangs");
    assert.equal(await woke, false);
    tabs.add(tab);
    const { changes } = await tab.see();
    assert.ok(changes.some((text) => /awake; led before: yes, leads now: no/.test(text)), changes.join());
    leader = await agreed(BigInt(token));
    assert.notEqual(leader.tab, tab);
});

/** The worker of the tabs with this lease. */
async function worker(lease) {
    const { targetInfos } = await browser.send("Target.getTargets", { filter: [{}] });
    return targetInfos.find(({ type, url: at }) => type === "shared_worker" && at.endsWith(`=${lease}`));
}

test("after the leader's tab crashes another leads once the lease has expired", async () => {
    if (leader.tab === host) {
        // The worker must survive here.
        released.push(await release(host));
        tabs.delete(host);
        leader = await agreed(BigInt(leader.token));
    }
    const { tab, token } = leader;
    const before = await worker(LEASE_MS);
    tabs.delete(tab);
    const from = performance.now();
    tab.crash();
    const took = await takenOver(from);
    assert.ok(took > LEASE_MS / 4, `no tab released, and the take-over took only ${took} ms`);
    // Chromium may have run the worker in the leader's process after all; the last test covers that.
    const survived = (await worker(LEASE_MS))?.targetId === before.targetId;
    assert.ok(took < 2 * LEASE_MS || !survived, `it took ${took} ms`);
    leader = await agreed(BigInt(token));
});

test("two tabs never led at the same instant", () => {
    const terms = termsOf(LEASE_MS);
    assert.ok(terms.size >= 4, `${terms.size} terms`);
    assert.equal(overlap(terms, released), 0, JSON.stringify([...terms]));
});

test("after a worker crashed with its tab the next worker grants no lease too early", async () => {
    for (const tab of tabs) await tab.close();
    tabs.clear();
    // Another election, whose worker is new and runs in the process of the first of these tabs. Its lease is
    // longer than PGlite takes to start.
    const lease = 12_000;
    const first = await openTab(lease);
    await agreed();
    await openTab(lease);
    // Makes a surviving tab the leader.
    const ended = await release(first);
    tabs.delete(first);
    const { token } = await agreed();
    const { targetId } = await worker(lease);
    first.crash();
    await until("the worker is gone", async () => (await worker(lease))?.targetId !== targetId);
    // This tab starts the next worker at once; the others notice later that theirs has ended.
    await openTab(lease);
    await agreed(BigInt(token));
    const terms = termsOf(lease);
    assert.ok(terms.size >= 3, `${terms.size} terms`);
    assert.equal(overlap(terms, [ended]), 0, JSON.stringify([...terms]));
});
