// An application with a job of six seconds that only the leader runs, one after the other.
//   node rolling.js URL SCHEMA
import "reflect-metadata";
import "../cron.js";
import { Injectable, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import { LeaderElectorModule, LeaderOnly } from "elector-wasm/nestjs";
import pg from "pg";

const [url = "", schema = ""] = process.argv.slice(2);
const client = new pg.Pool({ connectionString: url });

@Injectable()
class Jobs {
    #isBusy = false;

    @LeaderOnly()
    @Cron(CronExpression.EVERY_SECOND)
    async run(): Promise<void> {
        if (this.#isBusy) return;
        this.#isBusy = true;
        const begun = Date.now();
        console.log(`begun ${begun}`);
        await new Promise((resolve) => setTimeout(resolve, 6_000));
        console.log(`ran ${begun} ${Date.now()}`);
        this.#isBusy = false;
    }
}

@Module({
    imports: [ScheduleModule.forRoot(), LeaderElectorModule.forRoot({ client, schema })],
    providers: [Jobs],
})
class AppModule {}

void NestFactory.createApplicationContext(AppModule, { logger: ["error", "warn"] })
    .then((application) => application.enableShutdownHooks())
    .then(() => console.log("stands"));
