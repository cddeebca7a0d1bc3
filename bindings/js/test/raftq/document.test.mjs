// The programs of RAFTQ.md, as they stand there; the first one in processes that are killed. Those of tabs
// run in ../../edge/raftq.test.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { HttpTransport, MemoryTransport, Raftq, memoryAgent } from "../../dist/cjs/raftq/index.mjs";
import { freePorts } from "../ports.mjs";
import { raftqPrograms as programs, raftq as text } from "../readme.mjs";
import { sleep, until } from "../support.mjs";
import { TIMES, replicated } from "./cluster.mjs";

const [program, fencing, joining, overHttp, , , own, ...others] = programs;

/** A running program, and what it said. */
class Run {
    said = "";

    constructor(folder, port, others, file = "node.mjs") {
        this.child = spawn(process.execPath, [file, port, ...others], { cwd: folder });
        for (const stream of [this.child.stdout, this.child.stderr]) {
            stream.on("data", (data) => (this.said += data));
        }
        this.ended = once(this.child, "exit");
    }

    /** The port of the leader whose data it printed last. */
    get from() {
        return [...this.said.matchAll(/^data \{ from: '(\d+)'/gm)].at(-1)?.[1];
    }

    /** Its line that it leads is the newest one about that. */
    get leads() {
        return /.*this node leads(, term|.*no more)/s.exec(this.said)?.[1] === ", term";
    }
}

/** The program of a node that is added later: the first one without `members`, with the block for that. */
function added() {
    const joins = joining.replace("runningNodes", "others").replace("newId", "port");
    const start = /^    const started = [^]*?exit\(1\)\);$/m;
    const unlisted = program.replace(/^    members: .*\n/m, "");
    const changed = unlisted.replace('"localhost", () =>', '"localhost", async () =>');
    assert.match(changed, start);
    return changed.replace(start, joins);
}

test("one of three processes leads, another after kill -9 and SIGTERM; a fourth joins", async (t) => {
    assert.deepEqual(others, []);
    // In the package's folder, where its name resolves.
    const folder = mkdtempSync(fileURLToPath(new URL("document-", import.meta.url)));
    const runs = new Map();
    t.after(() => {
        for (const { child } of runs.values()) child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
    });
    writeFileSync(join(folder, "node.mjs"), program);
    writeFileSync(join(folder, "added.mjs"), added());
    const [fourth, ...ports] = (await freePorts(4)).map(String);
    const start = (port) => runs.set(port, new Run(folder, port, ports.filter((other) => other !== port)));
    const about = () => [...runs].map(([port, { said }]) => `--- ${port}\n${said}`).join("\n");
    /** Waits until one leads, and all that run print its data. */
    const led = () => until(() => {
        const leaders = [...runs].filter(([, run]) => run.leads).map(([port]) => port);
        if (leaders.length !== 1) return undefined;
        return [...runs.values()].every(({ from }) => from === leaders[0]) && leaders[0];
    }, about);

    start(ports[0]);
    await sleep(1_500);
    assert.ok(!runs.get(ports[0]).leads, "one of three leads alone");
    start(ports[1]);
    await led();
    start(ports[2]);
    const first = await led();
    const killed = runs.get(first);
    runs.delete(first);
    killed.child.kill("SIGKILL");
    await killed.ended;
    const second = await led();
    assert.notEqual(second, first);
    start(first);
    await led();
    const [stopped] = [...runs].find(([, run]) => run.leads);
    const { child, ended } = runs.get(stopped);
    child.kill("SIGTERM");
    const [code] = await ended;
    assert.equal(code, 0, about());
    runs.delete(stopped);
    assert.notEqual(await led(), stopped);
    start(stopped);
    await led();
    runs.set(fourth, new Run(folder, fourth, ports, "added.mjs"));
    await led();
});

test("the block on fencing writes with the token, and only on the leader", async () => {
    const run = new Function("raft", "db", "body", `return (async () => { ${fencing} })();`);
    const queries = [];
    const db = { query: async (text, values) => void queries.push({ text, values }) };
    const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent() });
    new MemoryTransport().attach(raft);
    await raft.dispatch("serviceStarted", { node: { id: "1", time: Date.now() } });
    await run(raft, db, "early");
    assert.deepEqual(queries, []);
    await until(() => raft.isLeader());
    await run(raft, db, "report");
    assert.match(queries[0].text, /WHERE token <= \$2$/);
    assert.deepEqual(queries[0].values, ["report", raft.fence().token]);
    await raft.destroy();
});

test("the block on HTTP carries messages with the secret, and does not start without one", async (t) => {
    const folder = mkdtempSync(fileURLToPath(new URL("document-", import.meta.url)));
    const [port] = await freePorts(1);
    const node = `
import { Raftq, memoryAgent } from "elector-wasm/raftq";
const raft = new Raftq({ ...${JSON.stringify(TIMES)}, persistAgent: memoryAgent() });
`;
    const starts = 'raft.dispatch("serviceStarted", { node: { id: "localhost", time: Date.now() } });';
    writeFileSync(join(folder, "node.mjs"), node + overHttp.replaceAll("5050", port) + starts);
    const start = (environment) => {
        const env = { ...process.env, RAFT_SECRET: undefined, ...environment };
        return spawn(process.execPath, ["node.mjs"], { cwd: folder, env, stdio: "pipe" });
    };
    const child = start({ RAFT_SECRET: "of-the-test" });
    t.after(() => {
        child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
    });
    const statusOf = async (secret) => {
        const headers = { "content-type": "application/json", authorization: `Bearer ${secret}` };
        const body = JSON.stringify({ event: "dataReceived", message: { destination: { id: "localhost" } } });
        const asked = fetch(`http://localhost:${port}/raft`, { method: "POST", headers, body });
        return asked.then(({ status }) => status, () => undefined);
    };
    await until(async () => await statusOf("of-the-test") === 204);
    assert.equal(await statusOf("another"), 401);
    const open = start({});
    let said = "";
    open.stderr.on("data", (data) => (said += data));
    const [code] = await once(open, "close");
    assert.equal(code, 1, said);
    assert.match(said, /INVALID_OPTIONS[^]*`secret` is undefined/);
});

test("the block on a transport of one's own joins nodes over a broker", async (t) => {
    const listeners = new Map();
    const publish = (to, text) => queueMicrotask(() => listeners.get(to)?.(text));
    const nodes = ["1", "2", "3"].map((id) => {
        const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent(), members: ["1", "2", "3"] });
        const onText = (listener) => listeners.set(id, listener);
        new Function("raft", "publish", "onText", own)(raft, publish, onText);
        void raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
        return raft;
    });
    t.after(() => Promise.all(nodes.map((raft) => raft.destroy())));
    const leader = await until(() => nodes.find((raft) => raft.isLeader()));
    listeners.get(leader.getNode().id)(JSON.stringify({ arrival: "replicateData", message: "forged" }));
    await replicated(leader, "committed");
    await until(() => nodes.every((raft) => raft.getData() === "committed"));
});

test("the document has every option, event and method, and no other", () => {
    const make = (options) => new Raftq({ ...TIMES, persistAgent: memoryAgent(), ...options });
    const listed = (refused) => {
        let said = "";
        assert.throws(refused, ({ message }) => Boolean(said = message));
        return said.split(" are ")[1].split(", ").sort();
    };
    /** The names in the first column of the table under a heading, without their parameters. */
    const rows = (heading) => {
        const section = text.split(`### ${heading}\n`)[1].split("\n#")[0];
        const cells = [...section.matchAll(/^\| (`.*?`(?:, `.*?`)*) \|/gm)].map(([, cell]) => cell);
        return cells.flatMap((cell) => cell.split(", `")).map((name) => /\w+/.exec(name)[0]).sort();
    };
    assert.deepEqual(rows("`new Raftq(options)`"), listed(() => make({ unknown: 1 })));
    const subscribe = () => make().subscribe("unknown", () => undefined);
    assert.deepEqual(rows("Events to subscribe to"), listed(subscribe));
    const methods = Object.getOwnPropertyNames(Raftq.prototype).filter((name) => name !== "constructor");
    assert.deepEqual(rows("Methods"), methods.sort());
    assert.deepEqual(rows("HTTP"), listed(() => new HttpTransport({ unknown: 1 })));
});

test("the bounds in the document are those of the core", async () => {
    const accepts = (options) => new Raftq({ ...TIMES, persistAgent: memoryAgent(), ...options });
    const refuses = (options) => assert.throws(() => accepts(options), { code: "INVALID_OPTIONS" });
    const ids = (count) => Array.from({ length: count }, (_, at) => String(at));
    assert.match(text, /`members` \|[^|]* At most 64 \|/);
    accepts({ members: ids(64) });
    refuses({ members: ids(65) });
    assert.match(text, /An id has 1 to 64 bytes/);
    accepts({ members: ["x".repeat(64)] });
    refuses({ members: ["\u00e4".repeat(33)] });
    assert.match(text, /The minimum is at most 60 000, the maximum larger than it, at most 600 000/);
    accepts({ minimumElectionTime: 60_000, maximumElectionTime: 600_000 });
    refuses({ minimumElectionTime: 60_001, maximumElectionTime: 600_000 });
    refuses({ minimumElectionTime: 60_000, maximumElectionTime: 600_001 });
    refuses({ maximumElectionTime: 200 });
    assert.match(text, /`heartbeat` \|[^|]*1 to half of `minimumElectionTime` \|/);
    accepts({ heartbeat: 1 });
    refuses({ heartbeat: 101 });
    assert.match(text, /of at most 65 536 bytes/);
    const raft = accepts({});
    new MemoryTransport().attach(raft);
    await raft.dispatch("serviceStarted", { node: { id: "1", time: Date.now() } });
    await until(() => raft.isLeader());
    await raft.dispatch("replicateData", "x".repeat(65_534));
    await assert.rejects(raft.dispatch("replicateData", "x".repeat(65_535)), { code: "TOO_LARGE" });
    await raft.destroy();
});
