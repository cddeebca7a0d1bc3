// The properties of src/testing/conformance with more clients, and what those take in time on every store.
import { prove, properties, timed } from "../conformance.mjs";
import { places } from "../places.mjs";
import { more } from "./places.mjs";

prove(properties, more);
prove(timed, { ...places, ...more });
