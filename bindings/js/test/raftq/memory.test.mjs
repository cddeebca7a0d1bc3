// The transport in memory, with the system's clock.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryTransport, Raftq, memoryAgent } from "../../dist/cjs/raftq/index.mjs";
import { until } from "../support.mjs";
import { TIMES } from "./cluster.mjs";

test("nodes on a transport in memory elect and replicate, also without one that is cut off", async () => {
    const network = new MemoryTransport();
    const persistAgent = memoryAgent();
    const members = ["1", "2", "3"];
    const nodes = members.map(() => new Raftq({ ...TIMES, persistAgent, members }));
    const ends = nodes.map((raft) => network.attach(raft));
    await Promise.all(nodes.map((raft, at) => {
        return raft.dispatch("serviceStarted", { node: { id: members[at], time: Date.now() } });
    }));
    const leader = () => nodes.find((raft) => raft.isLeader());
    await until(leader);
    const data = { at: "once", list: [1] };
    await leader().dispatch("replicateData", data);
    data.list.push(2);
    await until(() => nodes.every((raft) => raft.getData()?.at === "once"));
    for (const raft of nodes) assert.deepEqual(raft.getData(), { at: "once", list: [1] });
    // One is cut off, and the others go on without it.
    const cut = nodes.indexOf(leader());
    ends[cut]();
    await until(() => leader() && leader() !== nodes[cut]);
    assert.equal(nodes[cut].isLeader(), false);
    await Promise.all(nodes.map((raft) => raft.destroy()));
});
