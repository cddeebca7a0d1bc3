// The installed package in jest, in Node's environment and in jsdom's, whose `require` is that of browsers.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { application } from "../packed.mjs";

const { resolve } = createRequire(import.meta.url);
const app = application();
after(app.remove);

writeFileSync(join(app.folder, "leads.test.js"), `
const { Elector, memoryStore } = require("elector-wasm");
const { Machine } = require("elector-wasm/core");

test("the installed package leads in jest", async () => {
    expect(typeof window).toBe(process.env.WINDOW);
    const elector = new Elector({ election: "jest-\\u00e9\\u{1f600}", store: memoryStore() });
    elector.campaign();
    await new Promise((elected) => elector.on("elected", elected));
    expect(elector.amILeader()).toBe(true);
    expect(typeof Machine).toBe("function");
    await elector.release();
    expect(elector.amILeader()).toBe(false);
});
`);

for (const [environment, WINDOW] of [["node", "undefined"], ["jsdom", "object"]]) {
    test(`jest in the environment of ${environment}`, () => {
        const config = { rootDir: app.folder, testEnvironment: resolve(`jest-environment-${environment}`) };
        const command = [resolve("jest/bin/jest"), "--config", JSON.stringify(config)];
        const env = { ...process.env, WINDOW };
        const jest = spawnSync(process.execPath, command, { env, encoding: "utf8" });
        assert.equal(jest.status, 0, jest.stderr);
    });
}
