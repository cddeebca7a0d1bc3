// An application as one file that is minified: nothing depends on the name of a class.
import { after, test } from "node:test";
import { ticksAndLeads } from "./bundles.js";
import { endAll } from "./support.js";

after(endAll);

test("esbuild, minified: it ticks and leads", () => ticksAndLeads("esbuild"));
