// Whatever is dispatched: data, garbage, and events that do not exist.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Raftq } from "../../dist/cjs/raftq/index.mjs";
import { ARRIVES, Cluster, TIMES, running, unhandledWhile } from "./cluster.mjs";

const NETWORK = Object.values(ARRIVES);

test("garbage changes nothing, is counted, and never rejects", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    await cluster.run(leader.dispatch("replicateData", "kept"));
    const [good] = cluster.sent.filter(({ leaves }) => leaves === "syncData");
    const cut = (length) => ({ ...good.message, body: good.message.body.slice(0, length) });
    const hostile = { get v() { throw new Error("hostile"); } };
    const endless = {};
    endless.body = endless;
    const garbage = [undefined, null, 0, "", "text", [], {}, Symbol("s"), () => undefined, hostile, endless,
        { v: 1 }, { v: 2 }, { ...good.message, body: "%%" }, { ...good.message, body: 7 }, cut(8), cut(40),
        { ...good.message, from: null }, { ...good.message, from: { id: 1 } },
        { ...good.message, body: "A".repeat(4_000_000) }];
    const before = leader.getRefused();
    const term = leader.fence().token;
    for (const type of [...NETWORK, "ackNode", "no such event", ""]) {
        for (const message of garbage) await leader.dispatch(type, message);
    }
    const after = leader.getRefused();
    assert.ok(after.malformed >= before.malformed + 50, JSON.stringify(after));
    assert.ok(after.invalid > before.invalid);
    assert.equal(leader.fence().token, term);
    await cluster.clock.advance(1_000);
    assert.deepEqual(cluster.data(), ["kept", "kept", "kept"]);
    assert.equal(leader.isLeader(), true);
    // One line for each ten seconds, not for each message.
    const warnings = cluster.messages("log", leader.getNode().id).filter(({ level }) => level === "warn");
    assert.ok(warnings.length === 1 || warnings.length === 2, JSON.stringify(warnings));
    assert.match(warnings[0].message, /^a message was refused: its version `v` is undefined, not 1/);
});

test("a message of another cluster is refused and counted", async () => {
    const one = await running("1", "2");
    const other = await running("1", "2");
    const { message } = other.cluster.sent.findLast(({ message: { destination } }) => destination.id === "1");
    one.cluster.nodes.get("1").dispatch("dataReceived", message);
    const { cluster, address } = one.cluster.nodes.get("1").getRefused();
    assert.ok(cluster + address > 0);
});

test("a rejection that nobody awaits ends no process, and is logged", async () => {
    const raft = new Raftq({ ...TIMES, persistAgent: { persist() {}, restore() {} } });
    const logged = [];
    raft.subscribe("log", ({ level, message }) => logged.push(`${level} ${message}`));
    const unhandled = await unhandledWhile(() => {
        raft.dispatch("replicateData", 1);
        raft.dispatch("serviceStarted", {});
    });
    assert.equal(unhandled, 0);
    assert.deepEqual(logged, [
        "error replicateData: this node does not run: dispatch `serviceStarted` first",
        "error serviceStarted: `node.id` is undefined; give an id, a text of 1 to 64 bytes",
    ]);
});

test("data that cannot be replicated is refused, with a code", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const circle = {};
    circle.circle = circle;
    for (const data of [undefined, () => undefined, Symbol("s"), 1n, circle]) {
        await assert.rejects(leader.dispatch("replicateData", data), { code: "INVALID_DATA" });
    }
    const large = leader.dispatch("replicateData", "x".repeat(70_000));
    await assert.rejects(cluster.run(large), { code: "TOO_LARGE", message: /more than 65536 bytes as JSON/ });
    const follower = [...cluster.nodes.values()].find((raft) => raft !== leader);
    const forwarded = follower.dispatch("replicateData", "x".repeat(70_000));
    await assert.rejects(cluster.run(forwarded), { code: "TOO_LARGE" });
    assert.deepEqual(cluster.data(), [undefined, undefined, undefined]);
});

test("without a quorum data is not committed, and the error says what may have become of it", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    for (const [id, raft] of cluster.nodes) if (raft !== leader) cluster.kill(id);
    // While it leads it may have sent the data; once it does not, it has not.
    await assert.rejects(cluster.run(leader.dispatch("replicateData", 1)), { code: "UNKNOWN" });
    await assert.rejects(cluster.run(leader.dispatch("replicateData", 2)), { code: "NOT_COMMITTED" });
});

test("data waits for a leader, and a lost answer is unknown", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    cluster.kill(leader.getNode().id);
    await cluster.until(() => [...cluster.nodes.values()].every((raft) => raft.getLeader() === null), 2_000);
    const [survivor] = cluster.nodes.values();
    await cluster.run(survivor.dispatch("replicateData", "later"));
    await cluster.until(() => cluster.data().every((data) => data === "later"));
    const follower = [...cluster.nodes.values()].find((raft) => !raft.isLeader());
    cluster.arrives = (from, to, { kind }) => kind !== "propose_answer";
    await assert.rejects(cluster.run(follower.dispatch("replicateData", "unheard")), { code: "UNKNOWN" });
    assert.deepEqual(cluster.data(), ["unheard", "unheard"]);
});

test("a listener that throws or rejects reaches nobody else", async () => {
    const cluster = new Cluster();
    const raft = cluster.make("1");
    let heard = 0;
    raft.subscribe("roleChanged", () => { throw new Error("thrown"); });
    raft.subscribe("roleChanged", async () => { throw new Error("rejected"); });
    const unsubscribe = raft.subscribe("roleChanged", () => void (heard += 1));
    raft.subscribe("log", () => { throw new Error("in the log"); });
    const unhandled = await unhandledWhile(async () => {
        await raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
        await cluster.until(() => raft.isLeader());
    });
    unsubscribe();
    assert.ok(heard > 0);
    assert.equal(unhandled, 0);
    const said = cluster.messages("log", "1").map(({ message }) => message).join("\n");
    assert.match(said, /a listener of `roleChanged` failed: thrown/);
    assert.match(said, /a listener of `roleChanged` failed: rejected/);
    const misspelt = () => raft.subscribe("rolechanged", () => undefined);
    assert.throws(misspelt, /there is no event `rolechanged`; the events are/);
});

test("options that are wrong are refused by the constructor, with what was found", () => {
    const persistAgent = { persist() {}, restore() {} };
    const make = (options) => () => new Raftq({ ...TIMES, persistAgent, ...options });
    for (const [options, message] of [
        [{ heartbeat: 150 }, /a heartbeat of 150 ms and elections after 200 to 800 ms do not fit/],
        [{ heartbeat: "100" }, /`heartbeat` is "100"; give a whole number of milliseconds/],
        [{ minimumElectionTime: 900 }, /do not fit/],
        [{ persistAgent: {} }, /`persistAgent.persist` is no function/],
        [{ persistAgent: undefined }, /`persistAgent.persist` is no function/],
        [{ priority: 256 }, /`priority` is 256/],
        [{ members: "1" }, /`members` is no array/],
        [{ members: [1] }, /`members` has 1; give ids/],
        [{ members: [""] }, /`members` has ""; give ids/],
        [{ members: [{ name: "1" }] }, /`members` has a member without an id/],
        [{ members: ["\ud800"] }, /`members` has .*; give ids/],
        [{ members: [{ id: "1", witness: "yes" }] }, /`witness` is "yes"; give true or false/],
        [{ witness: "yes" }, /`witness` is "yes"; give true or false/],
        [{ memberz: ["1"] }, /there is no option `memberz`; the options are heartbeat, /],
        [{ seed: 1 }, /`seed` is 1; give a bigint/],
        [{ clock: {} }, /`clock.now` is no function/],
        [{ members: ["1", "1"] }, /member 1 is listed twice/],
    ]) {
        assert.throws(make(options), { code: "INVALID_OPTIONS", message }, JSON.stringify(options));
    }
    assert.throws(() => new Raftq(), { code: "INVALID_OPTIONS" });
});

test("what cannot be printed, or is no text, ends neither a node nor the process", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const bare = Object.create(null);
    const throwing = { get id() { throw bare; } };
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const unhandled = await unhandledWhile(async () => {
        for (const name of [bare, { toString: null }, Symbol("s"), 7, undefined, ["ackNode"]]) {
            await leader.dispatch(name, {});
        }
        for (const message of [throwing, proxy, { id: "\ud800", time: 1 }, { id: "2", time: -1 }]) {
            await leader.dispatch("ackNode", message);
        }
        leader.subscribe("committed", () => { throw bare; });
        leader.subscribe("committed", () => Promise.reject(bare));
        await cluster.run(leader.dispatch("replicateData", 1));
        const unwritable = leader.dispatch("replicateData", { toJSON() { throw bare; } });
        await assert.rejects(unwritable, { code: "INVALID_DATA" });
        for (const to of [5051, {}, [], Symbol("s"), "", "x".repeat(65)]) {
            const refusal = { code: "INVALID_OPTIONS", message: /^`to` is .*; give an id/ };
            await assert.rejects(leader.transfer(to), refusal);
        }
    });
    assert.equal(unhandled, 0);
    assert.equal(leader.isLeader(), true);
    assert.equal(leader.getMembers().length, 3);
    const said = cluster.messages("log", leader.getNode().id).map(({ message }) => message).join("\n");
    assert.match(said, /a listener of `committed` failed: an error that cannot be printed/);
});

test("data that is too large is refused without harm to the data that waits beside it", async () => {
    const { cluster, leader } = await running("1", "2", "3");
    const first = leader.dispatch("replicateData", "a");
    const second = leader.dispatch("replicateData", "b");
    // It has fewer characters than bytes.
    await assert.rejects(leader.dispatch("replicateData", "ä".repeat(40_000)), { code: "TOO_LARGE" });
    await cluster.run(Promise.all([first, second]));
    await cluster.until(() => cluster.data().every((data) => data === "b"));
});

test("what a node gives out, and what it was given, cannot be changed from outside", async () => {
    const cluster = new Cluster();
    const members = ["1", { id: "2" }];
    const one = cluster.make("1", { members });
    const two = cluster.make("2", { members });
    members.push("3");
    members[1].id = "4";
    for (const [id, raft] of [["1", one], ["2", two]]) {
        await raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
    }
    one.subscribe("membershipChanged", (change) => change.members.reverse());
    const leader = await cluster.elected();
    assert.throws(() => { one.getNode().id = "9"; }, TypeError);
    assert.throws(() => { one.getNode().session = "s"; }, TypeError);
    assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(one.getNode()))), ["id", "time", "session"]);
    const changes = cluster.messages("membershipChanged", "1").length;
    for (let data = 0; data < 5; data++) await cluster.run(leader.dispatch("replicateData", data));
    assert.equal(cluster.messages("membershipChanged", "1").length, changes);
});

test("a listener that another one has ended is not called", async () => {
    const cluster = new Cluster();
    const raft = cluster.make("1");
    let heard = 0;
    let end;
    raft.subscribe("roleChanged", () => end());
    end = raft.subscribe("roleChanged", () => void (heard += 1));
    await raft.dispatch("serviceStarted", { node: { id: "1", time: 1 } });
    await cluster.until(() => raft.isLeader());
    assert.equal(heard, 0);
});

test("a node without a leader says so after a while, and names the silent members", async () => {
    const cluster = new Cluster();
    await cluster.start("1", { members: ["1", "2", "3"] });
    await cluster.clock.advance(20_000);
    const warnings = cluster.messages("log", "1").filter(({ level }) => level === "warn");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0].message, /^there has been no leader for 4 s. These members are silent: 2, 3. A/);
    await cluster.start("2", { members: ["1", "2", "3"] });
    await cluster.until(() => cluster.leaders().length === 1);
    await cluster.clock.advance(20_000);
    assert.equal(cluster.messages("log", "1").filter(({ level }) => level === "warn").length, 1);
});
