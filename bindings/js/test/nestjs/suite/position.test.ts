// The position of a decorator: below other decorators, which replace the method by their own function, and on
// properties.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { Controller, Get, Injectable } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import { memoryStore } from "elector-wasm";
import {
    LeaderElectorModule, LeaderOnly, OnDeposed, OnElected, OncePerTick, isNotRun,
} from "elector-wasm/nestjs";
import "./cron.js";
import { closeAll, openApplication } from "./application.js";
import { endAll, freshSchema, long, newPool, rows, until } from "./support.js";

const pool = newPool({ max: 10 });

/** A decorator as those that trace a method or open a transaction around it. */
function Traced({ copies = true, passes = true } = {}): MethodDecorator {
    return (_target, _key, descriptor) => {
        const original = descriptor.value as unknown as (this: unknown, ...values: unknown[]) => unknown;
        const traced = function (this: unknown, ...values: unknown[]): unknown {
            return original.apply(this, passes ? values : []);
        };
        for (const key of copies ? (Reflect.getOwnMetadataKeys(original) as unknown[]) : []) {
            Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, original), traced);
        }
        (descriptor as PropertyDescriptor).value = traced;
    };
}

describe("the position of a decorator", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await pool.end();
        await endAll();
    });

    test("ticks are claimed with other decorators between @Cron and @OncePerTick", async () => {
        const schema = freshSchema();
        @Injectable()
        class Jobs {
            static readonly ran: string[] = [];
            @Cron(CronExpression.EVERY_SECOND)
            @Traced()
            @OncePerTick({ name: "between" })
            between(): void {
                Jobs.ran.push("between");
            }
            @Cron(CronExpression.EVERY_SECOND)
            @Traced({ copies: false })
            @OncePerTick({ name: "bare" })
            bare(): void {
                Jobs.ran.push("bare");
            }
            @Traced({ passes: false })
            @Cron(CronExpression.EVERY_SECOND)
            @OncePerTick({ name: "above" })
            above(): void {
                Jobs.ran.push("above");
            }
        }
        const names = ["between", "bare", "above"];
        const root = LeaderElectorModule.forRoot({ client: pool, schema, ...long });
        const metadata = { imports: [ScheduleModule.forRoot(), root], providers: [Jobs] };
        const applications = [await openApplication(metadata), await openApplication(metadata)];
        const ran = (name: string) => Jobs.ran.filter((one) => one === name).length;
        await until(() => names.every((name) => ran(name) >= 3));
        await Promise.all(applications.map((application) => application.close()));
        for (const name of names) {
            const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/${name}/%'`;
            assert.equal((await rows(claims)).length, ran(name), name);
        }
    });

    test("a direct call runs on the leader once a call of cron has passed the mark", async () => {
        const store = memoryStore();
        @Injectable()
        class Jobs {
            readonly ran: number[] = [];
            @Cron(CronExpression.EVERY_SECOND)
            @Traced()
            @OncePerTick({ name: "by hand" })
            async run(a = 0): Promise<number> {
                this.ran.push(a);
                return a;
            }
        }
        const imports = [ScheduleModule.forRoot(), LeaderElectorModule.forRoot({ store, ...long })];
        const [own, its] = await Promise.all([1, 2].map(async () => {
            return (await openApplication({ imports, providers: [Jobs] })).get(Jobs);
        }));
        await until(() => own!.ran.length + its!.ran.length >= 1);
        await until(async () => {
            const both: unknown[] = await Promise.all([own!.run(7), its!.run(7)]);
            return both.filter((one) => one === 7).length === 1 && both.filter(isNotRun).length === 1;
        });
    });

    test("a route answers 503 with other decorators between @Get and @LeaderOnly", async () => {
        @Controller()
        class Routes {
            @Get("route")
            @Traced()
            @LeaderOnly()
            route(): { ok: true } {
                return { ok: true };
            }
        }
        const store = memoryStore();
        const imports = [LeaderElectorModule.forRoot({ store, ...long })];
        const module = { module: class Application {}, imports, controllers: [Routes] };
        const options = { logger: false, abortOnError: false } as const;
        const answers = async () => {
            const application = await NestFactory.create(module, options);
            await application.listen(0, "127.0.0.1");
            return { application, status: (await fetch(`${await application.getUrl()}/route`)).status };
        };
        const both = [await answers(), await answers()];
        await Promise.all(both.map(({ application }) => application.close()));
        const statuses = both.map(({ status }) => status);
        assert.deepEqual(statuses, [200, 503]);
    });

    test("a decorator on a property is refused", () => {
        const decorators = {
            LeaderOnly: LeaderOnly(), OnElected: OnElected(), OnDeposed: OnDeposed(),
            OncePerTick: OncePerTick({ name: "property" }),
        };
        for (const [name, decorator] of Object.entries(decorators)) {
            const message = `@${name}() on Jobs.run: this is not a method; ` +
                "write it as the method run() { … }";
            class Jobs {}
            // As compilers call a decorator for a property, and for an accessor.
            type Called = (target: object, key: string, given?: PropertyDescriptor) => void;
            const decorate = decorator as unknown as Called;
            const refusal = { code: "INVALID_OPTIONS", message };
            assert.throws(() => decorate(Jobs.prototype, "run"), refusal);
            const accessor = { get: () => () => undefined, configurable: true };
            assert.throws(() => decorate(Jobs.prototype, "run", accessor), refusal);
        }
    });
});
