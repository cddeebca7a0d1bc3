import { typeOrm } from "./optional.js";
/** @ts-ignore Where TypeORM is not installed its types are `any`; this comment goes with the declarations. */
import type { EntitySchema, Table } from "typeorm";

/**
 * A row of the table `leader_lease` as a TypeORM entity, for reading: `entities: [LeaderLease]`. The elector
 * makes the table, so `synchronize: true` leaves it alone. The entity is in the `DataSource`'s own schema;
 * for another schema there is `createLeaderLeaseEntity`.
 */
export class LeaderLease {
    /** The election: a number if its name is a number, as that of `lockId` is. */
    declare id: number | string;
    /** The candidate's name with its incarnation; empty without a leader. */
    declare leaderId: string;
    /** When the lease expires, by the server's clock. */
    declare expiresAt: Date;
    /** When the term began. */
    declare createdAt: Date;
    /** The fencing token of the term, a 64-bit number as text. */
    declare token: string;
    /** The length of the lease, in milliseconds, as text. */
    declare leaseMs: string | null;
    /** The text that the leader published. */
    declare meta: string | null;
}

/** Reads the id `'1'` as the number 1, as tables with numeric ids return it. */
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
    // `synchronize: false`: the elector makes the table, in the form that all languages share.
    typeorm.Entity("leader_lease", { synchronize: false })(LeaderLease);
    for (const [property, { ...column }] of Object.entries(COLUMNS)) {
        const decorate = column.primary ? typeorm.PrimaryColumn : typeorm.Column;
        decorate(column)(LeaderLease.prototype, property);
    }
}

/** The entity of a table in another schema, as an `EntitySchema`. */
export function createLeaderLeaseEntity(schema = "public"): EntitySchema<LeaderLease> {
    const { EntitySchema } = needed("createLeaderLeaseEntity");
    const table = { name: "LeaderLease", target: LeaderLease, tableName: "leader_lease", schema };
    return new EntitySchema({ ...table, synchronize: false, columns: COLUMNS });
}

/**
 * The table as a TypeORM `Table`, for `createTable` and `dropTable` in a migration of your own. A
 * `LeaderElectionMigrationBase` also makes the schema, and completes a table that `nest-leader-election`
 * made.
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

function needed(caller: string): TypeOrm {
    const found = typeorm ?? typeOrm<TypeOrm>();
    if (!found) throw new Error(`${caller}() needs TypeORM; install the package typeorm`);
    return found;
}
