import { Elector, postgresStore } from "/elector-wasm/index.js";
import { Client } from "./client.js";

const leaseMs = Number(new URLSearchParams(location.search).get("lease") ?? 5_000);
const name = `tab-${crypto.randomUUID().slice(0, 4)}`;
const client = new Client(`worker.js?lease=${leaseMs}`, tick);
// Each lease has its own worker, and so its own election: `worker.js` waits for one lease.
const election = `tabs-${leaseMs}`;
const elector = new Elector({ election, store: postgresStore(client), candidate: name, leaseMs });
// For the browser's console.
globalThis.elector = elector;

const show = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
};
const time = (date) => date.toLocaleTimeString("en-GB");
let campaigning = false;

function log(text) {
    const item = document.createElement("li");
    item.textContent = `${time(new Date())} ${text}`;
    const list = document.getElementById("changes");
    list.prepend(item);
    while (list.children.length > 50) list.lastChild.remove();
}

function render() {
    const { leading, token, trustedForMs } = elector.leadership;
    const leader = leading ? { candidate: name, token } : elector.leader();
    document.body.classList.toggle("leads", leading);
    document.title = `${leading ? "★ " : ""}${name}`;
    const other = campaigning ? "This tab stands by" : "This tab does not campaign";
    show("leads", leading ? "This tab leads" : other);
    show("leader", leader?.candidate ?? "no leader known");
    // The token is PostgreSQL's clock at the election, in microseconds, unless an earlier token was larger.
    show("since", leader?.token ? time(new Date(Number(leader.token / 1_000n))) : "–");
    show("token", leader?.token ? String(leader.token) : "–");
    show("trust", leading ? `${(trustedForMs / 1_000).toFixed(1)} s, unless it is renewed` : "–");
    show("problem", elector.lastError?.message ?? "");
    show("release", campaigning ? "Release" : "Campaign again");
}

function tick() {
    // Does everything that is due, since the timers of a hidden tab are late.
    if (campaigning) elector.step().catch((error) => log(String(error)));
    render();
}

function campaign() {
    campaigning = true;
    elector.campaign();
    render();
}

elector.on("elected", ({ token }) => log(`this tab was elected, token ${token}`));
elector.on("deposed", ({ reason }) => log(`this tab was deposed: ${reason}`));
elector.on("leaderChanged", ({ leader }) => log(leader ? `${leader.candidate} leads` : "no leader"));

document.getElementById("release").onclick = () => {
    if (!campaigning) return campaign();
    campaigning = false;
    void elector.release();
    render();
};

document.getElementById("hang").onclick = () => {
    const ends = performance.now() + 3 * leaseMs;
    const led = elector.amILeader();
    while (performance.now() < ends);
    log(`awake; led before: ${led ? "yes" : "no"}, leads now: ${elector.amILeader() ? "yes" : "no"}`);
    render();
};

// Releases, so that the next tab leads at once. Requests in progress must not delay the release: a closed
// page gets no answer.
addEventListener("pagehide", () => {
    campaigning = false;
    void elector.release();
    client.rejectAll("the page is gone");
});
// The page was restored from the browser's cache, and its worker may have ended.
addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
});

// Keeps the page current without ticks too.
setInterval(render, 250);
show("name", name);
show("hang", `Hang this tab for ${(3 * leaseMs) / 1_000} s`);
show("election", `Election “${election}”, a lease of ${leaseMs / 1_000} s`);
campaign();
