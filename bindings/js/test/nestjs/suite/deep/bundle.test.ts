// The same with all that bundles applications, and with the versions of @nestjs/schedule that fit this Nest.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { ticksAndLeads } from "../bundles.js";
import { endAll, folder } from "../support.js";

const modules = join(folder, "../../../node_modules");
const schedules = ["@nestjs/schedule", "schedule5", "schedule12"].filter((name) => existsSync(join(modules, name)));

describe("an application as one minified file", { concurrency: 1 }, () => {
    after(endAll);

    for (const tool of ["esbuild", "webpack", "ncc"]) {
        for (const schedule of schedules) {
            test(`${tool} with ${schedule}`, () => ticksAndLeads(tool, schedule));
        }
    }
});
