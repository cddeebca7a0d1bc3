// A shutdown while jobs are in progress: no job starts, the lease is kept for them, and then released.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { INestApplicationContext, Type } from "@nestjs/common";
import { Injectable } from "@nestjs/common";
import { Cron, CronExpression, ScheduleModule } from "@nestjs/schedule";
import type { ElectedTerm, LeaderElectorModuleOptions } from "elector-wasm/nestjs";
import {
    LeaderElectorModule, LeaderElectorService, LeaderOnly, OnElected, OncePerTick, isNotRun,
} from "elector-wasm/nestjs";
import { memoryStore } from "elector-wasm";
import "./cron.js";
import { closeAll, closeForGood, openApplication } from "./application.js";
import { Lines, endAll, freshSchema, long, newPool, rows, sleep, until } from "./support.js";

const pool = newPool({ max: 10 });

function open(provider: Type, schema: string, more: LeaderElectorModuleOptions = {}) {
    const root = LeaderElectorModule.forRoot({ client: pool, schema, ...long, logger: new Lines(), ...more });
    return openApplication({ imports: [ScheduleModule.forRoot(), root], providers: [provider] });
}

const service = (application: INestApplicationContext) => application.get(LeaderElectorService);

/** A job that runs until it is released by a gate, and records what happens. */
class Gate {
    readonly said: string[] = [];
    #open: () => void = () => undefined;
    readonly #gate = new Promise<void>((resolve) => (this.#open = resolve));
    async pass(): Promise<string> {
        this.said.push("begun");
        await this.#gate;
        this.said.push("ended");
        return "done";
    }
    open(): void {
        this.#open();
    }
}

/**
 * Closes an application with a job in progress while another application waits, and records who leads when.
 * Runs `meanwhile` before the job may end.
 */
async function drains(
    application: INestApplicationContext,
    other: INestApplicationContext,
    gate: Gate,
    meanwhile: () => Promise<void> = async () => undefined,
): Promise<void> {
    const { elector } = service(application);
    const token = service(application).token!;
    other.get(LeaderElectorService).elector.on("elected", () => gate.said.push("the other leads"));
    let renewed = 0;
    elector.on("renewed", () => (renewed += 1));
    const closing = closeForGood(application).then(() => gate.said.push("closed"));
    await until(() => elector.leadership.phase === "draining");
    assert.equal(service(application).amILeader(), false);
    // The token still protects the job in progress.
    const { leading, phase, token: kept } = elector.leadership;
    assert.deepEqual([leading, phase, kept], [false, "draining", token]);
    const before = renewed;
    await until(() => renewed >= before + 2);
    assert.equal(service(other).amILeader(), false);
    await meanwhile();
    gate.open();
    await closing;
    await until(() => service(other).amILeader());
    assert.equal(gate.said.at(0), "begun");
    assert.equal(gate.said.at(1), "ended", gate.said.join());
    assert.deepEqual([...gate.said].sort(), ["begun", "closed", "ended", "the other leads"]);
}

/** Two replicas; the first runs a job of the leader until the gate opens. */
async function runningAJob(gate: Gate): Promise<[INestApplicationContext, INestApplicationContext]> {
    @Injectable()
    class Jobs {
        @LeaderOnly()
        run(): Promise<string> {
            return gate.pass();
        }
    }
    class Nothing {}
    const schema = freshSchema();
    const [first, second] = [await open(Jobs, schema), await open(Nothing, schema)];
    void first.get(Jobs).run();
    return [first, second];
}

describe("closing while jobs run", { concurrency: 4 }, () => {
    after(async () => {
        await closeAll();
        await pool.end();
        await endAll();
    });

    test("a method under @LeaderOnly() in progress ends before the release, and no call starts", async () => {
        const gate = new Gate();
        @Injectable()
        class Jobs {
            @LeaderOnly()
            run(): Promise<string> {
                return gate.pass();
            }
            @LeaderOnly()
            also(): string {
                return "ran";
            }
        }
        const schema = freshSchema();
        const [first, second] = [await open(Jobs, schema), await open(Jobs, schema)];
        const jobs = first.get(Jobs);
        const running = jobs.run();
        const late: unknown[] = [];
        service(first).elector.on("stopNewWork", () => late.push(jobs.also()));
        assert.equal(jobs.also(), "ran");
        await drains(first, second, gate);
        assert.deepEqual(late.map(isNotRun), [true], "nothing new from then on");
        assert.equal(await running, "done");
    });

    test("a tick in progress ends before the release, and no other tick starts", async () => {
        const gate = new Gate();
        @Injectable()
        class Ticking {
            @OncePerTick({ name: "ticking" })
            @Cron(CronExpression.EVERY_SECOND)
            async run(): Promise<void> {
                if (gate.said.length === 0) await gate.pass();
            }
        }
        class Nothing {}
        const schema = freshSchema();
        const [first, second] = [await open(Ticking, schema), await open(Nothing, schema)];
        await until(() => gate.said.length === 1);
        const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/%'`;
        const count = async () => (await rows(claims)).length;
        await drains(first, second, gate, async () => {
            // A tick that was being claimed when the shutdown began may still be claimed.
            await sleep(1_500);
            const before = await count();
            await sleep(2_500);
            assert.equal(await count(), before);
        });
    });

    test("a method under @OnElected() is aborted by its signal, and the shutdown waits for it", async () => {
        const gate = new Gate();
        let term: ElectedTerm | undefined;
        @Injectable()
        class Loop {
            @OnElected()
            async run(given: ElectedTerm): Promise<void> {
                term ??= given;
                if (given === term) await gate.pass();
            }
        }
        class Nothing {}
        const schema = freshSchema();
        const [first, second] = [await open(Loop, schema), await open(Nothing, schema)];
        await until(() => term);
        const aborted: boolean[] = [];
        service(first).elector.on("stopNewWork", () => {
            setImmediate(() => aborted.push(term!.signal.aborted));
        });
        await drains(first, second, gate);
        assert.deepEqual(aborted, [true]);
    });

    test("a term past its soft deadline ends once its jobs have ended, and another term begins", async () => {
        const gate = new Gate();
        const terms: ElectedTerm[] = [];
        @Injectable()
        class Working {
            @OnElected()
            async loop(term: ElectedTerm): Promise<void> {
                terms.push(term);
                await new Promise((end) => term.signal.addEventListener("abort", end, { once: true }));
            }
            @LeaderOnly()
            run(): Promise<string> {
                return gate.pass();
            }
        }
        const store = memoryStore();
        const brief = { leaseDuration: 4_000, renewalInterval: 800, jitterRange: 100, logger: new Lines() };
        const root = LeaderElectorModule.forRoot({ store, ...brief });
        const application = await openApplication({ imports: [root], providers: [Working] });
        service(application).elector.on("deposed", ({ reason }) => gate.said.push(reason));
        await until(() => terms.length === 1);
        const running = application.get(Working).run();
        store.failWith("unsent");
        await until(() => terms[0]!.signal.aborted);
        assert.equal(service(application).amILeader(), false);
        // In time for the next renewal.
        store.failWith(undefined);
        await sleep(1_000);
        gate.open();
        await until(() => terms.length === 2);
        assert.equal(await running, "done");
        assert.ok(terms[1]!.token > terms[0]!.token);
        // A busy machine may have lost the term before.
        const released = gate.said.indexOf("released");
        assert.ok(released < 0 || released > gate.said.indexOf("ended"), gate.said.join());
    });

    test("guard() in a job in progress passes until the job has ended", async () => {
        const gate = new Gate();
        const passed: bigint[] = [];
        @Injectable()
        class Guarded {
            constructor(private readonly elector: LeaderElectorService) {}
            @LeaderOnly()
            async run(): Promise<void> {
                await gate.pass();
                const client = await pool.connect();
                await client.query("BEGIN");
                passed.push(await this.elector.guard(client));
                await client.query("COMMIT");
                client.release();
            }
        }
        class Nothing {}
        const schema = freshSchema();
        const [first, second] = [await open(Guarded, schema), await open(Nothing, schema)];
        const { token } = service(first);
        const running = first.get(Guarded).run();
        await drains(first, second, gate);
        await running;
        assert.deepEqual(passed, [token]);
        await assert.rejects(service(first).guard(pool), { code: "NOT_LEADER" });
    });

    test("work of runAsLeader() is aborted by its signal, and the shutdown waits for it", async () => {
        const schema = freshSchema();
        class Nothing {}
        const first = await open(Nothing, schema);
        const said: string[] = [];
        const running = service(first).runAsLeader(async ({ signal }) => {
            await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
            said.push(service(first).leadership.phase);
            await sleep(200);
            said.push(service(first).leadership.phase);
        });
        running.catch(() => undefined);
        await until(() => service(first).amILeader());
        await closeForGood(first);
        assert.deepEqual(said, ["draining", "draining"]);
        await assert.rejects(running, { code: "RELEASED" });
    });

    test("work of runAsLeader() that ends early leaves the lease to other jobs in progress", async () => {
        const gate = new Gate();
        const [first, second] = await runningAJob(gate);
        let isDone = false;
        const running = service(first).runAsLeader(async ({ signal }) => {
            await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
            isDone = true;
        });
        const ended = assert.rejects(running, { code: "RELEASED" });
        await drains(first, second, gate, async () => assert.ok(isDone));
        await ended;
    });

    test("a job that waits for runAsLeader() ends with it", async () => {
        let isRunning = false;
        @Injectable()
        class Outer {
            constructor(private readonly elector: LeaderElectorService) {}
            @LeaderOnly()
            async run(): Promise<void> {
                await this.elector.runAsLeader(({ signal }) => new Promise((resolve) => {
                    isRunning = true;
                    signal.addEventListener("abort", resolve, { once: true });
                }));
            }
        }
        const application = await open(Outer, freshSchema());
        const ended = assert.rejects(application.get(Outer).run(), { code: "RELEASED" });
        await until(() => isRunning);
        let isClosed = false;
        void closeForGood(application).then(() => (isClosed = true));
        await ended;
        await until(() => isClosed);
    });

    test("runAsLeader() is refused during and after the shutdown", async () => {
        class Nothing {}
        const application = await open(Nothing, freshSchema());
        const own = service(application);
        await until(() => own.amILeader());
        const refusal = { code: "RELEASED", message: /^election "1": no work is started/ };
        const refused = () => assert.rejects(own.runAsLeader(() => assert.fail("too late")), refusal);
        own.drain();
        await refused();
        await closeForGood(application);
        await refused();
        assert.equal(own.leadership.phase, "standby");
    });

    test("release() during the shutdown waits for jobs in progress", async () => {
        const gate = new Gate();
        const [first, second] = await runningAJob(gate);
        await drains(first, second, gate, async () => {
            let isReleased = false;
            void service(first).release().then(() => (isReleased = true));
            await sleep(100);
            assert.deepEqual([isReleased, service(first).leadership.phase], [false, "draining"]);
        });
        await service(first).release();
    });

    test("a job that does not end is waited for until `drainMs`, and then logged by name", async () => {
        const gate = new Gate();
        @Injectable()
        class Endless {
            @LeaderOnly()
            run(): Promise<string> {
                return gate.pass();
            }
        }
        const schema = freshSchema();
        const logger = new Lines();
        const first = await open(Endless, schema, { drainMs: 300, logger });
        const running = first.get(Endless).run();
        const from = performance.now();
        await closeForGood(first);
        assert.ok(performance.now() - from >= 299);
        assert.equal(logger.errors.length, 1);
        assert.match(logger.errors[0]!, /^election "1": Endless\.run still runs 300 ms/);
        const held = `SELECT leader_id FROM ${schema}.leader_lease WHERE id = '1' AND expires_at > now()`;
        const [row] = await rows(held);
        assert.ok(row?.["leader_id"], "the lease is kept for what still runs");
        gate.open();
        await running;
        const wrong = open(Endless, freshSchema(), { drainMs: -1 });
        await assert.rejects(wrong, { code: "INVALID_OPTIONS", message: /`drainMs` is -1/ });
    });
});
