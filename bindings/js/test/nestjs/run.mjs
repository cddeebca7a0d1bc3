// Runs the suite on one PostgreSQL with applications on each major version of Nest, or on those named.
//   node test/nestjs/run.mjs [10|11|12]… [FILE]…
// The last line sums up.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runFiles } from "../../scripts/runner.mjs";
import { startServer } from "../server.mjs";
import { build, packed } from "./build.mjs";

const MAJORS = ["10", "11", "12"];

const wanted = process.argv.slice(2);
const majors = MAJORS.filter((major) => wanted.includes(major));
const files = wanted.filter((name) => !MAJORS.includes(name));

/** Runs the compiled suite; resolves to how many tests passed and failed. */
function test(out) {
    const names = readdirSync(out).filter((name) => name.endsWith(".test.js"));
    const chosen = files.length > 0 ? files.map((name) => `${name}.test.js`) : names;
    return runFiles(chosen.map((name) => join(out, name)), 2);
}

const folder = mkdtempSync(join(tmpdir(), "elector-nest-"));
const server = await startServer({ max_connections: "200" });
process.env.ELECTOR_TEST_URL = server.url;
process.env.ELECTOR_TEST_PORT = String(server.port);
for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => void server.stop().then(() => process.exit(1)));
}
let [passed, failed] = [0, 0];
try {
    const ours = packed(folder);
    for (const major of majors.length > 0 ? majors : MAJORS) {
        console.log(`Nest ${major}`);
        const [more, bad] = await test(build(major, ours));
        passed += more;
        failed += bad;
    }
} catch (error) {
    console.log(error);
    failed += 1;
} finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
