// A service that uses the package as the document of `raftq` does, in processes that are killed, told to
// end, and started again. Each sees at each 10 ms whether it leads: no two may at once.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { test } from "node:test";
import { PEERS, withServices } from "./service/processes.mjs";

/** A test with services, in which no two nodes ever led at once, and nothing was unhandled. */
function scenario(name, options, body) {
    test(name, async (t) => {
        const { samples, terms } = await withServices(options, body);
        t.diagnostic(`${samples} samples of leaders, ${terms} terms`);
    });
}

/** Starts all four, one after the other. */
async function startAll(services) {
    for (let count = 0; count < PEERS; count++) await services.start();
}

/** Waits until all agree, and asserts that the data is this on all. */
async function agreedOn(services, data) {
    const leader = await services.agreed();
    for (const service of services.running) assert.deepEqual((await service.state()).data, data);
    return leader;
}

scenario("nodes that are killed, leave and join keep one leader and the data", {}, async (services) => {
    await startAll(services);
    let leader = await services.agreed();
    const follower = services.running.find((service) => service !== leader);
    await leader.replicate({ by: "the leader" });
    await agreedOn(services, { by: "the leader" });
    await follower.replicate({ by: "a follower", list: [1, null, "ä"] });
    const data = { by: "a follower", list: [1, null, "ä"] };
    leader = await agreedOn(services, data);

    // Killed: another one leads, and the node rejoins from its file.
    const { id: killed } = leader;
    await services.nextLeader(await services.end(leader, "SIGKILL"));
    const rejoined = await services.start(killed);
    leader = await agreedOn(services, data);
    assert.doesNotMatch(rejoined.said, /founded/);

    // At SIGINT: another one leads, the node is no member any more, and joins again at its next start.
    const { id: left } = leader;
    await services.end(leader, "SIGINT");
    leader = await agreedOn(services, data);
    assert.notEqual(leader.id, left);
    await services.start(left);
    await agreedOn(services, data);

    // All are killed at the same moment, and started again.
    const ids = services.running.map(({ id }) => id);
    await Promise.all(services.running.map((service) => services.end(service, "SIGKILL")));
    for (const id of ids) await services.start(id);
    await agreedOn(services, data);

    // A fifth one.
    const fifth = await services.start();
    assert.ok(!ids.includes(fifth.id));
    leader = await agreedOn(services, data);
    await services.nextLeader(await services.end(leader, "SIGKILL"));
    await services.start(leader.id);
    await agreedOn(services, data);
});

scenario("with `members`, a fifth node is refused by name", { members: true }, async (services) => {
    await startAll(services);
    const leader = await services.agreed();
    await leader.replicate({ by: "the four" });
    const fifth = await services.start();
    services.running.pop();
    await fifth.ended;
    assert.match(fifth.said, new RegExp(`cannot start node ${fifth.id}: .members. does not name it`));
    // The document's program ends at a rejection that it does not handle.
    const [rejection, ...others] = services.records.filter(({ what }) => what === "unhandledRejection");
    assert.deepEqual([rejection.pid, others], [fifth.child.pid, []]);
    services.forget(fifth);
    await agreedOn(services, { by: "the four" });
});

test("four that start at the same moment found one cluster, twenty times", async () => {
    for (let round = 0; round < 20; round++) {
        await withServices({}, async (services) => {
            await Promise.all(Array.from({ length: PEERS }, () => services.start()));
            await services.agreed();
            assert.equal(services.clusters.length, 1, services.about());
        });
    }
});

/** All orders of a list. */
function ordersOf(list) {
    if (list.length < 2) return [list];
    return list.flatMap((first) => {
        return ordersOf(list.filter((each) => each !== first)).map((rest) => [first, ...rest]);
    });
}

scenario("all four end by SIGINT and start again, in every order, as one cluster", {}, async (services) => {
    await startAll(services);
    await services.agreed();
    let cluster;
    for (const [round, order] of ordersOf([0, 1, 2, 3]).entries()) {
        await services.running[0].replicate({ round });
        await agreedOn(services, { round });
        // They end in another order than they started in.
        const ends = services.running.slice();
        ends.push(...ends.splice(0, round % PEERS));
        for (const service of ends) await services.end(service, "SIGINT");
        for (const at of order) await services.start(services.ids[at]);
        await agreedOn(services, { round });
        cluster ??= services.clusters[0];
        assert.deepEqual(services.clusters, [cluster], services.about());
    }
});

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

/** Posts a text to an action, and waits for any answer. */
async function post(url, action, text) {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const posted = request(`${url}/raft/${action}`, { method: "POST", agent, headers });
    posted.end(text);
    try {
        const [response] = await once(posted, "response");
        await once(response.resume(), "end");
    } catch (error) {
        // A server closes connections that were idle, maybe just when one is used again.
        if (!posted.reusedSocket || error.code !== "ECONNRESET") throw error;
        await post(url, action, text);
    }
}

/** Garbage of many kinds: no JSON, other types, and messages in the name of members with a random body. */
function garbage(services, seed) {
    const [to, id] = [seed, seed + 1].map((at) => services.running[at % PEERS].id);
    const bytes = Buffer.from(Array.from({ length: seed % 200 }, (_, at) => (seed * 31 + at * 17) % 256));
    const forged = {
        v: 1, kind: ["append", "vote", "seek", "gone", "x"][seed % 5],
        from: { id, incarnation: seed, session: "x" }, destination: { id: to }, term: seed, timeout: 200,
        body: bytes.toString("base64"),
    };
    const values = [{}, [], [[[]]], { id: {} }, { id: null, time: 0 }, { node: { id: 5 } }, { id, time: "0" },
        { ...forged, cluster: "0".repeat(32) }, forged, { ...forged, body: 5 }, { ...forged, from: null },
        { ...forged, v: 2 }, { id: "x".repeat(100), time: 1 }, { time: -1 }, { toString: 1 }];
    // Each of the four gets each kind.
    const kind = Math.floor(seed / PEERS) % (values.length + 1);
    return kind < values.length ? JSON.stringify(values[kind]) : bytes.toString("latin1");
}

const POSTS = 10_000;

scenario("10 000 garbage posts to every action leave every process alive", {}, async (services) => {
    await startAll(services);
    await services.agreed();
    /** Posts to all four in turns. */
    const flood = async (action) => {
        let seed = 0;
        const next = async () => {
            while (seed < POSTS) {
                seed += 1;
                const { url } = services.running[seed % PEERS];
                await post(url, action, garbage(services, seed));
            }
        };
        await Promise.all(Array.from({ length: 4 * PEERS }, next));
        for (const service of services.running) assert.ok(await service.state(), service.said.slice(-5_000));
    };
    const actions = ["voteRequestReceived", "voteResponseReceived", "dataReceived", "dataResponseReceived",
        "ackNode", "serviceStarted", "replicateData", "noSuchEvent"];
    for (const action of actions) await flood(action);
    // They are a cluster as before.
    const leader = await services.agreed();
    await leader.replicate({ is: "whole" });
    await agreedOn(services, { is: "whole" });
    for (const { refused } of await Promise.all(services.running.map((service) => service.state()))) {
        assert.ok(refused.malformed > 0 && refused.invalid > 0, JSON.stringify(refused));
    }
    // Any body of this one makes a node leave, as in the document. The last one stays.
    await flood("serviceCrashed");
    const [{ data }] = (await Promise.all(services.running.map((service) => service.state())))
        .filter(({ members, id }) => members.join() === id);
    assert.deepEqual(data, { is: "whole" });
});
