// Plain objects in a process with an application: before it, while it stands by and leads, and after it.
import "reflect-metadata";
import assert from "node:assert/strict";
import { Injectable, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { memoryStore } from "elector-wasm";
import {
    LeaderElectorCore, LeaderElectorModule, LeaderElectorService, LeaderOnly, isNotRun,
} from "elector-wasm/nestjs";
import { long, until } from "./support.js";

/** A class that no application provides. */
class Fresh {
    @LeaderOnly()
    work(): string {
        return "ran";
    }
}

@Injectable()
class Known {
    @LeaderOnly()
    work(): string {
        return "ran";
    }

    @LeaderOnly()
    async wait(end: Promise<void>): Promise<void> {
        await end;
    }
}

@Injectable()
class Early {
    error: unknown;
    constructor() {
        try {
            new Fresh().work();
        } catch (error) {
            this.error = error;
        }
    }
}

const store = memoryStore();

@Module({ imports: [LeaderElectorModule.forRoot({ store, ...long })], providers: [Early, Known] })
class AppModule {}

const refusal = { code: "INVALID_OPTIONS", message: /: this process has no application with an election/ };

async function main(): Promise<void> {
    const both = () => [new Fresh().work(), new Known().work()] as unknown[];
    assert.deepEqual(both(), ["ran", "ran"]);
    const other = new LeaderElectorCore(store, { ...long, instanceId: "other" });
    await until(() => other.amILeader());
    const options = { logger: ["error", "warn"] as ("error" | "warn")[], abortOnError: false as const };
    // An application that cannot start has no election.
    const settings = { store, ...long, leaseDuration: 1 };
    const failing = { module: class Failing {}, imports: [LeaderElectorModule.forRoot(settings)] };
    await assert.rejects(NestFactory.createApplicationContext(failing, { ...options, logger: false }));
    assert.throws(() => new Fresh().work(), refusal);
    const application = await NestFactory.createApplicationContext(AppModule, options);
    assert.ok(both().every(isNotRun), "they go by the application, which does not lead");
    await other.shutdown();
    await until(() => both().every((result) => result === "ran"));
    const known = application.get(Known);
    const { work } = known;
    assert.equal(work(), "ran", "also without its object");
    const { error } = application.get(Early);
    assert.ok(error === undefined || refusal.message.test(String(error)));
    let end = (): void => undefined;
    void known.wait(new Promise((resolve) => (end = resolve)));
    const closing = application.close();
    await until(() => application.get(LeaderElectorService).leadership.phase === "draining");
    assert.ok(both().every(isNotRun), "also while it closes");
    end();
    await closing;
    assert.ok(isNotRun(known.work()));
    assert.throws(() => new Fresh().work(), refusal);
    assert.throws(() => new Known().work(), refusal);
    console.log("plain objects go by the application");
}

void main();
