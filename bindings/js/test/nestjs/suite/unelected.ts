// An application without `LeaderElectorModule.forRoot()`: calls of its decorated methods throw.
import "reflect-metadata";
import "./cron.js";
import assert from "node:assert/strict";
import { Controller, Get, Injectable, Module, Scope } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, Interval, ScheduleModule, Timeout } from "@nestjs/schedule";
import { LeaderOnly, OncePerTick } from "elector-wasm/nestjs";
import { Lines, until } from "./support.js";

const ran: string[] = [];

@Injectable()
class Jobs {
    @LeaderOnly()
    @Cron(CronExpression.EVERY_SECOND)
    lead(): void {
        ran.push("lead");
    }

    @Cron(CronExpression.EVERY_SECOND)
    @OncePerTick({ name: "tick" })
    tick(): void {
        ran.push("tick");
    }

    @Interval(50)
    @LeaderOnly()
    interval(): void {
        ran.push("interval");
    }

    @LeaderOnly()
    @Timeout(50)
    async timeout(): Promise<void> {
        ran.push("timeout");
    }
}

@Injectable({ scope: Scope.TRANSIENT })
class Transient {
    @LeaderOnly()
    work(): void {
        ran.push("transient");
    }
}

class Plain {
    @LeaderOnly()
    work(): string {
        return "ran";
    }
}

@Controller()
class Routes {
    @LeaderOnly()
    @Get("lead")
    lead(): string {
        ran.push("route");
        return "ran";
    }
}

@Module({
    imports: [ScheduleModule.forRoot()],
    controllers: [Routes],
    providers: [Jobs, Transient, { provide: "PLAIN", useFactory: () => new Plain() }],
})
class AppModule {}

class Logged extends Lines {
    log(): void {}
    override error(message: unknown): void {
        super.error(String(message));
    }
}

const refusal = (method: string) => ({
    code: "INVALID_OPTIONS",
    message: new RegExp(`on ${method}: this process has no application .*; import LeaderElectorModule`),
});

async function main(): Promise<void> {
    assert.equal(new Plain().work(), "ran", "before any application, as in a unit test");
    const logger = new Logged();
    const application = await NestFactory.create(AppModule, { logger, abortOnError: false });
    await application.listen(0, "127.0.0.1");
    const methods = ["Jobs.lead", "Jobs.tick", "Jobs.interval", "Jobs.timeout"];
    const isRefused = (method: string) => logger.errors.some((line) => refusal(method).message.test(line));
    await until(() => ran.length > 0 || methods.every(isRefused), () => logger.errors.join("\n"));
    const { status } = await fetch(`${await application.getUrl()}/lead`);
    assert.deepEqual([ran, status], [[], 500]);
    const jobs = application.get(Jobs);
    assert.throws(() => jobs.lead(), refusal("Jobs.lead"));
    await assert.rejects(async () => jobs.tick(), refusal("Jobs.tick"));
    assert.throws(() => application.get<Plain>("PLAIN").work(), refusal("Plain.work"));
    const transient = await application.resolve(Transient);
    assert.throws(() => transient.work(), refusal("Transient.work"));
    // Objects that the application makes itself look like those that a test makes.
    assert.throws(() => new Plain().work(), refusal("Plain.work"));
    await application.close();
    assert.throws(() => new Plain().work(), refusal("Plain.work"));
    assert.deepEqual(ran, []);
    console.log("nothing runs without an election");
}

void main();
