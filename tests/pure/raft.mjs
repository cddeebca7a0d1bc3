// Starts the module of tests/pure/raft.rs, which must import nothing, lets its member lead and commit, and
// measures the module.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

/** The maximum size of the compressed core, in bytes. */
const LARGEST = 40 * 1024;
const [TIMEOUT, PROPOSE, PERSISTED] = [0, 3, 7];
const [WAIT, PERSIST, ELECTED, COMMITTED] = [1, 2, 10, 15];

function fail(...what) {
    console.error(...what);
    process.exit(1);
}

const bytes = readFileSync(process.argv[2]);
const module = new WebAssembly.Module(bytes);
const foreign = WebAssembly.Module.imports(module);
if (foreign.length > 0) {
    fail("the Raft core must import nothing, but imports:", foreign);
}
const raft = new WebAssembly.Instance(module).exports;
const host = raft.host();
const text = (string) => [string.length, ...Buffer.from(string)];
const number = (value) => [...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)];

function give(input) {
    const room = raft.room(host, input.length);
    new Uint8Array(raft.memory.buffer, room, input.length).set(input);
}

/** The first eight bytes of the latest output as a number, and the rest as text. */
function output() {
    const view = Buffer.from(raft.memory.buffer, raft.output(host), raft.output_length(host));
    return [view.readBigUInt64LE(), view.subarray(8).toString("latin1")];
}

// Member "a" of incarnation 1, without an address, priority and witness flag; the default times, no founding
// list, no durable state.
const settings = [...text("a"), ...number(1), ...text(""), 0, 0, ...[100, 200, 800].flatMap(number), 0];
give(text("").concat(settings.slice(2)));
if (raft.start(host, 7n, 0n) !== 0 || !output()[1].includes("is empty")) {
    fail("a member without an id must be refused, with a reason");
}
give(settings);
if (raft.start(host, 7n, 0n) !== 1) {
    fail("the member does not start");
}
let now = 0n;
let token = 0n;
let committed = "";
give([]);
for (let steps = 0; steps < 100 && committed !== "data"; steps++) {
    const kind = raft.poll(host);
    const [value, rest] = output();
    if (kind === WAIT) {
        now = value;
        raft.handle(host, now, TIMEOUT, 0n);
    } else if (kind === PERSIST) {
        raft.handle(host, now, PERSISTED, value);
    } else if (kind === ELECTED) {
        token = value;
        give([0, ...Buffer.from("data")]);
        raft.handle(host, now, PROPOSE, 1n);
        give([]);
    } else if (kind === COMMITTED && token > 0n) {
        committed = rest.slice(0, 4);
    }
}
if (token !== 1n || committed !== "data" || raft.leadership(host, now) !== 1n) {
    fail(`the only member must lead with token 1 and commit, but has token ${token} and "${committed}"`);
}
const size = gzipSync(bytes, { level: 9 }).length;
console.log(`the Raft core: ${bytes.length} bytes, ${size} compressed`);
if (size > LARGEST) {
    fail(`the compressed Raft core has ${size} bytes, more than the maximum of ${LARGEST}`);
}
