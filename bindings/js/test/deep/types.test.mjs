// The types of the package with TypeScript checking all libraries, which is slow.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

test("the NestJS types compile with checked libraries and without TypeORM", (t) => {
    // Outside of deep/, which has its own package.json.
    const folder = mkdtempSync(fileURLToPath(new URL("../types-", import.meta.url)));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, "a.ts"), `
        import { LeaderElectorService, createLeaderLeaseTable } from "elector-wasm/nestjs";
        export const ask = (service: LeaderElectorService): boolean => service.amILeader();
        // @ts-expect-error
        export const wrong = (service: LeaderElectorService): Date => service.amILeader();
        export const table = createLeaderLeaseTable();`);
    const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
    const ways = ["--module", "nodenext", "--target", "es2022", "--types", "node"];
    const given = [tsc, "--noEmit", "--strict", ...ways, "a.ts"];
    const { status, stdout } = spawnSync(process.execPath, given, { cwd: folder, encoding: "utf8" });
    assert.equal(status, 0, stdout);
});
