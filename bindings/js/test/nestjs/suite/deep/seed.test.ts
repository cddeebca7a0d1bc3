// The examples in nest-leader-election's document, with only the import path changed.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { NestFactory } from "@nestjs/core";
import { TypeOrmModule } from "@nestjs/typeorm";
import { LeaderElectorService } from "elector-wasm/nestjs";
import { DataSource } from "typeorm";
import { configured } from "./seed/configuration.js";
import { LeaderElectionMigration } from "./seed/migration.js";
import { endAll, freshDatabase, rows, start, until, url } from "../support.js";
import type { Witness } from "./timed.js";
import { timed } from "./timed.js";

/** The database that the examples name. */
const documented = url.replace(/\/postgres$/, "/test");

/** Two processes: one runs its jobs; it is killed; the other runs them within a lease. */
async function isTakenOver(
    witness: Witness, file: string, line: string, leaseMs: number, table: string,
): Promise<void> {
    const both = [start(file, [], "redirect.js"), start(file, [], "redirect.js")];
    try {
        await until(() => both.some((process) => process.count(line) > 2));
        const [leader, other] = both[0]!.count(line) > 0 ? both : both.reverse();
        assert.equal(other!.count(line), 0, "one at a time");
        const left = "(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::int AS left";
        const [row] = await rows<{ left: number }>(`SELECT ${left} FROM ${table}`, [], documented);
        const isOurs = row!.left > leaseMs / 2 && row!.left <= leaseMs;
        assert.ok(isOurs, `the lease that was configured: ${row!.left} of ${leaseMs}`);
        witness.reset();
        await leader!.kill("SIGKILL");
        const killed = performance.now();
        await until(() => other!.count(line) > 0);
        const took = performance.now() - killed;
        assert.ok(took > leaseMs / 2, `not before the lease ended: ${took}`);
        witness.atMost(took, leaseMs + 5_000, "to take over");
        // Nothing else is printed.
        assert.equal(other!.printed.replaceAll(`${line}\n`, ""), "");
    } finally {
        await Promise.all(both.map((process) => process.kill("SIGKILL")));
    }
}

describe("the document of nest-leader-election", { concurrency: 1 }, () => {
    before(async () => {
        await rows("CREATE DATABASE test").catch(() => undefined);
        await rows("DROP SCHEMA IF EXISTS schema_name, leader_schema CASCADE", [], documented);
        await rows("DROP TABLE IF EXISTS public.leader_lease", [], documented);
    });

    after(endAll);

    timed("Quick Start: after one of two applications is killed the other takes over", async (witness) => {
        const table = "schema_name.leader_lease";
        await isTakenOver(witness, "quick-start.js", "Performing leader-only task", 10_000, table);
    });

    timed("Standalone: after one of two processes is killed the other takes over", async (witness) => {
        const table = "public.leader_lease";
        await isTakenOver(witness, "seed/standalone.js", "Performing leader task", 15_000, table);
    });

    test("Migration makes the table and drops it again; Configuration uses it with its lease", async () => {
        const database = await freshDatabase();
        const dataSource = await new DataSource({
            type: "postgres", url: database, migrations: [LeaderElectionMigration],
        }).initialize();
        const exists = "SELECT to_regclass('leader_schema.leader_lease') AS it";
        await dataSource.runMigrations();
        assert.ok((await rows(exists, [], database))[0]!["it"]);
        await dataSource.undoLastMigration();
        assert.equal((await rows(exists, [], database))[0]!["it"], null);
        await dataSource.destroy();
        const root = TypeOrmModule.forRoot({ type: "postgres", url: database, autoLoadEntities: true });
        const open = () => NestFactory.createApplicationContext({
            module: class Application {}, imports: [root, configured()],
        }, { logger: false, abortOnError: false });
        // With createTableOnInit off it must not make the table.
        await assert.rejects(open(), /there is no table leader_lease/);
        class InPublic extends LeaderElectionMigration {
            override schema = "public";
        }
        const runtime = await new DataSource({
            type: "postgres", url: database, migrations: [InPublic],
        }).initialize();
        await runtime.runMigrations();
        await runtime.destroy();
        const application = await open();
        await until(() => application.get(LeaderElectorService).amILeader());
        const led = "SELECT id, lease_ms FROM public.leader_lease WHERE leader_id <> ''";
        const [row] = await rows(led, [], database);
        assert.deepEqual(row, { id: "12345", lease_ms: "15000" });
        await application.close();
    });
});
