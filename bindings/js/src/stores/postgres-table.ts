import type { IdType } from "../core.js";
import { postgresSql } from "../core.js";
import { StoreError } from "../errors.js";
import type { Queryable } from "./client.js";
import { maybeText, rowsOf } from "./client.js";
import { Encoding } from "./postgres-encoding.js";
import { judge } from "./postgres-faults.js";

/** What we need of the table, by name: the column, and the types that it may have. */
const COLUMNS: readonly (readonly [string, readonly string[]])[] = [
    ["id", ["text", "character varying", "integer", "bigint"]],
    ["leader_id", ["text", "character varying"]],
    ["expires_at", ["timestamp with time zone"]],
    ["created_at", ["timestamp with time zone"]],
    ["token", ["bigint"]],
    ["lease_ms", ["bigint"]],
    ["meta", ["text", "character varying"]],
];
/** The first so many are also in a table that `nest-leader-election` made. */
const THEIRS = 4;
/** The longest election's name, and the longest candidate's with its `#` and 16 digits. */
const LONGEST: Readonly<Record<string, number>> = { id: 255, leader_id: 272 };
/** Fewer digits of a second would end a lease too early by their rounding. */
const FEWEST_DIGITS = 3;

/** A column of the table as it is. */
interface Column {
    readonly name: string;
    readonly kind: string;
    /** The longest text, or the digits of a second. */
    readonly modifier: number | undefined;
    readonly isKey: boolean;
    /** A row without a value for it is refused. */
    readonly isDemanded: boolean;
    /** Of the whole table: it outlives a crash of the server. */
    readonly isLogged: boolean;
    /** Of the whole table: the commands for which row security lets the role see or write no row. */
    readonly hidden: readonly string[];
    readonly role: string;
    /** Of the database: its encoding if that lacks characters. */
    readonly encoding: string | undefined;
}

/** What the store must know of its table. */
export interface Found {
    readonly idType: IdType;
    readonly encoding: Encoding;
}

/** Finds the table, makes or completes it if that is wanted and needed. */
export async function findTable(
    client: Queryable,
    store: string,
    schema: string,
    createTable: boolean,
): Promise<Found> {
    let columns = await read(client, store, schema);
    if (createTable && (columns.length === 0 || missing(columns) !== undefined)) {
        // A table of another shape is not ours to change.
        if (columns.length > 0) check(store, columns, THEIRS);
        try {
            await client.query(postgresSql("migrate", schema, "text"));
        } catch (error) {
            throw judge(store, "make or complete its table", error);
        }
        columns = await read(client, store, schema);
    }
    const by = "have its owner run what `elector schema --dialect postgres` prints";
    if (columns.length === 0) {
        throw new StoreError("refused", `${store}: there is no table leader_lease in it; to make it, ${by}`);
    }
    check(store, columns, THEIRS);
    const first = missing(columns);
    if (first !== undefined) {
        throw new StoreError("refused", `${store}: its table leader_lease has no column ${first}; ${by}`);
    }
    check(store, columns, COLUMNS.length);
    const kind = columns.find((column) => column.name === "id")?.kind;
    const idType = kind === "integer" || kind === "bigint" ? kind : "text";
    refuseHidden(store, schema, columns, idType);
    return { idType, encoding: new Encoding(columns[0]?.encoding) };
}

/** Refuses a table that row security hides: its rows would look like rows that are absent or locked. */
function refuseHidden(store: string, schema: string, columns: readonly Column[], idType: IdType): void {
    const { hidden = [], role = "" } = columns[0] ?? {};
    // A release deletes where ids are numbers; elsewhere only a clean-up does.
    const needed = hidden.filter((command) => command !== "DELETE" || idType !== "text");
    if (needed.length === 0) return;
    const quoted = (name: string) => `"${name.replace(/"/g, '""')}"`;
    throw new StoreError("refused", `${store}: row security hides table leader_lease from role ` +
        `${JSON.stringify(role)}: no policy allows ${needed.join(", ")}; have its owner run CREATE POLICY ` +
        `elector ON ${quoted(schema)}.leader_lease TO ${quoted(role)} USING (true) WITH CHECK (true)`);
}

async function read(client: Queryable, store: string, schema: string): Promise<Column[]> {
    try {
        const rows = rowsOf(await client.query(postgresSql("columns", schema, "text"), [schema]));
        return rows.map((row) => ({
            name: maybeText(row["name"]) ?? "",
            kind: maybeText(row["type"]) ?? "",
            modifier: typeof row["modifier"] === "number" ? row["modifier"] : undefined,
            isKey: row["is_key"] === true,
            isDemanded: row["is_demanded"] === true,
            isLogged: row["is_logged"] === true,
            hidden: maybeText(row["hidden"])?.split(", ") ?? [],
            role: maybeText(row["role"]) ?? "",
            encoding: maybeText(row["encoding"]),
        }));
    } catch (error) {
        throw judge(store, "look at its table", error);
    }
}

function missing(columns: readonly Column[]): string | undefined {
    return COLUMNS.find(([name]) => !columns.some((column) => column.name === name))?.[0];
}

/** Refuses a table whose first so many columns we cannot use, or that demands or loses something. */
function check(store: string, columns: readonly Column[], first: number): void {
    const refuse = (problem: string): never => {
        throw new StoreError("refused", `${store}: its table leader_lease cannot be used: ${problem}`);
    };
    for (const [name, kinds] of COLUMNS.slice(0, first)) {
        const column = columns.find((found) => found.name === name);
        if (!column || !kinds.includes(column.kind)) {
            const found = column?.kind ?? "missing";
            const needed = kinds.join(" or ");
            refuse(`column ${name} is ${found}, and ${needed} is needed; use a schema of its own`);
        } else {
            const problem = tooNarrow(column);
            if (problem) refuse(problem);
        }
    }
    if (!columns.some((column) => column.name === "id" && column.isKey)) {
        refuse("nothing keeps its ids unique; make id its primary key");
    }
    const ours = new Set(COLUMNS.map(([name]) => name));
    const demanded = columns.find((column) => column.isDemanded && !ours.has(column.name));
    if (demanded) {
        refuse(`its column ${demanded.name} is NOT NULL, and we have no value for it; give it a default`);
    }
    if (!columns.every((column) => column.isLogged)) {
        refuse("it is UNLOGGED, so a crash of the server would empty it while a leader trusts its row; run " +
            "ALTER TABLE … SET LOGGED");
    }
}

/** Why a column of the right type cannot take all our values. */
function tooNarrow({ name, kind, modifier }: Column): string | undefined {
    if (modifier === undefined) return undefined;
    if (kind.startsWith("timestamp")) {
        const coarse = modifier < FEWEST_DIGITS;
        return coarse ? `column ${name} keeps ${modifier} digits of a second, and 3 are needed` : undefined;
    }
    const longest = name === "meta" ? Infinity : LONGEST[name] ?? 0;
    const few = `column ${name} takes ${modifier} characters only; make it text`;
    return modifier < longest ? few : undefined;
}
