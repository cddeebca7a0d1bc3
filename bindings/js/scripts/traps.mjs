// Rewrites a module whose panics only trap: the functions of Rust's standard library that begin a
// panic trap at once. Every check stays; the texts of panics, which nobody could read, are not formatted.
//
//   node traps.mjs FROM TO
import { readFileSync, writeFileSync } from "node:fs";

import binaryen from "binaryen";

/** Parts of the names of functions that never return. */
const PANICS = /panicking|(unwrap|expect|assert)_failed|_fail\d|capacity_overflow|handle(_alloc)?_error/;

const module = binaryen.readBinary(readFileSync(process.argv[2]));
for (let index = 0; index < module.getNumFunctions(); index++) {
    const reference = module.getFunctionByIndex(index);
    const { name, body, results } = binaryen.getFunctionInfo(reference);
    if (body && results === binaryen.none && PANICS.test(name)) {
        binaryen.Function(reference).body = module.unreachable();
    }
}
writeFileSync(process.argv[3], module.emitBinary());
