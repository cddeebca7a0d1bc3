import { Elector, postgresStore } from "/elector-wasm/index.js";
import { Client } from "./client.js";

const leaseMs = Number(new URLSearchParams(location.search).get("lease") ?? 5_000);
const name = `tab-${crypto.randomUUID().slice(0, 4)}`;
const client = new Client(`worker.js?lease=${leaseMs}`, tick);
// Each lease has a worker of its own, hence its own election too: `worker.js` waits for one lease.
const election = `tabs-${leaseMs}`;
const elector = new Elector({ election, store: postgresStore(client), candidate: name, leaseMs });
// To play with in the console.
globalThis.elector = elector;

const show = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) element.textContent = text;
};
const time = (date) => date.toLocaleTimeString("en-GB");
let standing = false;

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
    show("leads", leading ? "This tab leads" : standing ? "This tab stands by" : "This tab does not stand");
    show("leader", leader?.candidate ?? "nobody, as far as this tab knows");
    // PostgreSQL's clock at the election, in microseconds, unless the token before was larger still.
    show("since", leader?.token ? time(new Date(Number(leader.token / 1_000n))) : "–");
    show("token", leader?.token ? String(leader.token) : "–");
    show("trust", leading ? `${(trustedForMs / 1_000).toFixed(1)} s, unless it is renewed` : "–");
    show("problem", elector.lastError?.message ?? "");
    show("release", standing ? "Release" : "Stand again");
}

function tick() {
    // Does what the timers of a hidden tab would do too late.
    if (standing) elector.step().catch((error) => log(String(error)));
    render();
}

function stand() {
    standing = true;
    elector.campaign();
    render();
}

elector.on("elected", ({ token }) => log(`this tab was elected, token ${token}`));
elector.on("deposed", ({ reason }) => log(`this tab was deposed: ${reason}`));
elector.on("leaderChanged", ({ leader }) => log(leader ? `${leader.candidate} leads` : "nobody leads"));

document.getElementById("release").onclick = () => {
    if (!standing) return stand();
    standing = false;
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

// Released, so that the next tab leads at once. Nothing that is under way may hold that up: no answer comes
// to a page that is gone.
addEventListener("pagehide", () => {
    standing = false;
    void elector.release();
    client.giveUp("the page is gone");
});
// Back from the browser's cache of pages, with a port to a worker that may have ended.
addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
});

// The page shows the truth without ticks too.
setInterval(render, 250);
show("name", name);
show("hang", `Hang this tab for ${(3 * leaseMs) / 1_000} s`);
show("election", `Election “${election}”, a lease of ${leaseMs / 1_000} s`);
stand();
