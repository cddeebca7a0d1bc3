// `ackNode` with `time: 0`: a node left, as another one was told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RaftRole } from "../../dist/cjs/raftq/index.mjs";
import { ids, running } from "./cluster.mjs";

/** A cluster of three with a leader; the leader, and two followers. */
async function three() {
    const { cluster, leader } = await running("1", "2", "3");
    const followers = [...cluster.nodes.values()].filter((raft) => raft !== leader);
    return { cluster, leader, followers };
}

test("the leader removes a node that left, whichever node was told", async () => {
    for (const told of ["leader", "follower"]) {
        const { cluster, leader, followers: [gone, other] } = await three();
        const { id } = gone.getNode();
        cluster.kill(id);
        (told === "leader" ? leader : other).dispatch("ackNode", { id, time: 0 });
        await cluster.until(() => !ids(leader).includes(id));
        await cluster.until(() => !ids(other).includes(id));
    }
});

test("the next leader removes a leader that left without a word to the others", async () => {
    const { cluster, leader, followers: [told, other] } = await three();
    const { id } = leader.getNode();
    told.dispatch("ackNode", { id, time: 0 });
    await cluster.clock.advance(50);
    assert.equal(leader.isLeader(), true, "being told starts no election");
    cluster.kill(id);
    await cluster.until(() => !ids(told).includes(id) && !ids(other).includes(id));
});

test("a node that is heard of again has not left", async () => {
    const { cluster, leader, followers: [back, other] } = await three();
    const { id } = back.getNode();
    cluster.kill(id);
    cluster.arrives = (from, to, { kind }) => kind !== "gone";
    other.dispatch("ackNode", { id, time: 0 });
    other.dispatch("ackNode", { id, time: Date.now() });
    await cluster.clock.advance(100);
    cluster.arrives = () => true;
    await cluster.clock.advance(5_000);
    assert.ok(ids(leader).includes(id));
    // Another run of it than the one that left.
    other.dispatch("ackNode", { id, time: 0, session: "an earlier run" });
    await cluster.clock.advance(5_000);
    assert.ok(ids(leader).includes(id));
});

test("a departure is forgotten after ten maximum election times", async () => {
    const { cluster, leader, followers: [gone, other] } = await three();
    const { id } = gone.getNode();
    cluster.arrives = (from, to, { kind }) => kind !== "gone";
    cluster.kill(id);
    other.dispatch("ackNode", { id, time: 0 });
    await cluster.clock.advance(8_000);
    cluster.arrives = () => true;
    await cluster.clock.advance(3_000);
    assert.ok(ids(leader).includes(id));
});

test("what a node is told about itself is ignored", async () => {
    const { cluster, leader } = await three();
    for (const [id, raft] of cluster.nodes) raft.dispatch("ackNode", { id, time: 0 });
    await cluster.clock.advance(3_000);
    // Also before it runs.
    const [[id]] = [...cluster.nodes].filter(([, raft]) => raft !== leader);
    cluster.kill(id);
    const again = cluster.make(id);
    again.dispatch("ackNode", { id, time: 0 });
    await again.dispatch("serviceStarted", { node: { id, time: Date.now() } });
    await cluster.clock.advance(3_000);
    assert.equal(leader.getRole(), RaftRole.LEADER);
    assert.equal(ids(leader).length, 3);
});

test("of a cluster that leaves one by one the last node keeps the data", async () => {
    const { cluster, leader } = await three();
    await cluster.run(leader.dispatch("replicateData", "kept"));
    for (const id of ["1", "2", "3"]) {
        const raft = cluster.nodes.get(id);
        raft.getNode().time = 0;
        await raft.dispatch("serviceCrashed", { reason: "SIGINT" });
        await cluster.run(raft.destroy());
        cluster.kill(id);
        await cluster.until(() => cluster.nodes.size === 0 || cluster.leaders().length === 1);
    }
    // The last one leads alone; the others wait for it, and join it again.
    await cluster.start("1");
    await cluster.clock.advance(3_000);
    assert.equal(cluster.nodes.get("1").isLeader(), false);
    const said = cluster.messages("log", "1").map(({ message }) => message).join("\n");
    assert.match(said, /this node left cluster \w+, and joins no other: it waits until a member of/);
    await cluster.start("3");
    await cluster.start("2");
    await cluster.elected();
    assert.deepEqual(cluster.data(), ["kept", "kept", "kept"]);
});

test("`leave` resolves once the node is no member, and not for the only one", async () => {
    const { cluster, leader, followers: [leaver] } = await three();
    await cluster.run(leaver.leave());
    await cluster.until(() => !ids(leader).includes(leaver.getNode().id));
    const alone = await running("1");
    await assert.rejects(alone.leader.leave(), { code: "NOT_MEMBER", message: /only member/ });
});

/** A cluster of five; the leader, the node that leaves and the one that is told. */
async function five() {
    const { cluster, leader } = await running("1", "2", "3", "4", "5");
    const [[gone], [told]] = [...cluster.nodes].filter(([, raft]) => raft !== leader);
    return { cluster, leader, gone, told };
}

test("a node that left is removed although the one that was told knows an earlier run of it", async () => {
    const { cluster, leader, gone, told } = await five();
    cluster.kill(gone);
    // Only the leader hears the next run.
    cluster.arrives = (from, to) => !(from === gone && to !== leader.getNode().id);
    const again = cluster.make(gone);
    await again.dispatch("serviceStarted", { node: { id: gone, time: Date.now() } });
    await cluster.until(() => again.getLeader() !== null);
    await cluster.clock.advance(1_000);
    cluster.kill(gone);
    cluster.nodes.get(told).dispatch("ackNode", { id: gone, time: 0 });
    await cluster.until(() => !ids(leader).includes(gone));
});

test("a run that began after another node was told of the departure is not removed", async () => {
    const { cluster, leader, gone, told } = await five();
    // It has heard no run of the node that leaves.
    cluster.kill(told);
    const restarted = cluster.make(told);
    await restarted.dispatch("serviceStarted", { node: { id: told, time: Date.now() } });
    await cluster.until(() => restarted.getLeader() !== null);
    const id = leader.getNode().id;
    const isReport = (from, to, { kind }) => from === told && kind === "gone";
    cluster.arrives = (from, to, message) => !isReport(from, to, message) && !(from === gone && to === told);
    cluster.kill(gone);
    restarted.dispatch("ackNode", { id: gone, time: 0 });
    await cluster.clock.advance(300);
    const again = cluster.make(gone);
    await again.dispatch("serviceStarted", { node: { id: gone, time: Date.now() } });
    await cluster.until(() => again.getLeader() === id);
    await cluster.clock.advance(500);
    cluster.arrives = (from, to) => !(from === gone && to === told);
    await cluster.clock.advance(3_000);
    assert.ok(cluster.sent.some(({ id: from, message: { kind } }) => from === told && kind === "gone"));
    assert.ok(ids(leader).includes(gone));
});

test("a departure that is told before the node runs, or lags behind, is passed on later", async () => {
    const { cluster, leader, gone, told } = await five();
    cluster.kill(gone);
    cluster.kill(told);
    const again = cluster.make(told);
    again.dispatch("ackNode", { id: gone, time: 0 });
    await again.dispatch("serviceStarted", { node: { id: told, time: Date.now() } });
    await cluster.until(() => !ids(leader).includes(gone));
    // One that joins while another one is cut off is reported before that one knows of it.
    cluster.arrives = (from, to) => from !== told && to !== told;
    const late = await cluster.start("9");
    await cluster.until(() => ids(leader).includes("9") && late.getLeader() !== null);
    await cluster.clock.advance(500);
    cluster.kill("9");
    again.dispatch("ackNode", { id: "9", time: 0 });
    cluster.arrives = () => true;
    await cluster.until(() => !ids(leader).includes("9"));
});

test("a node that was reported gone is asked nothing any more once it is removed", async () => {
    const { cluster } = await running("1", "2", "3", "4");
    cluster.kill("4");
    for (const raft of cluster.nodes.values()) raft.dispatch("ackNode", { id: "4", time: 0 });
    await cluster.until(() => [...cluster.nodes.values()].every((raft) => ids(raft).join() === "1,2,3"));
    await cluster.clock.advance(1_000);
    cluster.sent.length = 0;
    await cluster.clock.advance(10_000);
    assert.ok(cluster.sent.length > 100);
    assert.deepEqual(cluster.sent.filter(({ message }) => message.destination.id === "4"), []);
});
