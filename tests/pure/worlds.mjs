// Plays simulated Raft worlds in WebAssembly, and compares their digests with those that a native program
// printed, of the seeds from 0 on: worlds.mjs MODULE DIGESTS.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const { digest } = new WebAssembly.Instance(module).exports;
const native = readFileSync(process.argv[3], "utf8").split("\n").filter(Boolean).map(BigInt);
const differs = native.findIndex((expected, seed) => BigInt.asUintN(64, digest(BigInt(seed))) !== expected);
console.log(`${native.length} worlds`);
if (native.length === 0) {
    console.error(`there is no digest in ${process.argv[3]}`);
    process.exit(1);
}
if (differs >= 0) {
    console.error(`the digest of seed ${differs} differs between the native machine and WebAssembly`);
    process.exit(1);
}
