// Objects with decorated methods in a process without an application, as in unit tests.
import "reflect-metadata";
import assert from "node:assert/strict";
import { Cron } from "@nestjs/schedule";
import { LeaderOnly, OnElected, OncePerTick } from "elector-wasm/nestjs";

class Service {
    @LeaderOnly()
    plain(a: number): number {
        return a;
    }

    @LeaderOnly("reports")
    async sum(a: number, b: number): Promise<number> {
        return a + b;
    }

    @OncePerTick({ name: "tick" })
    @Cron("* * * * * *")
    tick(a: number): number {
        return a;
    }

    @OnElected()
    elected(): string {
        return "elected";
    }
}

async function main(): Promise<void> {
    const service = new Service();
    assert.equal(service.plain(1), 1);
    assert.equal(await service.sum(1, 2), 3);
    assert.equal(await service.tick(4), 4);
    assert.equal(service.elected(), "elected");
    console.log("runs without Nest");
}

void main();
