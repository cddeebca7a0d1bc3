import { postgresSql } from "../core.js";

/** The part of TypeORM's `QueryRunner` that the migration uses. */
export interface QueryRunnerLike {
    query(text: string): Promise<unknown>;
}

/**
 * A TypeORM migration that makes the schema and the table, or completes a table that `nest-leader-election`
 * made. For applications whose database user may not make tables; use it with `createTableOnInit: false`.
 */
export class LeaderElectionMigrationBase {
    /** The schema of the table, any identifier. Must be that of the module's `schema`. */
    schema = "public";
    /** The migration's name. TypeORM requires a timestamp of 13 digits at its end. */
    declare name?: string;

    async up(queryRunner: QueryRunnerLike): Promise<void> {
        await queryRunner.query(postgresSql("migrate", this.schema, "text"));
    }

    /** Drops the table. The schema stays, since it may hold other tables. */
    async down(queryRunner: QueryRunnerLike): Promise<void> {
        const schema = `"${this.schema.replaceAll('"', '""')}"`;
        await queryRunner.query(`DROP TABLE IF EXISTS ${schema}.leader_lease`);
    }
}
