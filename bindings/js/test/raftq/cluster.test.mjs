// Clusters of nodes in one process, on a fake clock.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RaftRole } from "../../dist/cjs/raftq/index.mjs";
import { Cluster, running } from "./cluster.mjs";

test("nodes that start one after the other are one cluster with one leader", async () => {
    const { cluster, leader } = await running("5050", "5051", "5052", "5053");
    assert.equal(leader.getRole(), RaftRole.LEADER);
    assert.equal(leader.getFollowers().length, 3);
    for (const raft of cluster.nodes.values()) {
        assert.equal(raft.getLeader(), leader.getNode().id);
        assert.equal(raft.isLeader(), raft === leader);
        assert.equal(raft.fence() !== undefined, raft === leader);
    }
    assert.ok(leader.fence().trustedForMs > 0 && leader.fence().trustedForMs <= 180);
});

test("nodes that start at the same moment are one cluster with one leader", async () => {
    const cluster = new Cluster();
    await Promise.all(["5050", "5051", "5052", "5053"].map((id) => cluster.start(id)));
    await cluster.elected();
});

test("a node alone leads after a while, and accepts data", async () => {
    const cluster = new Cluster();
    const raft = await cluster.start("5050");
    await cluster.run(raft.dispatch("replicateData", { a: 1 }));
    assert.deepEqual(raft.getData(), { a: 1 });
    assert.equal(raft.fence().trustedForMs, Infinity);
});

test("data replicated on the leader and on a follower reaches every node", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const follower = [...cluster.nodes.values()].find((raft) => raft !== leader);
    const proposals = [[leader, { from: "leader" }], [follower, ["from", "follower"]], [leader, null]];
    for (const [raft, data] of proposals) {
        await cluster.run(raft.dispatch("replicateData", data));
        await cluster.clock.advance(100);
        assert.deepEqual(cluster.data(), [data, data, data]);
    }
    for (const id of ["1", "2", "3"]) {
        assert.deepEqual(cluster.messages("committed", id), [{ from: "leader" }, ["from", "follower"], null]);
    }
});

test("when the leader is killed another node leads, with a larger token and the data", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    await cluster.run(leader.dispatch("replicateData", "kept"));
    await cluster.clock.advance(100);
    const { token } = leader.fence();
    cluster.kill(leader.getNode().id);
    await cluster.until(() => cluster.leaders().length === 1);
    const [next] = cluster.leaders();
    assert.ok(cluster.nodes.get(next).fence().token > token);
    assert.deepEqual(cluster.data(), ["kept", "kept"]);
    // It rejoins from its file.
    await cluster.start(leader.getNode().id);
    await cluster.elected();
    assert.deepEqual(cluster.data(), ["kept", "kept", "kept"]);
});

test("every change of role is told once, in order, with the role before it", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    cluster.kill(leader.getNode().id);
    await cluster.until(() => cluster.leaders().length === 1);
    for (const [id, raft] of cluster.nodes) {
        const last = cluster.messages("roleChanged", id).at(-1)?.role ?? RaftRole.FOLLOWER;
        assert.equal(last, raft.getRole());
    }
    for (const id of [leader.getNode().id, cluster.leaders()[0]]) {
        assert.ok(cluster.messages("roleChanged", id).length >= 1);
    }
    for (const id of ["1", "2", "3"]) {
        let role = RaftRole.FOLLOWER;
        for (const message of cluster.messages("roleChanged", id)) {
            assert.equal(message.previousRole, role);
            assert.notEqual(message.role, role);
            role = message.role;
        }
    }
});

test("a leader that is cut off does not lead once its trust has ended, even if timers are late", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const id = leader.getNode().id;
    cluster.arrives = (from, to) => from !== id && to !== id;
    cluster.clock.stall(200);
    assert.equal(leader.isLeader(), false);
    assert.equal(leader.getRole(), RaftRole.FOLLOWER);
    assert.equal(leader.fence(), undefined);
    assert.equal(leader.getLeader(), null);
    await cluster.until(() => cluster.leaders().length === 1);
    assert.notEqual(cluster.leaders()[0], id);
});

test("a node whose trust ends while a listener is slow does not tell that it leads", async () => {
    const cluster = new Cluster();
    let slow = 0;
    for (const id of ["1", "2", "3"]) {
        const raft = cluster.make(id, { members: ["1", "2", "3"] });
        raft.subscribe("log", ({ message }) => {
            if (message.startsWith("this node leads,") && slow++ < 3) cluster.clock.stall(500);
        });
        raft.subscribe("roleChanged", ({ role }) => {
            if (role === RaftRole.LEADER) assert.equal(raft.isLeader(), true);
        });
        await raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
    }
    await cluster.until(() => slow > 3 && cluster.leaders().length === 1);
    const said = cluster.events.map(({ message }) => message?.message ?? "").join("\n");
    assert.doesNotMatch(said, /a listener of `roleChanged` failed/);
});

test("a leader that is destroyed hands over within a few round trips", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const id = leader.getNode().id;
    const destroyed = leader.destroy();
    await cluster.clock.advance(40);
    assert.equal(leader.isLeader(), false);
    assert.equal(cluster.leaders().length, 1);
    assert.notEqual(cluster.leaders()[0], id);
    await cluster.run(destroyed);
});

test("a node that leaves is removed, and joins again when it is started again", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const id = leader.getNode().id;
    leader.getNode().time = 0;
    await leader.dispatch("serviceCrashed", { reason: "SIGINT" });
    await cluster.run(leader.destroy());
    cluster.kill(id);
    await cluster.elected();
    assert.equal([...cluster.nodes.values()][0].getMembers().length, 2);
    await cluster.start(id);
    await cluster.elected();
});

test("no timer is left after `destroy`", async () => {
    const { cluster } = await running("1", "2", "3");
    await cluster.run(Promise.all([...cluster.nodes.values()].map((raft) => raft.destroy())));
    // Messages on their way arrive nowhere.
    await cluster.clock.advance(cluster.delayMs);
    assert.equal(cluster.clock.timers, 0);
});

test("with `members` the nodes of the list are one cluster, and another one is refused by name", async () => {
    const members = ["1", "2", { id: "3", witness: true }];
    const cluster = new Cluster();
    for (const id of ["1", "2", "3"]) await cluster.start(id, { members, witness: id === "3" });
    const leader = await cluster.elected();
    assert.notEqual(leader.getNode().id, "3");
    assert.deepEqual(leader.getMembers().map(({ id, isWitness }) => [id, isWitness]),
        [["1", false], ["2", false], ["3", true]]);
    await assert.rejects(cluster.start("4", { members }), (error) => {
        assert.equal(error.code, "INVALID_OPTIONS");
        assert.match(error.message, /cannot start node 4: `members` does not name it/);
        return true;
    });
});

test("leadership goes to the node of the highest priority, and where `transfer` sends it", async () => {
    const cluster = new Cluster();
    for (const id of ["1", "2", "3"]) await cluster.start(id, { priority: id === "3" ? 1 : 0 });
    await cluster.elected();
    await cluster.until(() => cluster.leaders()[0] === "3");
    await assert.rejects(cluster.nodes.get("1").transfer(), { code: "NOT_LEADER" });
    await assert.rejects(cluster.run(cluster.nodes.get("3").transfer("9")), { code: "TRANSFER_FAILED" });
    await cluster.run(cluster.nodes.get("3").transfer("1"));
    await cluster.until(() => cluster.leaders()[0] === "1");
});

test("messages that are delivered at once, within the listener, do not run into a node", async () => {
    const cluster = new Cluster();
    cluster.deliversAtOnce = true;
    for (const id of ["1", "2", "3"]) await cluster.start(id);
    const leader = await cluster.elected();
    await cluster.run(leader.dispatch("replicateData", 1));
    await cluster.until(() => cluster.data().every((data) => data === 1));
});
