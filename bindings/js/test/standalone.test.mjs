// elector-wasm/nestjs, installed without Nest, RxJS and TypeORM: its standalone part works.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { application } from "./packed.mjs";

const app = application();
after(app.remove);

/** Runs a program in the application's folder, and returns its output. */
function run(name, code) {
    writeFileSync(join(app.folder, name), code);
    return execFileSync(process.execPath, [name], { cwd: app.folder, encoding: "utf8", stdio: "pipe" });
}

const LEADS = `
    const elector = await LeaderElectorCore.create(memoryStore(), { instanceId: "alone" });
    console.log(elector.amILeader(), elector.leader().candidate, typeof LeaderLease);
    const migration = new LeaderElectionMigrationBase();
    await migration.up({ query: async (text) => console.log(/CREATE TABLE/.test(text)) });
    try {
        elector.leadership$;
    } catch (error) {
        console.log(error.message);
    }
    await elector.release();
    await elector.shutdown();
`;
const SAID = "true alone function\ntrue\n" +
    "leadership$ needs RxJS; install the package rxjs, or use changes()\n";
const NAMES = "LeaderElectorCore, LeaderLease, LeaderElectionMigrationBase";

test("without Nest, `import` of the package works", () => {
    const said = run("alone.mjs", `
        import { ${NAMES}, LeaderElectorModule } from "elector-wasm/nestjs";
        import { memoryStore } from "elector-wasm";
        ${LEADS}
        console.log(LeaderElectorModule);
    `);
    assert.equal(said, `${SAID}undefined\n`);
});

test("without Nest, `require` works, and parts that need Nest throw an error that says so", () => {
    const said = run("alone.cjs", `
        const nestjs = require("elector-wasm/nestjs");
        const { ${NAMES} } = nestjs;
        const { memoryStore } = require("elector-wasm");
        void (async () => {
            ${LEADS}
            try {
                nestjs.LeaderElectorModule;
            } catch (error) {
                console.log(error.code, /@nestjs\\/common/.test(error.message));
            }
        })();
    `);
    assert.equal(said, `${SAID}MODULE_NOT_FOUND true\n`);
});

test("without Nest, warnings go to the console", () => {
    const said = run("warns.cjs", `
        const { LeaderElectorCore } = require("elector-wasm/nestjs");
        console.warn = (line) => console.log(line);
        const query = async () => { throw new Error("nothing answers"); };
        const elector = new LeaderElectorCore({ query }, { leaseDuration: 1_000 });
        setTimeout(() => elector.shutdown(), 2_000);
    `);
    assert.match(said, /^[^\n]*nothing answers[^\n]*\n$/, "once");
});
