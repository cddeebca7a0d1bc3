// An application in one minified file: it must not depend on names of classes.
import { after, test } from "node:test";
import { ticksAndLeads } from "./bundles.js";
import { endAll } from "./support.js";

after(endAll);

test("an application minified by esbuild leads and runs its ticks", () => ticksAndLeads("esbuild"));
