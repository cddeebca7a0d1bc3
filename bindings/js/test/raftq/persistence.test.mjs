// What a node does with slow, hanging and failing agents, and with what they restore.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Raftq } from "../../dist/cjs/raftq/index.mjs";
import { settle } from "../clock.mjs";
import { Cluster, TIMES, running } from "./cluster.mjs";

/** An agent whose calls of `persist` end when the test says so. */
class Held {
    calls = [];
    kept;
    persist = (node, data) => new Promise((resolve, reject) => {
        this.calls.push({ data, end: () => resolve(void (this.kept = data)), fail: reject });
    });
    restore = () => this.kept;
}

test("nothing that depends on a write leaves before the write has ended", async () => {
    const cluster = new Cluster();
    const agent = new Held();
    const members = ["1", "2", "3"];
    await cluster.start("1", { members });
    await cluster.start("2", { members });
    await cluster.until(() => cluster.leaders().length === 1);
    const slow = await cluster.start("3", { members, persistAgent: agent });
    await cluster.clock.advance(700);
    assert.equal(agent.calls.length, 1);
    const answers = cluster.sent.filter(({ id, leaves }) => id === "3" && leaves === "dataResponse");
    assert.deepEqual(answers, [], "it acknowledged what it has not written");
    assert.equal(slow.getRole(), 2);
    await cluster.until(() => {
        agent.calls.at(-1).end();
        return cluster.sent.some(({ id, leaves }) => id === "3" && leaves === "dataResponse");
    });
});

test("an agent is called again only when it has returned", async () => {
    const cluster = new Cluster();
    const agent = new Held();
    const raft = await cluster.start("1", { persistAgent: agent });
    await cluster.clock.advance(5_000);
    assert.equal(agent.calls.length, 1, "it hangs");
    assert.equal(raft.isLeader(), false);
    const warnings = cluster.messages("log", "1").filter(({ level }) => level === "error");
    assert.match(warnings[0].message, /persist\(\) has not returned for 800 ms, so this node neither votes/);
    assert.equal(warnings.length, 1, "it warns once");
    // The hanging write ends late, and only then a newer state is written over it.
    await cluster.until(() => {
        agent.calls.at(-1).end();
        return raft.isLeader();
    });
    const said = cluster.messages("log", "1").map(({ message }) => message);
    assert.ok(said.includes("persist() succeeded again"));
});

test("a leader whose agent fails or hangs stops leading, says so, and takes part again later", async () => {
    const throws = () => { throw new Error("disk full"); };
    const rejects = () => Promise.reject(new Error("disk full"));
    const hangs = () => new Promise(() => undefined);
    for (const fault of [throws, rejects, hangs]) {
        const cluster = new Cluster();
        const files = cluster.files.agent();
        let persist = files.persist;
        const persistAgent = { persist: (node, data) => persist(node, data), restore: files.restore };
        const members = ["1", "2", "3"];
        await cluster.start("1", { members, priority: 1, persistAgent });
        await cluster.start("2", { members });
        await cluster.start("3", { members });
        await cluster.until(() => cluster.leaders()[0] === "1");
        persist = fault;
        cluster.nodes.get("1").dispatch("replicateData", "x");
        await cluster.until(() => cluster.leaders().length === 1 && cluster.leaders()[0] !== "1");
        const said = cluster.messages("log", "1").map(({ message }) => message).join("\n");
        assert.match(said, /persist\(\) (failed, so .*: disk full|has not returned for 800 ms)/);
        if (said.includes("failed")) {
            persist = files.persist;
            await cluster.until(() => cluster.leaders()[0] === "1");
        }
    }
});

test("an agent may be synchronous", async () => {
    const cluster = new Cluster();
    const kept = new Map();
    const persistAgent = {
        persist: ({ id }, data) => void kept.set(id, data), restore: ({ id }) => kept.get(id),
    };
    for (const id of ["1", "2", "3"]) await cluster.start(id, { persistAgent });
    await cluster.elected();
    // What it gets is for JSON.
    for (const data of kept.values()) assert.deepEqual(JSON.parse(JSON.stringify(data)), data);
});

test("a state that is damaged or another node's is refused, with what to do", async () => {
    const { cluster } = await running("1", "2");
    const kept = JSON.parse(cluster.files.files.get("1"));
    const torn = { ...kept, state: kept.state.slice(0, -8) };
    for (const [data, why] of [
        [torn, /the checksum differs/], [{ ...kept, state: "%" }, /not what persist\(\) was given/],
        [{}, /not what persist\(\) was given/], ["text", /not what persist\(\) was given/],
        [JSON.parse(cluster.files.files.get("2")), /belongs to member 2/],
    ]) {
        const persistAgent = { persist: () => assert.fail("it writes over it"), restore: () => data };
        const raft = new Raftq({ ...TIMES, persistAgent, clock: cluster.clock });
        const logged = [];
        raft.subscribe("log", ({ message }) => logged.push(message));
        await assert.rejects(raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } }), (error) => {
            assert.equal(error.code, "INVALID_STATE");
            assert.match(error.message, why);
            assert.match(error.message, /^cannot start node 1: .*restore\(\) must return what persist/);
            return true;
        });
        await settle();
        assert.match(logged.join(), why);
        await raft.destroy();
    }
});

test("a `restore` that throws is no first start", async () => {
    const persistAgent = { persist() {}, restore: () => { throw new Error("not mounted"); } };
    const raft = new Raftq({ ...TIMES, persistAgent });
    const started = raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
    await assert.rejects(started, /restore\(\) failed: not mounted/);
});
