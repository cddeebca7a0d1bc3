// The transport over HTTP, with servers on loopback and the system's clock.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { json as jsonOf, text as textOf } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { HttpTransport, Raftq, memoryAgent } from "../../dist/cjs/raftq/index.mjs";
import { freePorts } from "../ports.mjs";
import { sleep, until } from "../support.mjs";
import { TIMES, replicated } from "./cluster.mjs";

const SECRET = { authorization: "Bearer of-the-test" };
const JSON_TYPE = { "content-type": "application/json" };

/** Servers that end with the test. */
async function listen(t, listener) {
    const server = createServer(listener).listen(0, "localhost");
    await once(server, "listening");
    t.after(() => {
        server.close();
        server.closeAllConnections();
    });
    return `http://localhost:${server.address().port}/`;
}

/** Three nodes in this process, each behind a server of its own. `options` are of their transports, by id. */
async function cluster(t, options = {}) {
    const urls = new Map();
    const warnings = [];
    const members = ["1", "2", "3"];
    const nodes = await Promise.all(members.map(async (id) => {
        const warn = (text) => warnings.push({ by: id, text });
        const transport = new HttpTransport({ urlOf: (to) => urls.get(to), warn, ...options[id] });
        const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent(), members });
        transport.attach(raft);
        urls.set(id, await listen(t, transport.handler));
        return { id, raft };
    }));
    t.after(() => Promise.all(nodes.map(({ raft }) => raft.destroy())));
    await Promise.all(nodes.map(({ id, raft }) => {
        return raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
    }));
    const led = () => until(() => nodes.find(({ raft }) => raft.isLeader()));
    return { nodes, warnings, led };
}

/** A node that does what the test says: its transport sees only these three methods. */
class Scripted {
    arrived = [];
    #listeners = new Map();
    constructor(id, onArrival = () => undefined) {
        this.getNode = () => ({ id });
        this.onArrival = onArrival;
    }
    subscribe(event, listener) {
        this.#listeners.set(event, listener);
        return () => this.#listeners.delete(event);
    }
    async dispatch(event, message) {
        this.arrived.push({ event, message });
        this.onArrival(message);
    }
    send(event, kind, to, timeout = 60_000) {
        const from = this.getNode();
        this.#listeners.get(event)?.({ kind, from, destination: { id: to }, timeout });
    }
}

test("nodes over HTTP elect and replicate, and the next one leads when the leader leaves", async (t) => {
    const { nodes, led } = await cluster(t);
    const leader = await led();
    const [follower] = nodes.filter((node) => node !== leader);
    await replicated(follower.raft, { by: follower.id });
    await until(() => nodes.every(({ raft }) => raft.getData()?.by === follower.id));
    await leader.raft.leave();
    assert.notEqual(await led(), leader);
});

test("a node with another secret takes no part, and both sides say so", async (t) => {
    const { nodes: [one, , odd], warnings, led } = await cluster(t, {
        1: { secret: "of-the-test" }, 2: { secret: "of-the-test" }, 3: { secret: "another" },
    });
    await led();
    await until(() => warnings.some(({ by }) => by === "3") && warnings.some(({ by }) => by !== "3"));
    for (const { text } of warnings) {
        assert.doesNotMatch(text, /of-the-test|another/);
        // On a busy machine.
        if (text.includes("no answer within")) continue;
        assert.match(text, /^raftq: node \d: http:\S+ answers 401: the secret is missing or differs/);
    }
    assert.equal(odd.raft.getLeader(), null);
    assert.equal(odd.raft.getRefused().malformed, 0);
    await replicated(one.raft, 1);
});

const vote = { event: "voteRequestReceived", message: { destination: { id: "1" } } };
const to = (id) => JSON.stringify({ ...vote, message: { destination: { id } } });
/** Requests to node 1, each with the status and the text of the answer. */
const REQUESTS = [
    [{ method: "GET" }, 405, /only POST/],
    [{ headers: JSON_TYPE, body: to("1") }, 401, /secret/],
    [{ headers: { ...JSON_TYPE, authorization: "Bearer of-the-tesT" }, body: to("1") }, 401, /secret/],
    [{ headers: { ...SECRET, "content-type": "text/plain" }, body: to("1") }, 415, /application\/json/],
    [{ body: "{" }, 400, /JSON/],
    [{ body: "null" }, 400, /no event undefined/],
    [{ body: "[]" }, 400, /no event undefined/],
    [{ body: JSON.stringify({ event: "voteRequestReceived" }) }, 404, /node undefined/],
    [{ body: to("2") }, 404, /node "2" does not run here/],
    [{ body: to({ id: "1" }) }, 404, /node undefined/],
    ...["ackNode", "replicateData", "serviceCrashed", "serviceStarted", "__proto__"].map((event) => [
        { body: JSON.stringify({ event, message: vote.message }) }, 400, new RegExp(`no event "${event}"`),
    ]),
    [{ body: `"${"x".repeat(2_000_000)}"` }, 413, /more than 2000000/],
    [{ body: to("1") }, 204, /^$/],
];

test("a request that is none of a node is refused with the reason, by both handlers", async (t) => {
    const transport = new HttpTransport({ urlOf: () => "http://localhost:1/", secret: "of-the-test" });
    const node = new Scripted("1");
    transport.attach(node);
    const url = await listen(t, transport.handler);
    for (const [request, status, text] of REQUESTS) {
        const options = { method: "POST", headers: { ...SECRET, ...JSON_TYPE }, ...request };
        const responses = [await fetch(url, options), await transport.fetch(new Request(url, options))];
        for (const response of responses) {
            const said = await response.text();
            assert.equal(response.status, status, `${JSON.stringify(request).slice(0, 200)}: ${said}`);
            assert.match(said, text);
        }
    }
    assert.deepEqual(node.arrived, [vote, vote]);
});

test("behind body parsers of Express the handler takes what they have read, or reads itself", async (t) => {
    const transport = new HttpTransport({ urlOf: () => "http://localhost:1/" });
    const node = new Scripted("1");
    transport.attach(node);
    // A parser of another type reads nothing; Express 4 sets the body even so.
    const parsers = [async () => ({}), textOf, async (request) => Buffer.from(await textOf(request)), jsonOf];
    for (const parse of parsers) {
        const url = await listen(t, async (request, response) => {
            request.body = await parse(request);
            transport.handler(request, response);
        });
        const body = JSON.stringify(vote);
        const { status } = await fetch(url, { method: "POST", headers: JSON_TYPE, body });
        assert.equal(status, 204, String(parse));
    }
    assert.deepEqual(node.arrived, parsers.map(() => vote));
});

for (const kind of ["handler", "fetch"]) {
    test(`an answer comes in the response to its message, from \`${kind}\``, async (t) => {
        const answers = ({ from }) => {
            void sleep(20).then(() => answering.send("voteResponse", "vote_answer", from.id));
        };
        const [asking, answering] = [new Scripted("1"), new Scripted("2", answers)];
        const there = new HttpTransport({ urlOf: () => "http://unused.invalid/" });
        there.attach(answering);
        const url = await listen(t, kind === "handler" ? there.handler : async (request, response) => {
            const { method, headers } = request;
            const body = await textOf(request);
            const answer = await there.fetch(new Request(url, { method, headers, body }));
            response.writeHead(answer.status).end(await answer.text());
        });
        const warnings = [];
        const here = new HttpTransport({ urlOf: () => url, warn: (text) => warnings.push(text) });
        here.attach(asking);
        asking.send("voteRequest", "vote", "2");
        const [arrived] = await until(() => asking.arrived.length > 0 && asking.arrived);
        assert.equal(arrived.event, "voteResponseReceived");
        assert.equal(arrived.message.kind, "vote_answer");
        assert.deepEqual(warnings, []);
    });
}

test("an answer that is late, and a second one, are requests of their own", async (t) => {
    const [asking, answering] = [new Scripted("1"), new Scripted("2")];
    const urls = new Map();
    const transports = [asking, answering].map((node) => {
        const transport = new HttpTransport({ urlOf: (id) => urls.get(id) });
        transport.attach(node);
        return transport;
    });
    for (const [at, { handler }] of transports.entries()) urls.set(String(at + 1), await listen(t, handler));
    const answersOf = (kind) => asking.arrived.filter(({ message }) => message.kind === kind).length;
    const message = { kind: "vote", from: { id: "1" }, destination: { id: "2" }, timeout: 50 };
    const body = JSON.stringify({ event: "voteRequestReceived", message });
    const waiting = new AbortController();
    const { status } = await Promise.race([
        fetch(urls.get("2"), { method: "POST", headers: JSON_TYPE, body }),
        setTimeout(40_000, {}, { signal: waiting.signal }),
    ]);
    waiting.abort();
    assert.equal(status, 204, "it waits for the answer longer than its sender does");
    answering.send("voteResponse", "vote_answer", "1");
    await until(() => answersOf("vote_answer") === 1);
    asking.send("syncData", "append", "2");
    await until(() => answering.arrived.length > 1);
    answering.send("dataResponse", "append_answer", "1");
    answering.send("dataResponse", "append_answer", "1");
    await until(() => answersOf("append_answer") === 2);
});

test("a message that nothing answers, or for no sensible time, is not waited for", async (t) => {
    const transport = new HttpTransport({ urlOf: () => url, warn: () => undefined });
    const url = await listen(t, transport.handler);
    // A request that waits gets one of these answers, with status 200.
    const answers = { vote: "vote_answer", pre_vote: "pre_vote_answer", seek: "here" };
    const later = { append: "append_answer", propose: "propose_answer" };
    const node = new Scripted("1", () => {
        for (const kind of Object.values(answers)) node.send("voteResponse", kind, "2");
        for (const kind of Object.values(later)) node.send("dataResponse", kind, "2");
    });
    transport.attach(node);
    const statusOf = async (given) => {
        const message = { from: { id: "2" }, destination: { id: "1" }, ...given };
        const body = JSON.stringify({ event: "dataReceived", message });
        const { status } = await fetch(url, { method: "POST", headers: JSON_TYPE, body });
        return status;
    };
    const asked = Object.keys({ ...answers, ...later }).map((kind) => ({ kind }));
    for (const message of asked) assert.equal(await statusOf({ ...message, timeout: 60_000 }), 200);
    const timeouts = [undefined, null, "200", 0, -1, 60_001, 1e300];
    for (const message of asked) {
        for (const timeout of timeouts) assert.equal(await statusOf({ ...message, timeout }), 204);
    }
    for (const kind of ["timeout_now", "vote_answer", "gone", "join", undefined]) {
        assert.equal(await statusOf({ kind, timeout: 60_000 }), 204);
    }
    assert.equal(await statusOf({ kind: "append", timeout: 60_000, from: null }), 204);
    // A newer one takes its place, and gets no answer in time.
    node.onArrival = () => undefined;
    const older = statusOf({ kind: "append", timeout: 60_000 });
    const newer = statusOf({ kind: "append", timeout: 50 });
    assert.deepEqual([await older, await newer], [204, 204]);
});

test("a node that does not answer is given eight messages at a time", async (t) => {
    let requests = 0;
    const url = await listen(t, () => (requests += 1));
    const node = new Scripted("1");
    const transport = new HttpTransport({ urlOf: () => url, warn: () => undefined });
    transport.attach(node);
    for (let count = 0; count < 20; count++) node.send("syncData", "append", "2");
    await until(() => requests === 8);
    await sleep(100);
    assert.equal(requests, 8);
});

test("a node that gave up on its messages sends more", async (t) => {
    let requests = 0;
    const url = await listen(t, () => (requests += 1));
    const node = new Scripted("1");
    new HttpTransport({ urlOf: () => url, warn: () => undefined }).attach(node);
    await until(() => {
        node.send("syncData", "append", "2", 50);
        return requests > 20;
    });
});

test("a node that is detached sends nothing and gets nothing", async (t) => {
    const [detached, attached] = [new Scripted("1"), new Scripted("2")];
    const transport = new HttpTransport({ urlOf: () => url });
    const url = await listen(t, transport.handler);
    const detach = transport.attach(detached);
    transport.attach(attached);
    detach();
    detached.send("voteRequest", "vote", "2");
    const options = { method: "POST", headers: JSON_TYPE, body: to("1") };
    assert.equal((await fetch(url, options)).status, 404);
    attached.send("voteRequest", "vote", "2");
    await until(() => attached.arrived.length > 0);
    assert.deepEqual(attached.arrived.map(({ message }) => message.from.id), ["2"]);
    assert.deepEqual(detached.arrived, []);
});

test("what is wrong with the way to a node is said once", async (t) => {
    const url = await listen(t, (request, response) => response.writeHead(302, { location: "/x" }).end());
    const other = await listen(t, (request, response) => response.end('{"ok":true}'));
    const page = await listen(t, (request, response) => response.end("<!doctype html>"));
    const [port] = await freePorts(1);
    const closed = `http://localhost:${port}/`;
    const cases = [
        [() => closed, /^raftq: node 2: http:\/\/localhost:\d+\/: .*ECONNREFUSED/],
        [() => "no URL", /^raftq: node 2: its URL: `urlOf` returned no URL$/],
        [() => other, /^raftq: node 2: http:\S+ answers 200: there is no event undefined$/],
        [() => page, /^raftq: node 2: http:\S+: .*JSON/],
        [() => "http://user:hunter2@localhost/", /^raftq: node 2: its URL: it has .* password, .*`secret`$/],
        [() => `${closed}?key=hunter2`, /^raftq: node 2: http:\/\/localhost:\d+\/: .*ECONNREFUSED/],
        [() => { throw new Error("not found"); }, /^raftq: node 2: its URL: not found$/],
        [() => url, /^raftq: node 2: http:\S+: .*redirect/],
    ];
    for (const [urlOf, expected] of cases) {
        const warnings = [];
        const node = new Scripted("1");
        new HttpTransport({ urlOf, warn: (text) => warnings.push(text) }).attach(node);
        for (let count = 0; count < 3; count++) node.send("voteRequest", "vote", "2");
        await until(() => warnings.length > 0);
        await sleep(50);
        assert.equal(warnings.length, 1);
        assert.match(warnings[0], expected);
        assert.doesNotMatch(warnings[0], /hunter2/);
    }
});

test("a cause that the throttle dropped is said later", async (t) => {
    const warnings = [];
    const urls = ["no URL", await listen(t, (request, response) => response.writeHead(500).end("no"))];
    let at = 0;
    const node = new Scripted("1");
    const transport = new HttpTransport({ urlOf: () => urls[at], warn: (text) => warnings.push(text) });
    transport.attach(node);
    node.send("voteRequest", "vote", "2");
    await until(() => warnings.length === 1);
    at = 1;
    await until(() => {
        node.send("voteRequest", "vote", "2");
        return warnings.length > 1;
    }, () => warnings.join(), 200);
    assert.match(warnings[1], /answers 500: no/);
});

test("a logger that throws stops no message; of two runs of a node the newer one gets them", async (t) => {
    const [port] = await freePorts(1);
    const urls = ["", `http://localhost:${port}/`];
    const warn = () => {
        throw new Error("the logger fails");
    };
    const transport = new HttpTransport({ urlOf: (id) => urls[id] ?? "no URL", warn });
    const [older, newer] = [new Scripted("1"), new Scripted("1")];
    for (const node of [older, newer]) transport.attach(node);
    // Any rejection that nobody handles fails this file.
    older.send("voteRequest", "vote", "2");
    older.send("voteRequest", "vote", "1");
    urls[1] = await listen(t, transport.handler);
    await until(() => {
        older.send("voteRequest", "vote", "1");
        return newer.arrived.length > 0;
    });
    assert.deepEqual(older.arrived, []);
});

test("options that are wrong are refused", () => {
    const urlOf = () => "http://localhost:1/";
    const cases = [
        [undefined, /the options are missing/], [{}, /`urlOf` is undefined/],
        [{ urlOf, secrets: "a" }, /no option `secrets`; the options are urlOf, secret, warn$/],
        [{ urlOf, secret: "" }, /`secret` is ""/], [{ urlOf, secret: undefined }, /`secret` is undefined/],
        [{ urlOf, secret: "a line\n" }, /`secret` is other text; give printable ASCII without spaces/],
        [{ urlOf, secret: "\u00e4" }, /`secret` is other text/],
        [{ urlOf, warn: 1 }, /`warn` is 1; give a function/],
    ];
    for (const [options, message] of cases) {
        assert.throws(() => new HttpTransport(options), { code: "INVALID_OPTIONS", message });
    }
});
