// TypeORM: its DataSource, entities, migrations and synchronize.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { INestApplicationContext } from "@nestjs/common";
import { TypeOrmModule } from "@nestjs/typeorm";
import {
    LeaderElectionMigrationBase, LeaderElectorCore, LeaderElectorModule, LeaderElectorService, LeaderLease,
    createLeaderLeaseEntity, createLeaderLeaseTable,
} from "elector-wasm/nestjs";
import type { MigrationInterface, QueryRunner, Table } from "typeorm";
import { DataSource } from "typeorm";
import { closeAll, openApplication } from "./application.js";
import { endAll, freshDatabase, long, rows, sleep, until, url } from "./support.js";

const COLUMNS = `SELECT column_name AS name, data_type AS type FROM information_schema.columns
    WHERE table_schema = $1 AND table_name = 'leader_lease' ORDER BY 1`;
const OURS = ["created_at", "expires_at", "id", "leader_id", "lease_ms", "meta", "token"];

const connected = (more: object) => new DataSource({ type: "postgres", ...more }).initialize();

function open(database: string, config: object, more: object = {}) {
    const root = TypeOrmModule.forRoot({
        type: "postgres", url: database, autoLoadEntities: true, entities: [LeaderLease], ...more,
    });
    return openApplication({ imports: [root, LeaderElectorModule.forRoot({ ...long, ...config })] });
}

describe("TypeORM", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await endAll();
    });

    test("an application with synchronize: true starts twice and keeps the table's columns", async () => {
        const database = await freshDatabase();
        for (const createTableOnInit of [true, false]) {
            const application = await open(database, { createTableOnInit }, { synchronize: true });
            await until(() => application.get(LeaderElectorService).amILeader());
            const token = application.get(LeaderElectorService).token!;
            await application.get(DataSource).synchronize();
            await sleep(1_000);
            assert.equal(application.get(LeaderElectorService).token, token, "the term outlives it");
            assert.deepEqual((await rows(COLUMNS, ["public"], database)).map(({ name }) => name), OURS);
            await application.close();
        }
    });

    test("with synchronize: true the table is made even if createTableOnInit is off", async () => {
        const database = await freshDatabase();
        const application = await open(database, { createTableOnInit: false }, { synchronize: true });
        await until(() => application.get(LeaderElectorService).amILeader());
        await application.close();
    });

    test("LeaderLease reads the rows, in any schema", async () => {
        const database = await freshDatabase();
        const application = await open(database, { lockId: 5, instanceId: "me", meta: "here" });
        await until(() => application.get(LeaderElectorService).amILeader());
        const service = application.get(LeaderElectorService);
        const lease = await application.get(DataSource).getRepository(LeaderLease).findOneByOrFail({ id: 5 });
        assert.equal(lease.id, 5);
        assert.match(lease.leaderId, /^me#[0-9a-f]{16}$/);
        assert.equal(lease.token, String(service.token));
        assert.ok(lease.expiresAt > new Date() && lease.createdAt < lease.expiresAt);
        assert.deepEqual([lease.meta, lease.leaseMs], ["here", String(long.leaseDuration)]);
        const entity = createLeaderLeaseEntity("odd one");
        const dataSource = await connected({ url: database, entities: [entity] });
        const odd = await LeaderElectorCore.create(dataSource, { schema: "odd one", ...long });
        await until(() => odd.amILeader());
        assert.equal(await dataSource.getRepository(entity).countBy({ id: 1 }), 1);
        await odd.shutdown();
        await dataSource.destroy();
        await application.close();
    });

    test("after a migration by another user, a user without DDL rights can lead", async () => {
        const database = await freshDatabase();
        const schema = "of its own";
        await rows(`DO $$ BEGIN CREATE ROLE runtime LOGIN; EXCEPTION WHEN duplicate_object THEN END $$`);
        class Migration extends LeaderElectionMigrationBase {
            override schema = schema;
            override name = "leases1700000000000";
        }
        const owner = await connected({ url: database, migrations: [Migration] });
        await owner.runMigrations();
        await owner.query(`GRANT USAGE ON SCHEMA "${schema}" TO runtime`);
        const own = database.replace("postgres@", "runtime@");
        const config = { schema, createTableOnInit: false };
        await assert.rejects(open(own, config), /permission|SELECT|lack|may not/);
        await owner.query(`GRANT SELECT, INSERT, UPDATE ON "${schema}".leader_lease TO runtime`);
        await owner.destroy();
        const application = await open(own, config);
        await until(() => application.get(LeaderElectorService).amILeader());
        await application.close();
    });

    test("a migration of the application makes the table and drops it again", async () => {
        const database = await freshDatabase();
        const schema = "of the application";
        await rows(`CREATE SCHEMA "${schema}"`, [], database);
        // As in an application of nest-leader-election.
        class Leases1700000000000 implements MigrationInterface {
            async up(queryRunner: QueryRunner): Promise<void> {
                const table: Table = createLeaderLeaseTable(schema);
                await queryRunner.createTable(table, true);
            }
            async down(queryRunner: QueryRunner): Promise<void> {
                await queryRunner.dropTable(createLeaderLeaseTable(schema), true);
            }
        }
        const dataSource = await connected({ url: database, migrations: [Leases1700000000000] });
        await dataSource.runMigrations();
        const config = { schema, createTableOnInit: false };
        const application = await open(database, config);
        await until(() => application.get(LeaderElectorService).amILeader());
        await application.close();
        // The table is the one that the elector makes.
        const made = await LeaderElectorCore.create(dataSource, { schema: "of the elector", ...long });
        await made.shutdown();
        const shape = (of: string) => rows(`SELECT attname, format_type(atttypid, atttypmod), attnotnull,
            pg_get_expr(adbin, adrelid) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid
            AND adnum = attnum WHERE attrelid = '"${of}".leader_lease'::regclass AND attnum > 0
            ORDER BY 1`, [], database);
        assert.deepEqual(await shape(schema), await shape("of the elector"));
        const checks = (of: string) => rows(`SELECT contype, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = '"${of}".leader_lease'::regclass AND contype IN ('p', 'c')
            ORDER BY 1`, [], database);
        assert.deepEqual(await checks(schema), await checks("of the elector"));
        await dataSource.undoLastMigration();
        const left = await rows("SELECT to_regclass($1) AS it", [`"${schema}".leader_lease`], database);
        assert.equal(left[0]!["it"], null);
        await dataSource.destroy();
    });

    test("a DataSource that is not PostgreSQL is refused", () => {
        const source = { query: async () => [], options: { type: "mysql" }, driver: {} };
        const refusal = /its type is 'mysql', not postgres/;
        assert.throws(() => new LeaderElectorCore(source), refusal);
    });
});
