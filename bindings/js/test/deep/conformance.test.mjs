// The properties of src/testing/conformance on more clients, and their timed properties on every store.
import { prove, properties, timed } from "../conformance.mjs";
import { places } from "../places.mjs";
import { more } from "./places.mjs";

prove(properties, more);
prove(timed, { ...places, ...more });
