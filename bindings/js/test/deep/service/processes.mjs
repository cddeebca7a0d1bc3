// Runs program.mjs or ready.mjs in several processes on loopback, and judges what watch.mjs recorded.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts } from "../../ports.mjs";
import { until as polled } from "../../support.mjs";
import { LEADER, UNHANDLED, now, watchedFile } from "./watch.mjs";

/** The path of a program in this folder. */
const pathOf = (program) => fileURLToPath(new URL(program, import.meta.url));

/** The nodes that the program knows of. One more may join. */
export const PEERS = 4;

/** Polls so rarely that it takes no time from the processes. */
const until = (holds, about) => polled(holds, about, 100);

/** A running program. */
class Service {
    /** What it printed. */
    said = "";

    constructor(program, folder, environment) {
        this.folder = folder;
        this.child = fork(pathOf(program), [], { env: { ...process.env, ...environment }, silent: true });
        for (const stream of [this.child.stdout, this.child.stderr]) {
            stream.on("data", (data) => (this.said += data));
        }
        this.ended = once(this.child, "exit");
    }

    get isOver() {
        return this.child.exitCode !== null || this.child.signalCode !== null;
    }

    /** What was recorded of it. */
    get records() {
        const file = watchedFile(this.folder, this.child.pid);
        return existsSync(file) ? recordsIn(file) : [];
    }

    /** Waits until it listens: its port is the node's id. */
    async listens() {
        const listens = () => {
            // Asked first: it may listen and end in between.
            const { isOver } = this;
            const listening = this.records.find(({ what }) => what === "listens");
            assert.ok(listening || !isOver, this.said);
            return listening;
        };
        const { port } = await until(listens, () => this.said);
        this.id = String(port);
        this.url = `http://localhost:${port}`;
    }

    /** What its node knows; `undefined` if it does not answer. */
    async state() {
        const response = await fetch(this.url).catch(() => undefined);
        return response?.json();
    }

    /** Replicates data through this node. */
    async replicate(data) {
        const headers = { "content-type": "application/json" };
        const request = { method: "PUT", headers, body: JSON.stringify(data) };
        const response = await fetch(`${this.url}/data`, request);
        assert.ok(response.ok, `${await response.text()} ${this.said}`);
    }
}

/** Programs that share a folder, with the ports from a free one on. */
class Services {
    folder = mkdtempSync(join(tmpdir(), "elector-raftq-"));
    /** Those that were started and not ended by the test. */
    running = [];

    /** With `members`, the first four are the founding list of all programs. */
    static async make({ members = false, program = "program.mjs" } = {}) {
        const services = new Services();
        services.program = program;
        services.ids = (await freePorts(PEERS + 1)).slice(0, PEERS).map(String);
        const list = services.ids.join();
        services.environment = { PEERS: list, FOLDER: services.folder, MEMBERS: members ? list : "" };
        return services;
    }

    /** Starts a program, which listens on the first free port from this one on. */
    async start(port = this.ids[0]) {
        const service = new Service(this.program, this.folder, { ...this.environment, FIRST_PORT: port });
        this.running.push(service);
        await service.listens();
        return service;
    }

    /** Ends a program, and returns when it was told. */
    async end(service, signal) {
        this.running = this.running.filter((each) => each !== service);
        const at = now();
        service.child.kill(signal);
        const [code, by] = await service.ended;
        if (signal !== "SIGINT") return at;
        assert.deepEqual([code, by], [0, null], service.said);
        const { timers } = service.records.find(({ what }) => what === "ends");
        assert.equal(timers, 0, "its node left timers behind");
        return at;
    }

    /**
     * Waits until one node leads, and all know that and have all running nodes as members, and the same data,
     * and returns the leader.
     */
    async agreed() {
        const agree = async () => {
            const states = await Promise.all(this.running.map((service) => service.state()));
            if (states.includes(undefined)) return undefined;
            const leaders = states.filter(({ leads }) => leads);
            const ids = this.running.map(({ id }) => id).sort().join();
            const isAgreed = ({ leader, members, data }) => {
                const [{ id, data: newest }] = leaders;
                const isNewest = JSON.stringify(data) === JSON.stringify(newest);
                return leader === id && members.sort().join() === ids && isNewest;
            };
            if (leaders.length !== 1 || !states.every(isAgreed)) return undefined;
            return this.running.find(({ id }) => id === leaders[0].id);
        };
        return until(agree, () => this.about());
    }

    /** The clusters of which the running programs said that they belong to them. */
    get clusters() {
        const named = this.running.flatMap(({ said }) => said.match(/(?<=belongs to cluster )\w+/g) ?? []);
        return [...new Set(named)];
    }

    /** The end of what the running programs printed. */
    about() {
        return this.running.map(({ id, said }) => `\n--- ${id}\n${said.slice(-5_000)}`).join("");
    }

    /** All that was recorded. */
    get records() {
        return recordsOf(this.folder);
    }

    /** Waits for the first leader after this instant, and returns when it was told that it leads. */
    async nextLeader(after) {
        const leads = ({ what, role, at }) => what === "role" && role === LEADER && at > after;
        const { at } = await until(() => this.records.find(leads), () => this.about());
        return at;
    }

    /** What was recorded of a program does not count. */
    forget({ child }) {
        rmSync(watchedFile(this.folder, child.pid));
    }

    /** Kills all that run, and removes what they wrote. */
    async stop() {
        const ended = this.running.splice(0).map(({ child, ended }) => child.kill("SIGKILL") && ended);
        await Promise.all(ended);
        rmSync(this.folder, { recursive: true, force: true });
    }
}

/** What was recorded in a folder. */
function recordsOf(folder) {
    const files = readdirSync(folder).filter((name) => name.startsWith("watched-"));
    return files.flatMap((name) => recordsIn(join(folder, name)));
}

function recordsIn(file) {
    // The last line may not be written yet.
    return readFileSync(file, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

/**
 * The terms in which a process led, each from its first sample to its last one: it led all the time between,
 * because a leader whose trust ended leads no more in that term.
 */
function termsLed(records) {
    const terms = new Map();
    for (const { pid, from, to, term } of records.filter(({ what }) => what === "leads")) {
        const key = `${pid} ${term}`;
        const led = terms.get(key) ?? { key, from: to, to: from };
        terms.set(key, { key, from: Math.min(led.from, to), to: Math.max(led.to, from) });
    }
    return [...terms.values()];
}

/**
 * Runs `body` with services, ends them, and asserts that no two nodes ever led at once and nothing was
 * unhandled. Returns how many samples and terms that rests on.
 */
export async function withServices(options, body) {
    const services = await Services.make(options);
    try {
        await body(services);
        return judge(services.records);
    } finally {
        await services.stop();
    }
}

function judge(records) {
    const terms = termsLed(records);
    for (const one of terms) {
        const rivals = terms.filter(({ key, from, to }) => key > one.key && from <= one.to && one.from <= to);
        assert.deepEqual(rivals, [], `led at the same time as ${JSON.stringify(one)}`);
    }
    assert.deepEqual(records.filter(({ what }) => UNHANDLED.includes(what)), []);
    assert.ok(terms.length > 0, "no leader was recorded");
    return { samples: records.filter(({ what }) => what === "leads").length, terms: terms.length };
}
