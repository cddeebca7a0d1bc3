import { postgresSql } from "../core.js";

/** What is used of TypeORM's `QueryRunner`. */
export interface QueryRunnerLike {
    query(text: string): Promise<unknown>;
}

/**
 * A migration of TypeORM that makes the schema and the table, or completes the table that
 * `nest-leader-election` made: for applications whose own user may not, with `createTableOnInit: false`.
 */
export class LeaderElectionMigrationBase {
    /** Any identifier. */
    schema = "public";
    /** As TypeORM wants it: ends with a timestamp of 13 digits. */
    declare name?: string;

    async up(queryRunner: QueryRunnerLike): Promise<void> {
        await queryRunner.query(postgresSql("migrate", this.schema, "text"));
    }

    /** Drops the table; the schema may hold more. */
    async down(queryRunner: QueryRunnerLike): Promise<void> {
        const schema = `"${this.schema.replaceAll('"', '""')}"`;
        await queryRunner.query(`DROP TABLE IF EXISTS ${schema}.leader_lease`);
    }
}
