// The ready-made agents: on a real disk, in processes that are killed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
    existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fileAgent, memoryAgent } from "../../dist/cjs/raftq/index.mjs";
import { Cluster } from "./cluster.mjs";

const NODE = { id: "1", time: 1 };

/** A state that is told apart by its number. */
const state = (number, length = 4) => ({ raftq: 1, id: "1", state: String(number).padStart(length, "0") });

function temporary(t) {
    const folder = mkdtempSync(join(tmpdir(), "elector-states-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
}

test("an agent restores what it kept last, and nothing before the first", async (t) => {
    const folder = join(temporary(t), "states");
    for (const agent of [memoryAgent(), fileAgent(folder)]) {
        assert.equal(await agent.restore(NODE), undefined);
        for (const number of [1, 2]) await agent.persist(NODE, state(number));
        assert.deepEqual(await agent.restore(NODE), state(2));
        assert.equal(await agent.restore({ id: "2", time: 1 }), undefined);
    }
    assert.deepEqual(await fileAgent(folder).restore(NODE), state(2));
});

test("whenever a process is killed, its file has the state that it kept last or the next one", async (t) => {
    const folder = temporary(t);
    const agent = fileURLToPath(new URL("../../dist/cjs/raftq/index.mjs", import.meta.url));
    const writes = `
        import { fileAgent } from ${JSON.stringify(agent)};
        const agent = fileAgent(process.argv[1]);
        let number = Number((await agent.restore({ id: "1" }))?.state ?? 0);
        for (;;) {
            number += 1;
            const state = String(number).padStart(200_000, "0");
            await agent.persist({ id: "1" }, { raftq: 1, id: "1", state });
            console.log(number);
        }`;
    for (let kill = 1; kill <= 10; kill++) {
        const args = ["--input-type=module", "-e", writes, folder];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        const exit = once(child, "exit");
        let last = 0;
        for await (const line of createInterface({ input: child.stdout })) {
            last = Number(line);
            if (last >= 3 * kill) child.kill("SIGKILL");
        }
        await exit;
        const { state: text } = await fileAgent(folder).restore(NODE);
        assert.equal(text.length, 200_000);
        assert.ok([last, last + 1].includes(Number(text)), `it kept ${last}, the file has ${Number(text)}`);
    }
});

test("ids with any characters have files of their own in the folder", async (t) => {
    const folder = temporary(t);
    const agent = fileAgent(folder);
    const ids = ["../1", "..", "a/b", "a b", "%", "ä", "a%2Fb"];
    for (const id of ids) await agent.persist({ id, time: 1 }, { ...state(1), id });
    for (const id of ids) assert.equal((await agent.restore({ id, time: 1 })).id, id);
    assert.ok(existsSync(join(folder, "..%2F1.json")));
});

test("a file that is no JSON is an error that names it, and no first start", async (t) => {
    const folder = temporary(t);
    writeFileSync(join(folder, "1.json"), '{"raftq":1,"st');
    const named = (error) => error.code === "INVALID_STATE" && error.message.includes(join(folder, "1.json"));
    await assert.rejects(fileAgent(folder).restore(NODE), named);
    mkdirSync(join(folder, "2.json"));
    await assert.rejects(fileAgent(folder).restore({ id: "2", time: 1 }), { code: "EISDIR" });
});

test("a missing volume is no first start, and its folders are not made", async (t) => {
    const folder = temporary(t);
    const inVolume = join(folder, "volume", "states");
    await assert.rejects(fileAgent(inVolume).restore(NODE), { code: "ENOENT" });
    await assert.rejects(fileAgent(inVolume).persist(NODE, state(1)), { code: "ENOENT" });
    assert.ok(!existsSync(join(folder, "volume")));
    symlinkSync(join(folder, "elsewhere"), join(folder, "1.json"));
    await assert.rejects(fileAgent(folder).restore(NODE), { code: "ENOENT" });
});

test("a relative folder stays where it was when the process changes its folder", async (t) => {
    const [before, folder] = [process.cwd(), temporary(t)];
    t.after(() => process.chdir(before));
    process.chdir(folder);
    const agent = fileAgent("states");
    process.chdir(before);
    await agent.persist(NODE, state(1));
    assert.ok(existsSync(join(folder, "states", "1.json")));
});

test("a node whose file another process writes or removes keeps nothing more, and says why", async (t) => {
    const folder = temporary(t);
    const path = join(folder, "1.json");
    const [one, other] = [fileAgent(folder), fileAgent(folder)];
    await one.restore(NODE);
    await one.persist(NODE, state(1));
    await other.restore(NODE);
    await other.persist(NODE, state(2));
    const written = { code: "INVALID_STATE", message: /1\.json was written by another process while this/ };
    await assert.rejects(one.persist(NODE, state(3)), written);
    await assert.rejects(one.persist(NODE, state(3)), written);
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), state(2));
    rmSync(path);
    await assert.rejects(other.persist(NODE, state(3)), /1\.json was removed while this node used it/);
    assert.ok(!existsSync(path));
});

test("a write that failed is repeated", async (t) => {
    const folder = temporary(t);
    const agent = fileAgent(folder);
    await agent.restore(NODE);
    // The new file cannot be opened for writing.
    mkdirSync(join(folder, "1.json.new"));
    await assert.rejects(agent.persist(NODE, state(1)), { code: "EISDIR" });
    rmSync(join(folder, "1.json.new"), { recursive: true });
    await agent.persist(NODE, state(2));
    await agent.persist(NODE, state(3));
    assert.deepEqual(await agent.restore(NODE), state(3));
});

test("a cluster keeps its data in files while all its nodes are down", async (t) => {
    const files = fileAgent(temporary(t));
    const writes = new Set();
    const persistAgent = {
        restore: files.restore,
        persist(node, data) {
            const write = files.persist(node, data);
            const done = write.finally(() => writes.delete(done));
            writes.add(done);
            return write;
        },
    };
    const start = async (seed) => {
        const cluster = new Cluster();
        // The clock of the test stands still while the disk works, however slow that is.
        const advance = cluster.clock.advance.bind(cluster.clock);
        cluster.clock.advance = async (ms) => {
            await Promise.all(writes);
            await advance(ms);
        };
        for (const id of ["1", "2", "3"]) await cluster.start(id, { persistAgent, seed: seed + BigInt(id) });
        await cluster.elected();
        return cluster;
    };
    const first = await start(1n);
    await first.run(first.nodes.get("1").dispatch("replicateData", { kept: true }));
    await first.until(() => first.data().every((data) => data?.kept));
    for (const raft of first.nodes.values()) await first.run(raft.destroy());
    const second = await start(10n);
    await second.until(() => second.data().every((data) => data?.kept));
    for (const raft of second.nodes.values()) await second.run(raft.destroy());
});
