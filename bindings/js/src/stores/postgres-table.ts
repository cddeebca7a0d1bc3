import type { IdType, TableVerdict } from "../core.js";
import { judgeTable, postgresSql } from "../core.js";
import { StoreError } from "../errors.js";
import type { Queryable } from "./client.js";
import { rowsOf } from "./client.js";
import { Encoding } from "./postgres-encoding.js";
import { judge } from "./postgres-faults.js";

/** The properties of the table that the store needs. */
export interface Found {
    readonly idType: IdType;
    readonly encoding: Encoding;
}

/** Finds the table; with `create`, makes or completes it first if needed. */
export async function findTable(
    client: Queryable,
    store: string,
    schema: string,
    missing: "create" | "refuse",
): Promise<Found> {
    let found = await look(client, store, schema);
    if (missing === "create" && found.verdict === "incomplete") {
        try {
            await client.query(postgresSql("migrate", schema, "text"));
        } catch (error) {
            throw judge(store, "make or complete the table leader_lease", error);
        }
        found = await look(client, store, schema);
    }
    if (found.verdict !== "usable") throw new StoreError("refused", `${store}: ${found.why}`);
    if (found.hidden !== undefined) throw new StoreError("refused", `${store}: ${found.hidden}`);
    return { idType: found.idType, encoding: new Encoding(found.encoding) };
}

async function look(client: Queryable, store: string, schema: string): Promise<TableVerdict> {
    try {
        const rows = rowsOf(await client.query(postgresSql("columns", schema, "text"), [schema]));
        return judgeTable(schema, [...rows]);
    } catch (error) {
        throw judge(store, "look at the table leader_lease", error);
    }
}
