// PGlite, in its own process: its start blocks the event loop for seconds, longer than the leases of other
// tests.
import { test } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import { NestFactory } from "@nestjs/core";
import { LeaderElectorModule, LeaderElectorService } from "elector-wasm/nestjs";
import { until } from "../support.js";

test("an application on PGlite leads", async () => {
    const db = await PGlite.create();
    const module = { module: class Application {}, imports: [LeaderElectorModule.forRoot({ client: db })] };
    const application = await NestFactory.createApplicationContext(module, { logger: false });
    await until(() => application.get(LeaderElectorService).amILeader());
    await application.close();
    await db.close();
});
