// The stores in memory, on SQLite and on PostgreSQL have the properties of src/testing/conformance.
import { properties, prove } from "./conformance.mjs";
import { places } from "./places.mjs";

prove(properties, places);
