// How nodes end: destroyed, left, removed.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Raftq, RaftRole } from "../../dist/cjs/raftq/index.mjs";
import { settle } from "../clock.mjs";
import { Cluster, TIMES, ids, running } from "./cluster.mjs";

test("of two nodes the one that stays leads, although the other is silent after `destroy`", async () => {
    const { cluster, leader } = await running("1", "2");
    const { id } = leader.getNode();
    leader.getNode().time = 0;
    await cluster.run(leader.destroy());
    cluster.kill(id);
    await cluster.until(() => cluster.leaders().length === 1);
    assert.deepEqual(ids(cluster.nodes.values().next().value), cluster.leaders());
});

test("a follower that left is not taken for the only member", async () => {
    const { cluster, leader } = await running("1", "2");
    const follower = [...cluster.nodes.values()].find((raft) => raft !== leader);
    await cluster.run(follower.leave());
    await cluster.until(() => ids(leader).length === 1);
    await follower.leave();
    const said = cluster.messages("log", follower.getNode().id).map(({ message }) => message).join("\n");
    assert.doesNotMatch(said, /only member/);
});

test("`destroy` waits for a write that has begun", async () => {
    const cluster = new Cluster();
    const writes = [];
    const persistAgent = {
        persist: (node, data) => new Promise((resolve) => writes.push({ data, resolve })),
        restore: () => undefined,
    };
    const raft = await cluster.start("1", { persistAgent });
    await cluster.until(() => {
        if (raft.getRole() !== RaftRole.LEADER) writes.at(-1)?.resolve();
        return raft.isLeader();
    });
    await cluster.run(new Promise((resolve) => cluster.clock.setTimeout(resolve, 100)));
    writes.at(-1)?.resolve();
    await settle();
    const before = writes.length;
    raft.dispatch("replicateData", 1);
    await cluster.until(() => writes.length > before);
    let isDestroyed = false;
    const destroyed = raft.destroy().then(() => (isDestroyed = true));
    await cluster.clock.advance(400);
    assert.equal(isDestroyed, false);
    writes.at(-1).resolve();
    await settle();
    await cluster.clock.advance(10);
    assert.equal(isDestroyed, true);
    await destroyed;
});

test("`destroy` waits for an agent that hangs, for the maximum election time at most", async () => {
    const cluster = new Cluster();
    const persistAgent = { persist: () => new Promise(() => undefined), restore: () => undefined };
    const raft = await cluster.start("1", { persistAgent });
    await cluster.clock.advance(1_100);
    let isDestroyed = false;
    raft.destroy().then(() => (isDestroyed = true));
    await cluster.clock.advance(790);
    assert.equal(isDestroyed, false);
    await cluster.clock.advance(20);
    assert.equal(isDestroyed, true);
    assert.equal(cluster.clock.timers, 0);
});

test("a leader that is destroyed without a successor tells that it leads no more", async () => {
    const { cluster, leader } = await running("1");
    await cluster.run(leader.destroy());
    assert.equal(leader.getRole(), RaftRole.FOLLOWER);
    const last = cluster.messages("roleChanged", "1").at(-1);
    assert.deepEqual([last.role, last.previousRole], [RaftRole.FOLLOWER, RaftRole.LEADER]);
    await assert.rejects(leader.transfer(), { code: "NOT_MEMBER", message: /was destroyed/ });
    await assert.rejects(leader.dispatch("serviceStarted", { node: { id: "1", time: 1 } }), /was destroyed/);
});

test("a leader that leaves hands leadership over first", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const [id, before] = [leader.getNode().id, cluster.sent.length];
    const left = leader.leave();
    assert.deepEqual(cluster.sent.slice(before).map(({ message }) => message.kind), ["timeout_now"]);
    cluster.nodes.forEach((raft) => assert.ok(ids(raft).includes(id)));
    const others = [...cluster.nodes.values()].filter((raft) => raft !== leader);
    await cluster.until(() => others.some((raft) => raft.isLeader()));
    await cluster.run(left);
    await cluster.until(() => others.every((raft) => !ids(raft).includes(id)));
});

test("a leader of two that leaves removes itself first: killed, it leaves a leader behind", async () => {
    const { cluster, leader } = await running("1", "2");
    leader.getNode().time = 0;
    // Its first messages have arrived, and nothing of what follows.
    await cluster.clock.advance(8);
    cluster.kill(leader.getNode().id);
    await cluster.until(() => cluster.leaders().length === 1);
});

test("a leader that leaves keeps leading while no other node that may lead answers", async () => {
    const cluster = new Cluster();
    const members = ["1", "2", { id: "3", witness: true }];
    for (const id of ["1", "2"]) await cluster.start(id, { members });
    await cluster.start("3", { members, witness: true });
    const leader = await cluster.elected();
    cluster.kill(leader.getNode().id === "1" ? "2" : "1");
    await cluster.clock.advance(300);
    leader.leave().catch(() => undefined);
    assert.ok(leader.isLeader());
    await assert.rejects(cluster.run(leader.transfer()), /no other node that may lead answers/);
});

test("a node that leaves ends soon after, also with timers that fire a little early", async () => {
    const cluster = new Cluster();
    const { now, setTimeout, clearTimeout } = cluster.clock;
    const clock = { now, setTimeout: (callback, ms) => setTimeout(callback, ms - 0.5), clearTimeout };
    for (const id of ["1", "2", "3"]) await cluster.start(id, { clock });
    const raft = await cluster.elected();
    raft.getNode().time = 0;
    const from = cluster.clock.now();
    await cluster.run(raft.destroy());
    assert.ok(cluster.clock.now() - from < 400, "it waited for the maximum election time");
});

test("`leave` rejects if the node ends before, or becomes the only member", async () => {
    const cut = await running("1", "2", "3");
    const cutId = cut.leader.getNode().id;
    cut.cluster.arrives = (from, to) => from !== cutId && to !== cutId;
    const left = cut.leader.leave();
    left.catch(() => undefined);
    await cut.cluster.run(cut.leader.destroy());
    await assert.rejects(left, { code: "UNKNOWN" });

    const { cluster, leader } = await running("1", "2");
    const other = [...cluster.nodes.keys()].find((id) => cluster.nodes.get(id) !== leader);
    cluster.kill(other);
    // The other one has not answered lately: it can be removed, and this one cannot.
    await cluster.clock.advance(250);
    const stays = leader.leave();
    stays.catch(() => undefined);
    leader.dispatch("ackNode", { id: other, time: 0 });
    await cluster.until(() => leader.isLeader());
    assert.deepEqual(ids(leader), [leader.getNode().id]);
    await assert.rejects(stays, { code: "NOT_MEMBER" });
    // It can leave later.
    await cluster.start(other);
    await cluster.elected();
    await cluster.run(leader.leave());
});

test("a node that was told to leave before it started does not start", async () => {
    const raft = new Raftq({ ...TIMES, persistAgent: { persist() {}, restore() {} } });
    raft.getNode().time = 0;
    const started = raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
    await assert.rejects(started, { code: "NOT_MEMBER" });
});

test("a node that others removed says so, and its data has no effect", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const [id, removed] = [...cluster.nodes].find(([, raft]) => raft !== leader);
    leader.dispatch("ackNode", { id, time: 0 });
    await cluster.until(() => !ids(leader).includes(id));
    await cluster.until(() => cluster.messages("log", id).some(({ message, level }) => {
        return level === "warn" && message.startsWith("this node was removed from its cluster");
    }));
    await assert.rejects(cluster.run(removed.dispatch("replicateData", 1)), { code: "NOT_MEMBER" });
    // Started again, it joins again.
    await cluster.run(removed.destroy());
    cluster.kill(id);
    await cluster.start(id);
    await cluster.elected();
});

test("a departure of an unknown run does not remove the next run", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const [[gone], [told]] = [...cluster.nodes].filter(([, raft]) => raft !== leader);
    // The leader hears nothing of it, so that the other node remembers it.
    cluster.arrives = (from, to, { kind }) => kind !== "gone";
    cluster.kill(gone);
    // It starts again, so that it has not heard the run that left.
    cluster.kill(told);
    const other = cluster.make(told);
    await other.dispatch("serviceStarted", { node: { id: told, time: Date.now() } });
    await cluster.until(() => other.getLeader() === leader.getNode().id);
    other.dispatch("ackNode", { id: gone, time: 0 });
    await cluster.clock.advance(1_000);
    const again = cluster.make(gone);
    await again.dispatch("serviceStarted", { node: { id: gone, time: Date.now() } });
    await cluster.clock.advance(1_000);
    // The new run stands for election once, so that the node that was told hears it.
    const isCut = (from, to) => from === leader.getNode().id && to === gone;
    cluster.arrives = (from, to, { kind }) => kind !== "gone" && !isCut(from, to);
    await cluster.clock.advance(2_000);
    cluster.arrives = () => true;
    await cluster.clock.advance(3_000);
    assert.ok(ids(leader).includes(gone), `${told} had it removed`);
});

test("a departure that a node of another cluster reports has no effect", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const id = leader.getNode().id;
    const [member, victim] = ["1", "2", "3"].filter((each) => each !== id);
    const { message } = cluster.sent.find((each) => each.leaves === "dataResponse" && each.message.cluster);
    const gone = (fields) => ({
        ...message, kind: "gone", from: { id: member, incarnation: 1, session: "s" }, destination: { id },
        body: btoa(JSON.stringify({ id: victim, agoMs: 0 })), ...fields,
    });
    const before = leader.getRefused().malformed;
    for (const fields of [
        { cluster: "00".repeat(16) }, { cluster: undefined }, { destination: { id: victim } },
        { from: { id: "9", incarnation: 1, session: "s" } }, { body: btoa("{}") }, { body: btoa("no JSON") },
        { body: btoa(JSON.stringify({ id: "x".repeat(65), agoMs: 0 })) },
        { body: btoa(JSON.stringify({ id: victim, session: "y".repeat(65), agoMs: 0 })) },
    ]) leader.dispatch("dataResponseReceived", gone(fields));
    assert.equal(leader.getRefused().malformed, before + 8);
    await cluster.clock.advance(1_000);
    assert.equal(ids(leader).length, 3);
    leader.dispatch("dataResponseReceived", gone({}));
    await cluster.until(() => !ids(leader).includes(victim));
});

test("data of one node is committed in its order, also across a change of the leader", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    cluster.kill(leader.getNode().id);
    await cluster.until(() => [...cluster.nodes.values()].every((raft) => raft.getLeader() === null), 2_000);
    const [survivor] = cluster.nodes.values();
    const all = [];
    for (let number = 1; number <= 10; number++) {
        all.push(survivor.dispatch("replicateData", number));
        await cluster.clock.advance(60);
    }
    await cluster.run(Promise.all(all));
    await cluster.until(() => cluster.data().every((data) => data === 10));
    const seen = cluster.messages("committed", [...cluster.nodes.keys()][0]);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
});

test("a founding list is not read once the node has a state", async () => {
    const { cluster } = await running("1", "2");
    const text = cluster.files.files.get("1");
    for (const members of [["2", "3"], ["1", "9"]]) {
        const persistAgent = { persist() {}, restore: () => JSON.parse(text) };
        const raft = new Raftq({ ...TIMES, persistAgent, members, clock: cluster.clock });
        await raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
        assert.deepEqual(ids(raft), ["1", "2"]);
        await cluster.run(raft.destroy());
    }
});

test("a write that outlives its node replaces nothing that the next one writes", async () => {
    const cluster = new Cluster();
    let kept;
    let hanging;
    const persistAgent = {
        persist: (node, data) => {
            if (hanging) return new Promise((resolve) => (hanging.end = () => resolve(void (kept = data))));
            kept = data;
        },
        restore: () => kept,
    };
    const first = await cluster.start("1", { persistAgent });
    await cluster.until(() => first.isLeader());
    const held = hanging = {};
    first.dispatch("replicateData", "old").catch(() => undefined);
    await cluster.run(first.destroy());
    hanging = undefined;
    await assert.rejects(cluster.run(cluster.start("1", { persistAgent })), (error) => {
        assert.equal(error.code, "BUSY");
        return /persist\(\) of its previous run has not returned/.test(error.message);
    });
    const second = cluster.make("1", { persistAgent });
    const started = second.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
    held.end();
    await started;
    await cluster.run(second.dispatch("replicateData", "new"));
    await cluster.run(second.destroy());
    const third = await cluster.start("1", { persistAgent });
    await cluster.until(() => third.isLeader());
    assert.equal(third.getData(), "new");
});

test("a node that runs is not started again in the process with the same agent", async () => {
    const cluster = new Cluster();
    const persistAgent = cluster.files.agent();
    const first = await cluster.start("1", { persistAgent });
    const second = cluster.start("1", { persistAgent });
    await assert.rejects(second, { code: "BUSY", message: /runs in this process/ });
    await cluster.run(first.destroy());
    await cluster.start("1", { persistAgent });
});

test("a node that is told to leave while its state is restored does not start", async () => {
    const sets = (raft) => void (raft.getNode().time = 0);
    const dispatches = (raft) => raft.dispatch("serviceCrashed", {});
    for (const leaves of [sets, dispatches]) {
        const cluster = new Cluster();
        const raft = cluster.make("1");
        const started = raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
        await leaves(raft);
        await assert.rejects(started, { code: "NOT_MEMBER" });
        await cluster.clock.advance(5_000);
        assert.equal(raft.isLeader(), false);
    }
});

test("a listener that destroys its node again does not cut the hand-over short", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const term = leader.fence().token;
    let again;
    leader.subscribe("roleChanged", () => (again = leader.destroy()));
    const destroyed = leader.destroy();
    await cluster.run(destroyed);
    assert.equal(again, destroyed);
    assert.ok(cluster.sent.some(({ message }) => message.term > term), "another one stands for election");
});

test("`leave` does not resolve if the node ends before that was written", async () => {
    for (const fault of [() => new Promise(() => undefined), () => Promise.reject(new Error("disk full"))]) {
        const { cluster } = await running("1", "2");
        const files = cluster.files.agent();
        let isFaulty = false;
        const persistAgent = {
            persist: (node, data) => (isFaulty ? fault() : files.persist(node, data)),
            restore: files.restore,
        };
        const raft = await cluster.start("3", { persistAgent });
        await cluster.elected();
        raft.subscribe("log", ({ message }) => {
            isFaulty ||= message.startsWith("this node is no member of its cluster");
        });
        const left = raft.leave();
        left.catch(() => undefined);
        await cluster.until(() => isFaulty);
        await cluster.run(raft.destroy());
        await assert.rejects(left, { code: "UNKNOWN" });
    }
});

test("an agent that returns something strange ends no node", async () => {
    const cluster = new Cluster();
    const strange = { get then() { throw Object.create(null); } };
    const persistAgent = { persist: () => strange, restore: () => undefined };
    const raft = await cluster.start("1", { persistAgent });
    await cluster.clock.advance(3_000);
    assert.equal(raft.isLeader(), false);
    const said = cluster.messages("log", "1").map(({ message }) => message).join("\n");
    assert.match(said, /persist\(\) failed, .*: an error that cannot be printed/);
    assert.doesNotMatch(said, /panicked/);
});

test("a node whose core panics leads no more, says so, and rejects everything with PANIC", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const { RaftMachine } = createRequire(import.meta.url)("../../dist/cjs/raftq/core.js");
    const { received } = RaftMachine.prototype;
    RaftMachine.prototype.received = function () {
        RaftMachine.prototype.received = received;
        this.panic("as a fault would");
    };
    leader.dispatch("dataResponseReceived", cluster.sent.at(-1).message);
    const id = leader.getNode().id;
    assert.equal(leader.isLeader(), false);
    assert.equal(leader.getRole(), RaftRole.FOLLOWER);
    assert.equal(leader.fence(), undefined);
    assert.deepEqual([leader.getLeader(), leader.getMembers()], [null, []]);
    assert.equal(cluster.messages("roleChanged", id).at(-1).role, RaftRole.FOLLOWER);
    assert.match(cluster.messages("log", id).at(-1).message, /^the core panicked; this node never leads/);
    for (const call of [leader.dispatch("replicateData", 1), leader.transfer(), leader.leave()]) {
        await assert.rejects(call, { code: "PANIC" });
    }
    // The other nodes of the process go on.
    cluster.kill(id);
    await cluster.until(() => cluster.leaders().length === 1);
    await cluster.run(leader.destroy());
});
