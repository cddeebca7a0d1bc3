// The transcripts of tests/testdata/lease, played through WebAssembly: the machine must give the same outputs
// as in Rust. tests/core/lease.rs documents the commands.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { Machine } from "../dist/cjs/core.mjs";

const folder = new URL("../../../tests/testdata/lease/", import.meta.url);

function duration(text) {
    const [, sign, number, unit] = /^(-?)(\d+)(ms|s)$/.exec(text);
    return Number(`${sign}${number}`) * (unit === "s" ? 1_000 : 1);
}

function time(ms) {
    if (ms === Infinity) return "never";
    // Transcripts have milliseconds, rounded down.
    const whole = Math.floor(ms + 1e-7);
    return `${Math.floor(whole / 1_000)}.${String(whole % 1_000).padStart(3, "0")}s`;
}

const PHASES = { standby: "Standby", candidate: "Candidate", leader: "Leader", draining: "Draining" };

class Player {
    now = 0;
    wait = { earliestMs: Infinity, latestMs: Infinity };
    sent = 0;
    ahead = 1_000_000;
    timeline = 1n;
    row = undefined;
    said = "";
    saidAt = undefined;
    saidLeadership = undefined;

    constructor(config) {
        const options = { jitterMs: 0, marginMs: 600 };
        for (const word of config.split(/\s+/).slice(1)) {
            const [key, text] = word.split("=");
            if (text !== undefined) options[`${key}Ms`] = duration(text);
            else if (word === "strict") options.strict = true;
            else if (word === "gate") options.progressGate = true;
            else assert.fail(`config knows no ${word}`);
        }
        const about = { election: "nightly", candidate: "alice", incarnation: 1n, seed: 1n };
        this.machine = new Machine({ ...about, ...options }, 0);
    }

    command(line) {
        const [word, ...rest] = line.trim().split(/\s+/);
        const plain = ["campaign", "release", "drain", "drained", "alive", "hint", "revoked", "timeout"];
        if (word === "drain" && rest[0] === "for") {
            return this.tell((machine) => machine.drainFor(this.now, duration(rest[1])));
        }
        if (plain.includes(word)) {
            const ago = rest[1] === "ago" ? duration(rest[0]) : 0;
            return this.tell((machine) => machine[word](Math.max(0, this.now - ago)));
        }
        if (word === "advance") return this.advance(duration(rest[0]));
        if (word === "pause") return void (this.now += duration(rest[0]));
        if (word === "row") return this.setRow(rest);
        if (word === "store") return void (this.ahead += duration(rest[1]));
        if (word === "timeline") return void (this.timeline = BigInt(rest[0]));
        if (word === "reply") {
            if (rest[0] === "to") return this.reply(Number(rest[1]), rest.slice(2));
            return this.reply(this.sent, rest);
        }
        assert.fail(`unknown command ${line}`);
    }

    advance(by) {
        const end = this.now + by;
        while (this.wait.latestMs <= end) {
            this.now = this.wait.latestMs;
            this.tell((machine) => machine.timeout(this.now));
            this.leadership();
        }
        this.now = end;
    }

    storeNow() {
        return BigInt(Math.floor(this.now * 1_000 + 1e-3)) + BigInt(this.ahead) * 1_000n;
    }

    setRow([holder, number, , left, , lease]) {
        if (holder === "none") return void (this.row = undefined);
        const id = (name, run) => `${name}#${String(run).padStart(16, "0")}`;
        const known = { nobody: undefined, me: id("alice", 1), "old-me": id("alice", 2) };
        this.row = {
            holder: holder in known ? known[holder] : id(holder, 3),
            token: number === "0" ? undefined : BigInt(number),
            expiresUs: this.storeNow() + BigInt(duration(left)) * 1_000n,
            leaseMs: duration(lease ?? "10s"),
        };
    }

    reply(id, [what, detail]) {
        const now = this.storeNow();
        const clock = what === "failed" ? {} : { nowUs: now, timeline: this.timeline };
        const left = this.row && this.row.expiresUs - now;
        const seen = this.row && { ...this.row, remainingUs: left > 0n ? left : 0n };
        const outcome = what === "granted" ? { outcome: "granted", token: BigInt(detail) }
            : what === "seen" ? { outcome: "seen", row: seen }
            : { outcome: what === "failed" ? detail : what };
        this.tell((machine) => machine.reply(this.now, { id, ...clock, ...outcome }));
    }

    tell(input) {
        const settlements = this.machine.settlements();
        input(this.machine);
        if (this.machine.settlements() > settlements) this.say("~ nothing from before is held");
        for (;;) {
            const output = this.machine.poll();
            if (output.kind === "send") {
                this.sent = output.id;
                this.say(requestText(output));
            } else if (output.kind === "event") {
                this.say(eventText(output));
            } else {
                const { earliestMs, latestMs } = output;
                const news = earliestMs !== this.wait.earliestMs || latestMs !== this.wait.latestMs;
                this.wait = output;
                if (news) this.say(waitText(output));
                return;
            }
        }
    }

    say(line) {
        if (this.saidAt !== this.now || this.said === "") this.said += `${time(this.now)}\n`;
        this.saidAt = this.now;
        this.said += `  ${line}\n`;
    }

    leadership() {
        const says = this.machine.leadership(this.now);
        const key = JSON.stringify(says, (_, value) => (typeof value === "bigint" ? String(value) : value));
        if (key === this.saidLeadership) return;
        this.saidLeadership = key;
        const { phase, token } = says;
        const [stop, end] = [time(says.workUntilMs), time(says.trustedUntilMs)];
        if (says.isLeader) this.say(`= leads #${token}, starts work until ${stop}, trusts until ${end}`);
        else if (token !== undefined) this.say(`= drains #${token}, trusts until ${end}`);
        else this.say(`= does not lead (${PHASES[phase]})`);
    }
}

function requestText(request) {
    const { id, op, token, condition, rowToken, deadlineMs } = request;
    const ifs = { any: "", absent: " if still absent", same: ` if still Some(#${rowToken})` };
    const what = op === "acquire" ? `acquire${ifs[condition]}` : op === "look" ? "look" : `${op} #${token}`;
    return `> ${id} ${what}, gives up at ${time(deadlineMs)}`;
}

function eventText(event) {
    const { token, leader } = event;
    const texts = {
        elected: () => `! elected #${token}`,
        renewed: () => `! renewed #${token}`,
        atRisk: () => `! at risk #${token}`,
        stopNewWork: () => `! stop new work #${token}`,
        deposed: () => `! deposed #${token}: ${event.reason}`,
        leaderChanged: () => (leader ? `! ${leader.id} leads` : "! nobody leads"),
        storeClockStepped: () => `! StoreClockStepped { by_us: ${event.byUs} }`,
        timelineChanged: () => "! TimelineChanged",
        poisonedRow: () => `! PoisonedRow { remaining_ms: ${event.remainingMs} }`,
    };
    return texts[event.event]();
}

function waitText({ earliestMs, latestMs }) {
    if (earliestMs === Infinity) return "wait for ever";
    if (earliestMs === latestMs) return `wait until ${time(latestMs)}`;
    return `wait until ${time(earliestMs)} to ${time(latestMs)}`;
}

function play(transcript) {
    let player = new Player("config");
    const blocks = [];
    for (const block of transcript.split("\n\n").map((text) => text.trim()).filter(Boolean)) {
        const commands = block.split("\n----")[0];
        player.said = "";
        const lines = commands.split("\n").filter((line) => !line.startsWith("#"));
        for (const line of lines) {
            if (line.startsWith("config")) player = new Player(line);
            else player.command(line);
        }
        if (lines.length > 0) player.leadership();
        blocks.push(lines.length > 0 ? `${commands}\n----\n${player.said}` : `${commands}\n`);
    }
    return blocks.join("\n");
}

const names = readdirSync(folder).sort();

test("at least 40 transcripts are found", () => assert.ok(names.length >= 40, `${names.length}`));

for (const name of names) {
    test(`transcript ${name}`, () => {
        const written = readFileSync(new URL(name, folder), "utf8");
        assert.equal(play(written), written);
    });
}
