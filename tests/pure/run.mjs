// Starts a WebAssembly module with no imports at all: one that needed a clock, a socket or a random source
// could not be started. Then it must elect.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const foreign = WebAssembly.Module.imports(module);
if (foreign.length > 0) {
  console.error("the core must import nothing, but imports:", foreign);
  process.exit(1);
}
const elected = new WebAssembly.Instance(module).exports.elect(41);
if (elected !== 42) {
  console.error(`the candidate that was granted token 42 leads with token ${elected}`);
  process.exit(1);
}
