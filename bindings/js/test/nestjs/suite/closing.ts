// An application that closes when told to. A timer or connection left behind would keep the process alive:
// the lease, and any timer of that length, lasts longer than the test waits.
//   node closing.js pg|typeorm APPLICATION_NAME SCHEMA
import "reflect-metadata";
import { createInterface } from "node:readline";
import { NestFactory } from "@nestjs/core";
import { TypeOrmModule } from "@nestjs/typeorm";
import { LeaderElectorModule, LeaderElectorService } from "elector-wasm/nestjs";
import pg from "pg";
import { long, until, url } from "./support.js";

async function main(mode: string, name: string, schema: string): Promise<void> {
    const pool = new pg.Pool({ connectionString: url, application_name: name });
    const imports = mode === "pg"
        ? [LeaderElectorModule.forRoot({ client: pool, schema, ...long })]
        : [
            TypeOrmModule.forRoot({ type: "postgres", url, applicationName: name }),
            LeaderElectorModule.forRoot({ schema, ...long }),
        ];
    const module = { module: class Application {}, imports };
    const application = await NestFactory.createApplicationContext(module, { logger: ["error", "warn"] });
    application.enableShutdownHooks();
    await until(() => application.get(LeaderElectorService).amILeader());
    console.log("leading");
    const input = createInterface({ input: process.stdin });
    input.once("line", () => {
        void application.close().then(() => pool.end()).then(() => {
            input.close();
            process.stdin.destroy();
            const closed = performance.now();
            // Any remaining timer or connection would delay this.
            process.on("exit", () => console.log("ended after", Math.ceil(performance.now() - closed), "ms"));
        });
    });
}

void main(...(process.argv.slice(2) as [string, string, string]));
