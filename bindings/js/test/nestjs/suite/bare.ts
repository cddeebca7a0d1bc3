// An application without TypeORM, schedule and terminus.
import "reflect-metadata";
import assert from "node:assert/strict";
import { NestFactory } from "@nestjs/core";
import { memoryStore } from "elector-wasm";
import {
    LeaderElectorModule, LeaderElectorService, LeaderLease, createLeaderLeaseEntity,
    createLeaderLeaseTable,
} from "elector-wasm/nestjs";

async function main(): Promise<void> {
    const imports = [LeaderElectorModule.forRoot({ store: memoryStore() })];
    const module = { module: class Application {}, imports };
    const application = await NestFactory.createApplicationContext(module, { logger: ["error", "warn"] });
    assert.ok(application.get(LeaderElectorService).amILeader());
    assert.ok(new LeaderLease());
    assert.throws(() => createLeaderLeaseEntity(), /install the package typeorm/);
    assert.throws(() => createLeaderLeaseTable(), /install the package typeorm/);
    await application.close();
    console.log("leads without TypeORM");
}

void main();
