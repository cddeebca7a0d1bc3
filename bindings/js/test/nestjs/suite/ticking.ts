// An application with many jobs that tick each second, and write each run down.
//   node ticking.js URL SCHEMA JOBS
import "reflect-metadata";
import "./cron.js";
import { Injectable, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import { LeaderElectorModule, OncePerTick } from "elector-wasm/nestjs";
import pg from "pg";

const [url = "", schema = "", jobs = ""] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 8 });
pool.on("error", () => undefined);

@Injectable()
class Jobs {}

for (let at = 0; at < Number(jobs); at++) {
    const key = `job${at}`;
    const value = async (): Promise<void> => {
        await pool.query(`INSERT INTO ${schema}.runs VALUES ($1, $2)`, [key, process.pid]);
    };
    const descriptor: PropertyDescriptor = { value, writable: true, configurable: true };
    Cron(CronExpression.EVERY_SECOND)(Jobs.prototype, key, descriptor);
    OncePerTick({ name: key })(Jobs.prototype, key, descriptor);
    Object.defineProperty(Jobs.prototype, key, descriptor);
}

@Module({
    imports: [
        ScheduleModule.forRoot(),
        LeaderElectorModule.forRoot({ client: pool, schema, leaseDuration: 4_000 }),
    ],
    providers: [Jobs],
})
class AppModule {}

void NestFactory.createApplicationContext(AppModule, { logger: ["error", "warn"] })
    .then((application) => application.enableShutdownHooks())
    .then(() => console.log("ticks"));
