// Every store has the properties of src/testing/conformance: in memory, on SQLite, on PostgreSQL.
import { properties, prove } from "./conformance.mjs";
import { places } from "./places.mjs";

prove(properties, places);
