// The programs of RAFTQ.md for tabs, bundled by Vite, in real headless Chromium: each tab runs a node in a
// worker, and the nodes are joined by a BroadcastChannel. Each test continues where the previous one ended.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "vite";
import { application } from "../test/packed.mjs";
import { raftqPrograms } from "../test/readme.mjs";
import { until } from "../test/support.mjs";
import { Browser } from "./browser.mjs";
import { serve } from "./serve.mjs";

const [worker, page] = ["await new BroadcastTransport(", "new Worker("].map((text) => {
    return raftqPrograms.find((program) => program.includes(text));
});

/** Added to the worker: it reports each 20 ms, and the leader replicates data when it is told to. */
const REPORTS = `
const reports = new BroadcastChannel("reports");
setInterval(() => {
    const from = Date.now();
    const token = raft.fence()?.token;
    reports.postMessage({
        id, token, from, to: Date.now(), data: raft.getData(),
        voters: raft.getMembers().filter(({ isVoter }) => isVoter).map(({ id }) => id).sort().join(),
    });
}, 20);
reports.onmessage = ({ data: { replicate } }) => {
    if (replicate !== undefined && raft.isLeader()) void raft.dispatch("replicateData", replicate);
};
`;

/** The page of a tab without a node, which collects what the workers report. */
const OBSERVER = `<!doctype html><script>
const terms = {}, newest = {};
const reports = new BroadcastChannel("reports");
reports.onmessage = ({ data: { id, token, from, to, data, voters } }) => {
    newest[id] = { id, leads: token !== undefined, data, voters, to };
    if (token === undefined) return;
    terms[token] ??= { id, first: to };
    terms[token].last = from;
    if (terms[token].id !== id) terms[token].isShared = true;
};
// A node that ended reports no more.
const running = () => Object.values(newest).filter(({ to }) => Date.now() - to < 500);
</script>`;

let app;
let server;
let browser;
let observer;
/** The open tabs with a node. */
let tabs = [];

before(async () => {
    app = application();
    const { folder } = app;
    writeFileSync(join(folder, "raft-worker.mjs"), worker + REPORTS);
    writeFileSync(join(folder, "page.mjs"), page);
    const script = `<script type="module" src="/page.mjs"></script>`;
    writeFileSync(join(folder, "index.html"), `<!doctype html>${script}`);
    const options = { outDir: "vite", target: "es2022" };
    await build({ root: folder, logLevel: "error", worker: { format: "es" }, build: options });
    writeFileSync(join(folder, "vite/observer.html"), OBSERVER);
    server = await serve(join(folder, "vite"));
    browser = new Browser();
    observer = await browser.open(`${server.url}observer.html`);
});
after(async () => {
    await browser?.stop();
    server?.close();
    app?.remove();
});

/** Waits until one of as many nodes as there are open tabs leads, and all have the same voters and data. */
function agreed() {
    return until(async () => {
        const reports = await observer.run("running()");
        const [leader, ...others] = reports.filter(({ leads }) => leads);
        if (!leader || others.length > 0 || reports.length !== tabs.length) return undefined;
        const isSame = ({ voters, data }) => voters === leader.voters && data === leader.data;
        return reports.every(isSame) && leader.voters.split(",").length === tabs.length && leader;
    }, async () => JSON.stringify({ tabs: tabs.length, running: await observer.run("running()") }));
}

/** Opens tabs, and waits until their nodes are members. */
async function open(count) {
    for (let opened = 0; opened < count; opened++) tabs.push(await browser.open(server.url));
    return agreed();
}

/** The tab whose title says that it leads, and the others. */
async function byRole() {
    return until(async () => {
        const titles = await Promise.all(tabs.map((tab) => tab.run("document.title")));
        const leading = tabs.filter((_, at) => titles[at] === "This tab leads");
        const others = tabs.filter((tab) => !leading.includes(tab));
        return leading.length === 1 && { leading: leading[0], others };
    });
}

/** Ends the tab that leads or another one, and waits until the others agree on a leader without it. */
async function end(which, how) {
    const { leading, others } = await byRole();
    const tab = which === "leader" ? leading : others[0];
    tabs = tabs.filter((each) => each !== tab);
    await tab[how]();
    return agreed();
}

test("three tabs find each other, one leads, and what it replicates reaches all", async () => {
    await open(3);
    await byRole();
    await observer.run(`reports.postMessage({ replicate: "kept" })`);
    await until(async () => (await agreed()).data === "kept");
});

for (const how of ["close", "crash"]) {
    for (const which of ["leader", "follower"]) {
        test(`after a ${how} of the ${which} of three tabs two are members, with the data`, async () => {
            await open(3 - tabs.length);
            assert.equal((await end(which, how)).data, "kept");
        });
    }
}

test("of two tabs the one that leads is closed: the other one leads, with the data", async () => {
    for (let round = 0; round < 5; round++) {
        await open(2 - tabs.length);
        assert.equal((await end("leader", "close")).data, "kept");
    }
});

test("of two tabs the one that follows crashes: it is removed", async () => {
    await open(1);
    assert.equal((await end("follower", "crash")).data, "kept");
});

test("no two tabs led at the same instant", async () => {
    const entries = Object.entries(await observer.run("terms"));
    const terms = entries.map(([token, term]) => ({ ...term, token: Number(token) }));
    terms.sort((one, other) => one.token - other.token);
    assert.ok(terms.length >= 8, JSON.stringify(terms));
    for (const [at, term] of terms.entries()) {
        assert.ok(!term.isShared, JSON.stringify(terms));
        assert.ok(at === 0 || terms[at - 1].last <= term.first, JSON.stringify(terms));
    }
});
