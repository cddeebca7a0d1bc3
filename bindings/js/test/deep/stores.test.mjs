// The SQLite store beside its operations, on better-sqlite3.
import Database from "better-sqlite3";
import { prove, proveTimed } from "../sqlite.mjs";

prove("better-sqlite3", Database);
proveTimed("better-sqlite3", Database);
