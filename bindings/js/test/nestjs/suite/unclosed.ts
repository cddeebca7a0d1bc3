// An application made after others that were never started or closed, as in tests.
import "reflect-metadata";
import assert from "node:assert/strict";
import type { DynamicModule } from "@nestjs/common";
import { Injectable, Scope } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { memoryStore } from "elector-wasm";
import { LeaderElectorModule, LeaderElectorService, LeaderOnly, isNotRun } from "elector-wasm/nestjs";

@Injectable({ scope: Scope.REQUEST })
class PerRequest {
    @LeaderOnly()
    isLeading(): boolean {
        return true;
    }
}

function application(...more: DynamicModule[]): DynamicModule {
    const imports = [LeaderElectorModule.forRoot({ store: memoryStore() }), ...more];
    return { module: class Application {}, imports, providers: [PerRequest] };
}

const options = { logger: ["error", "warn"], abortOnError: false } as {
    logger: ("error" | "warn")[];
    abortOnError: false;
};

async function main(): Promise<void> {
    // This application is never started, so its candidate does not campaign.
    const made = await NestFactory.create(application(), options);
    const early = await made.resolve(PerRequest);
    assert.ok(isNotRun(early.isLeading()));
    // Making this application fails.
    const failing = {
        module: class Failing {},
        providers: [{
            provide: "FAILING",
            inject: [LeaderElectorService],
            useFactory: () => {
                throw new Error("a fault of a provider");
            },
        }],
    };
    const quiet = { ...options, logger: false as const };
    await assert.rejects(NestFactory.create(application(failing), quiet), /a fault of a provider/);
    const first = await NestFactory.createApplicationContext(application(), options);
    const own = await first.resolve(PerRequest);
    assert.equal(own.isLeading(), true);
    console.log("leads");
    const second = await NestFactory.createApplicationContext(application(), options);
    const its = await second.resolve(PerRequest);
    assert.throws(() => its.isLeading(), /this process has 2 applications/);
    await second.close();
    assert.equal(own.isLeading(), true);
    const unused = await first.resolve(PerRequest);
    await first.close();
    assert.ok(isNotRun(own.isLeading()));
    assert.throws(() => unused.isLeading(), /this process has no application/);
    console.log("two applications are refused");
}

void main();
