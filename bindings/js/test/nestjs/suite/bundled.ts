// An application that is bundled to one file: TypeORM, schedule, and all that is found by a decorator.
//   node bundled.mjs URL SCHEMA
import "reflect-metadata";
import "./cron.js";
import { Injectable, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, Interval, ScheduleModule } from "@nestjs/schedule";
import { TypeOrmModule } from "@nestjs/typeorm";
import type { ElectedTerm } from "elector-wasm/nestjs";
import {
    InjectElector, LeaderElectorModule, LeaderElectorService, LeaderLease, LeaderOnly, OnElected, OncePerTick,
} from "elector-wasm/nestjs";
import pg from "pg";

const [url = "", schema = ""] = process.argv.slice(2);

@Injectable()
class TasksService {
    constructor(private readonly elector: LeaderElectorService) {}

    @OncePerTick({ name: "tick" })
    @Cron(CronExpression.EVERY_SECOND)
    tick(): void {
        console.log("a tick");
    }

    @LeaderOnly()
    @Cron(CronExpression.EVERY_SECOND)
    async lead(): Promise<void> {
        console.log(`leading: ${this.elector.amILeader()}`);
    }
}

@Injectable()
class ReportsService {
    constructor(@InjectElector("reports") private readonly reports: LeaderElectorService) {}

    @LeaderOnly("reports")
    @Interval(100)
    report(): void {
        console.log(`reporting: ${this.reports.elector.election}`);
    }

    @OnElected("reports")
    elected({ election }: ElectedTerm): void {
        console.log(`elected: ${election}`);
    }
}

@Module({ imports: [LeaderElectorModule.forFeature("reports")], providers: [ReportsService] })
class ReportsModule {}

@Module({
    imports: [
        ScheduleModule.forRoot(),
        // In a bundle TypeORM 1 cannot find its driver by itself.
        TypeOrmModule.forRoot({ type: "postgres", url, driver: pg, entities: [LeaderLease] }),
        LeaderElectorModule.forRoot({ schema, leaseDuration: 20_000 }),
        ReportsModule,
    ],
    providers: [TasksService],
})
class AppModule {}

async function main(): Promise<void> {
    const application = await NestFactory.createApplicationContext(AppModule, { logger: ["error", "warn"] });
    process.stdin.once("data", () => void application.close().then(() => process.stdin.destroy()));
}

void main();
