// The transport over BroadcastChannel, between nodes of this process; edge/raftq.test.mjs runs it in tabs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BroadcastTransport, Raftq, memoryAgent } from "../../dist/cjs/raftq/index.mjs";
import { sleep, until } from "../support.mjs";
import { TIMES, ids, replicated } from "./cluster.mjs";

/** What is used of the Web Locks API, which Node 20 lacks. */
class Locks {
    /** The requests by name, in their order: those that hold the lock, and those that wait. */
    #requests = new Map();

    async request(name, ...more) {
        const granted = more.pop();
        const { signal, mode = "exclusive" } = more.pop() ?? {};
        const requests = this.#requests.get(name) ?? [];
        this.#requests.set(name, requests);
        const request = { name, mode };
        const isFree = () => {
            const earlier = requests.slice(0, requests.indexOf(request));
            return earlier.every((each) => mode === "shared" && each.mode === "shared");
        };
        requests.push(request);
        try {
            await until(() => isFree() || signal?.aborted);
            if (!isFree()) throw signal.reason;
            request.isHeld = true;
            return await granted();
        } finally {
            requests.splice(requests.indexOf(request), 1);
        }
    }

    async query() {
        return { held: [...this.#requests.values()].flat().filter(({ isHeld }) => isHeld) };
    }
}

function giveLocks(t, locks) {
    const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
    Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
    t.after(() => {
        delete globalThis.navigator;
        if (before) Object.defineProperty(globalThis, "navigator", before);
    });
}

/** A name that no other test uses, and nodes that end with the test. */
function channelOf(t) {
    const name = `test-${Math.random()}`;
    const started = async (id) => {
        const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent() });
        const detach = await new BroadcastTransport(name).attach(raft, id);
        t.after(async () => {
            await raft.destroy();
            detach();
        });
        await raft.dispatch("serviceStarted", { node: { id, time: Date.now() } });
        return { id, raft, detach };
    };
    return { name, started };
}

const led = (nodes) => until(() => nodes.find(({ raft }) => raft.isLeader()));
/** Whether these nodes know that they, and no others, are the voters. */
const areVoters = (nodes) => () => nodes.every(({ raft }) => {
    const voters = raft.getMembers().filter(({ isVoter }) => isVoter).map(({ id }) => id);
    return voters.length === raft.getMembers().length && voters.join() === nodes.map(({ id }) => id).join();
});

for (const [which, locks] of [["with", () => new Locks()], ["without", () => undefined]]) {
    test(`nodes find each other, elect and replicate, ${which} the Web Locks API`, async (t) => {
        giveLocks(t, locks());
        const { started } = channelOf(t);
        const nodes = await Promise.all(["a", "b", "c"].map(started));
        await until(areVoters(nodes));
        const leader = await led(nodes);
        const [follower, other] = nodes.filter((node) => node !== leader);
        await replicated(follower.raft, { by: follower.id });
        await until(() => other.raft.getData()?.by === follower.id);
        const late = await started("d");
        await until(areVoters([...nodes, late]));
        await until(() => late.raft.getData()?.by === follower.id);
    });
}

test("a node whose tab ends is removed, whether it leads or not", async (t) => {
    giveLocks(t, new Locks());
    const { started } = channelOf(t);
    const nodes = [await started("a"), await started("b"), await started("c"), await started("d")];
    await until(areVoters(nodes));
    const leader = await led(nodes);
    // Nothing of it is heard any more, and its lock is free.
    leader.detach();
    const left = nodes.filter((node) => node !== leader);
    await until(areVoters(left));
    const next = await led(left);
    const follower = left.find((node) => node !== next);
    follower.detach();
    await until(areVoters(left.filter((node) => node !== follower)));
});

test("a tab founds no cluster while another one, which is suspended, may have one", async (t) => {
    const locks = new Locks();
    giveLocks(t, locks);
    const { started } = channelOf(t);
    const a = await started("a");
    await until(() => a.raft.isLeader());
    const { held: [{ name }] } = await locks.query();
    // Another tab holds its lock, and answers nothing.
    let ends;
    const untilItEnds = () => new Promise((resolve) => (ends = resolve));
    const suspended = locks.request(name.replace(/a$/, "s"), untilItEnds);
    let isAttached = false;
    const late = started("b").then((node) => {
        isAttached = true;
        return node;
    });
    await until(() => ends);
    // Longer than a node that knows of no other waits before it founds a cluster.
    await sleep(1_500);
    assert.equal(isAttached, false);
    ends();
    await suspended;
    await until(areVoters([a, await late]));
});

test("a tab that ends is removed though another one, which watches it, is suspended", async (t) => {
    const locks = new Locks();
    giveLocks(t, locks);
    const { started } = channelOf(t);
    const gone = await started("a");
    const { held: [{ name }] } = await locks.query();
    // It watches before the others do, is told, and does nothing for ever.
    void locks.request(name, { mode: "shared" }, () => new Promise(() => undefined));
    const left = [await started("b"), await started("c")];
    await until(areVoters([gone, ...left]));
    gone.detach();
    await until(areVoters(left));
});

test("an id that another tab has is refused, until that has ended", async (t) => {
    giveLocks(t, new Locks());
    const { name, started } = channelOf(t);
    const { detach } = await started("a");
    const watching = await started("b");
    await until(() => watching.raft.getMembers().length === 2);
    const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent() });
    const again = () => new BroadcastTransport(name).attach(raft, "a");
    await assert.rejects(again(), { code: "BUSY", message: /has the node a: give each an id of its own/ });
    // Another channel has other nodes.
    (await new BroadcastTransport(`${name}-other`).attach(raft, "a"))();
    detach();
    (await again())();
});

test("whatever else is posted on the channel does no harm", async (t) => {
    giveLocks(t, new Locks());
    const { name, started } = channelOf(t);
    const { raft } = await started("a");
    await until(() => raft.isLeader());
    const stranger = new BroadcastChannel(name);
    t.after(() => stranger.close());
    const events = [
        "came", "there", "dataReceived", "voteRequestReceived", "replicateData", "serviceCrashed", "ackNode",
    ];
    const parts = [
        undefined, null, 1, "a", {}, { id: 1 }, { id: "a" }, { id: "a", time: 0 }, { destination: 1 },
        { destination: { id: "a" } }, { destination: { id: "a" }, kind: "vote", body: "AA==" },
    ];
    for (const value of [undefined, null, 1, "text", [], {}]) stranger.postMessage(value);
    for (const event of events) {
        for (const part of parts) stranger.postMessage({ event, message: part, node: part });
    }
    // What comes last: all before it has been judged then.
    const acknowledged = [];
    const dispatch = raft.dispatch.bind(raft);
    raft.dispatch = (event, message) => {
        acknowledged.push(message?.id);
        return dispatch(event, message);
    };
    stranger.postMessage({ event: "came", node: { id: "marker", time: 1 } });
    await until(() => acknowledged.includes("marker"));
    assert.ok(raft.getRefused().malformed > 0);
    assert.ok(raft.isLeader());
    assert.deepEqual(ids(raft), ["a"]);
    assert.equal(raft.getData(), undefined);
});

test("a node that is started with another id than it was attached with says so", async (t) => {
    const { name, started } = channelOf(t);
    await started("a");
    const said = [];
    const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent() });
    raft.subscribe("log", ({ level, message }) => level === "error" && said.push(message));
    const detach = await new BroadcastTransport(name).attach(raft, "b");
    t.after(detach);
    t.after(() => raft.destroy());
    await raft.dispatch("serviceStarted", { node: { id: "c", time: Date.now() } });
    await until(() => said.some((text) => text.includes("as b: start it with this id")));
});

test("a name and an id that are none are refused", async () => {
    const nameless = () => new BroadcastTransport();
    assert.throws(nameless, { code: "INVALID_OPTIONS", message: /the name is undefined/ });
    const raft = new Raftq({ ...TIMES, persistAgent: memoryAgent() });
    const attached = new BroadcastTransport("test").attach(raft, "");
    await assert.rejects(attached, { code: "INVALID_OPTIONS", message: /the id is ""/ });
});
