// Stores on more clients: better-sqlite3, which may need a compiler, PGlite and postgres.js.
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import Database from "better-sqlite3";
import postgres from "postgres";
import { postgresStore, sqliteStore } from "../../dist/cjs/index.mjs";
import { folder, schema } from "../places.mjs";
import { startServer } from "../server.mjs";

/** postgres.js as a client, as README.md describes. */
const ofPostgresJs = (sql) => ({ query: (text, values) => sql.unsafe(text, values), listen: sql.listen });

export const more = {
    "better-sqlite3": async () => ({
        fresh: () => {
            const { path, remove } = folder();
            const open = [];
            return {
                open: () => {
                    open.push(new Database(join(path, "leases.db"), { timeout: 2_000 }));
                    open.at(-1).pragma("journal_mode = WAL");
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
    PGlite: async () => {
        const db = await PGlite.create();
        return {
            fresh: () => {
                const name = schema();
                return { open: () => postgresStore(db, { schema: name }), close: () => {} };
            },
            close: () => db.close(),
        };
    },
    "postgres.js": async () => {
        const server = await startServer();
        return {
            fresh: () => {
                const name = schema();
                const clients = [];
                return {
                    open: () => {
                        const sql = postgres(server.url, { max: 2, onnotice: () => {} });
                        clients.push(sql);
                        return postgresStore(ofPostgresJs(sql), { schema: name });
                    },
                    close: () => Promise.all(clients.map((sql) => sql.end())),
                };
            },
            close: server.stop,
        };
    },
};
