import { typeOrm } from "./optional.js";
/** @ts-ignore Where TypeORM is not installed its types are `any`; this comment goes with the declarations. */
import type { EntitySchema, Table } from "typeorm";

/**
 * A row of the table `leader_lease` as an entity of TypeORM, to read: `entities: [LeaderLease]`. The table is
 * made by the elector, so `synchronize: true` leaves it alone. In the `DataSource`'s own schema; for another
 * one there is `createLeaderLeaseEntity`.
 */
export class LeaderLease {
    /** The election: a number where its name is one, as `lockId`. */
    declare id: number | string;
    /** The candidate with the number of its run; empty if nobody leads. */
    declare leaderId: string;
    /** When the lease ends, by the server's clock. */
    declare expiresAt: Date;
    /** When the term began. */
    declare createdAt: Date;
    /** The fencing token of the term, a 64-bit number as text. */
    declare token: string;
    /** How long the lease lasts at each renewal, in milliseconds, as text. */
    declare leaseMs: string | null;
    /** What the leader published. */
    declare meta: string | null;
}

/** `1`, not `'1'`, as in tables whose ids are numbers. */
const lockId = {
    to: (id: unknown): unknown => id,
    from: (id: unknown): unknown => (typeof id === "string" && String(Number(id)) === id ? Number(id) : id),
};

interface Column {
    readonly name: string;
    readonly type: string;
    readonly primary?: boolean;
    readonly nullable?: boolean;
    readonly default?: () => string;
    readonly transformer?: object;
}

const COLUMNS: Record<string, Column> = {
    id: { name: "id", type: "text", primary: true, transformer: lockId },
    leaderId: { name: "leader_id", type: "text" },
    expiresAt: { name: "expires_at", type: "timestamptz" },
    createdAt: { name: "created_at", type: "timestamptz", default: () => "clock_timestamp()" },
    token: {
        name: "token",
        type: "bigint",
        default: () => "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    },
    leaseMs: { name: "lease_ms", type: "bigint", nullable: true },
    meta: { name: "meta", type: "text", nullable: true },
};

interface TypeOrm {
    Entity(name: string, options: object): (target: object) => void;
    Column(options: object): (target: object, property: string) => void;
    PrimaryColumn(options: object): (target: object, property: string) => void;
    EntitySchema: new (options: object) => EntitySchema<LeaderLease>;
    Table: new (options: object) => Table;
}

const typeorm = typeOrm<TypeOrm>();
if (typeorm) {
    // Whose type TypeORM does not follow: the elector makes the table, of the shape that all languages share.
    typeorm.Entity("leader_lease", { synchronize: false })(LeaderLease);
    for (const [property, { ...column }] of Object.entries(COLUMNS)) {
        const decorate = column.primary ? typeorm.PrimaryColumn : typeorm.Column;
        decorate(column)(LeaderLease.prototype, property);
    }
}

/** The same for a table in another schema, as an `EntitySchema`. */
export function createLeaderLeaseEntity(schema = "public"): EntitySchema<LeaderLease> {
    const { EntitySchema } = needed("createLeaderLeaseEntity");
    const table = { name: "LeaderLease", target: LeaderLease, tableName: "leader_lease", schema };
    return new EntitySchema({ ...table, synchronize: false, columns: COLUMNS });
}

/**
 * The table as a `Table`, for `createTable` and `dropTable` in a migration of your own. A
 * `LeaderElectionMigrationBase` also makes the schema, and completes the table of `nest-leader-election`.
 */
export function createLeaderLeaseTable(schema = "public"): Table {
    const { Table } = needed("createLeaderLeaseTable");
    const columns = Object.values(COLUMNS).map(({ name, type, ...column }) => ({
        name,
        type,
        isPrimary: column.primary ?? false,
        isNullable: column.nullable ?? false,
        default: column.default?.(),
    }));
    const checks = [{ expression: "expires_at > created_at" }];
    return new Table({ schema, name: "leader_lease", columns, checks });
}

function needed(what: string): TypeOrm {
    const found = typeorm ?? typeOrm<TypeOrm>();
    if (!found) throw new Error(`${what}() needs TypeORM; install the package typeorm`);
    return found;
}
