// The types of the packed package, as applications with other settings of TypeScript find them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Running, folder } from "../support.js";

test("the types are found in every module resolution of TypeScript", async () => {
    const at = join(folder, "../../types");
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "package.json"), '{ "type": "commonjs" }');
    const names = "LeaderElectorService, OncePerTick, createLeaderLeaseEntity, createLeaderLeaseTable";
    const text = `import { ${names} } from "elector-wasm/nestjs";\n` +
        'import type { EntitySchema, Table } from "typeorm";\n' +
        "export const entity: EntitySchema = createLeaderLeaseEntity();\n" +
        "export const table: Table = createLeaderLeaseTable();\n" +
        "// @ts-expect-error\nexport const noEntity: Date = createLeaderLeaseEntity();\n" +
        "// @ts-expect-error\nexport const noTable: Date = createLeaderLeaseTable();\n" +
        "declare const service: LeaderElectorService;\n" +
        "export const right: boolean = service.amILeader();\n" +
        'export const named = OncePerTick({ name: "a", election: "b" });\n' +
        "// @ts-expect-error\nexport const unnamed = OncePerTick();\n" +
        "// @ts-expect-error\nexport const noName = OncePerTick({});\n" +
        "// @ts-expect-error\nexport const wrong: Date = service.amILeader();\n";
    writeFileSync(join(at, "a.ts"), text);
    const tsc = join(folder, "../../../node_modules/typescript/bin/tsc");
    for (const [module, resolution] of [
        ["commonjs", "node10"], ["node16", "node16"], ["nodenext", "nodenext"], ["es2022", "bundler"],
    ] as const) {
        const ways = ["--module", module, "--moduleResolution", resolution, "--target", "es2022"];
        const all = [tsc, "--noEmit", "--strict", "--skipLibCheck", "--types", "node", ...ways, "a.ts"];
        const compiler = new Running(spawn(process.execPath, all, { cwd: at }));
        assert.equal(await compiler.ended, 0, `${resolution}: ${compiler.output}`);
    }
});
