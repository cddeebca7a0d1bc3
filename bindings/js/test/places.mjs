// The stores for the properties. Each is opened through several clients, as by several hosts.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@libsql/client";
import Database from "libsql";
import { memoryStore, postgresStore, sqliteStore } from "../dist/cjs/index.mjs";
import { makePool, startServer } from "./server.mjs";

let lastSchema = 0;
/** A schema's name that no other test of this process uses. */
export const schema = () => `s${++lastSchema}`;

export function folder() {
    const path = mkdtempSync(join(tmpdir(), "elector-js-"));
    return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A binding of Cloudflare D1 to a database: statements go over a network, and the answer is an object. */
function d1(db) {
    const prepared = (text, values) => ({
        bind: (...given) => prepared(text, given),
        async all() {
            await new Promise((resolve) => setImmediate(resolve));
            const statement = db.prepare(text);
            const rows = statement.reader ? statement.all(...values) : (statement.run(...values), []);
            return JSON.parse(JSON.stringify({ success: true, meta: {}, results: rows }));
        },
    });
    return { prepare: (text) => prepared(text, []) };
}

export const places = {
    memory: async () => ({
        fresh: () => {
            const store = memoryStore();
            return { open: () => store, close: () => {} };
        },
        close: () => {},
    }),
    libsql: async () => ({
        fresh: () => {
            const { path, remove } = folder();
            const open = [];
            return {
                open: () => {
                    open.push(createClient({ url: `file:${join(path, "leases.db")}` }));
                    return sqliteStore(open.at(-1));
                },
                close: () => {
                    for (const db of open) db.close();
                    remove();
                },
            };
        },
        close: () => {},
    }),
    "Cloudflare D1": async () => ({
        fresh: () => {
            const db = new Database(":memory:");
            return { open: () => sqliteStore(d1(db)), close: () => void db.close() };
        },
        close: () => {},
    }),
    PostgreSQL: async () => {
        const server = await startServer();
        return {
            fresh: () => {
                const name = schema();
                const pools = [];
                return {
                    open: () => {
                        pools.push(makePool({ connectionString: server.url, max: 2 }));
                        return postgresStore(pools.at(-1), { schema: name });
                    },
                    close: () => Promise.all(pools.map((pool) => pool.end())),
                };
            },
            close: server.stop,
        };
    },
};
