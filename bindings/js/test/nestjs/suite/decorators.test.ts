// The decorators, the guard, and the health indicator.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { INestApplication, Provider, Type } from "@nestjs/common";
import { Controller, Get, Injectable, Post, Scope, SetMetadata, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { Cron, CronExpression, Interval, ScheduleModule } from "@nestjs/schedule";
import { HealthCheck, HealthCheckService, TerminusModule } from "@nestjs/terminus";
import { memoryStore } from "elector-wasm";
import type { DeposedTerm, ElectedTerm, LeaderElectorModuleOptions } from "elector-wasm/nestjs";
import {
    LeaderElections, LeaderElectorModule, LeaderElectorService, LeaderGuard, LeaderHealthIndicator,
    LeaderOnly, NotRun, OnDeposed, OnElected, OncePerTick, isNotRun,
} from "elector-wasm/nestjs";
import "./cron.js";
import { Lines, endAll, freshSchema, long, newPool, short, start, until } from "./support.js";

const opened = new Set<INestApplication>();

interface Parts { providers?: Provider[]; controllers?: Type[]; features?: string[] }

async function open(options: LeaderElectorModuleOptions, parts: Parts = {}): Promise<INestApplication> {
    const { providers = [], controllers = [], features = [] } = parts;
    const imports = [
        ScheduleModule.forRoot(), TerminusModule.forRoot({ logger: false }),
        LeaderElectorModule.forRoot(options), LeaderElectorModule.forFeature(...features),
    ];
    const module = { module: class Application {}, imports, providers, controllers };
    const application = await NestFactory.create(module, { logger: false, abortOnError: false });
    opened.add(application);
    await application.listen(0, "127.0.0.1");
    return application;
}

async function ask(application: INestApplication, path: string, method = "GET") {
    const response = await fetch(`${await application.getUrl()}/${path}`, { method });
    return { status: response.status, body: await response.json().catch(() => undefined) as unknown };
}

/** Two applications on one store; the first one leads. */
async function two(parts: Parts, more: LeaderElectorModuleOptions = {}) {
    const options = { store: memoryStore(), ...long, ...more };
    const leader = await open({ ...options, instanceId: "a", meta: "http://a:3000" }, parts);
    const other = await open({ ...options, instanceId: "b", meta: "http://b:3000" }, parts);
    return [leader, other] as const;
}

@Injectable()
class Jobs {
    readonly ran: string[] = [];

    @Cron(CronExpression.EVERY_SECOND)
    @LeaderOnly()
    above(): void {
        this.ran.push("cron above");
    }

    @LeaderOnly()
    @Cron(CronExpression.EVERY_SECOND)
    async below(): Promise<void> {
        this.ran.push("cron below");
    }

    @LeaderOnly("reports")
    @Interval(200)
    interval(): void {
        this.ran.push("interval");
    }

    @LeaderOnly()
    async sum(a: number, b: number): Promise<number> {
        return a + b;
    }

    @LeaderOnly()
    @SetMetadata("mine", 1)
    plain(a: number): number {
        return a;
    }
}

@Controller()
class Routes {
    @Get("open")
    open(): { ok: true } {
        return { ok: true };
    }

    @Get("above")
    @LeaderOnly()
    above(): { ok: true } {
        return { ok: true };
    }

    @LeaderOnly()
    @Post("below")
    below(): { ok: true } {
        return { ok: true };
    }

    @Get("guarded")
    @UseGuards(LeaderGuard)
    guarded(): { ok: true } {
        return { ok: true };
    }

    @Get("reports")
    @UseGuards(LeaderGuard.for("reports"))
    reports(): { ok: true } {
        return { ok: true };
    }
}

@LeaderOnly("reports")
@Controller("all")
class AllRoutes {
    @Get()
    all(): { ok: true } {
        return { ok: true };
    }
}

describe("decorators", { concurrency: 4 }, () => {
    after(async () => {
        await Promise.all([...opened].map((application) => application.close()));
        await endAll();
    });

    test("a method under @LeaderOnly and @Cron or @Interval runs on the leader only", async () => {
        const [leader, other] = await two({ providers: [Jobs], features: ["reports"] });
        const [own, its] = [leader.get(Jobs), other.get(Jobs)];
        const kinds = (ran: string[]) => new Set(ran);
        await until(() => kinds(own.ran).size === 3, () => [...kinds(own.ran)].join());
        assert.deepEqual(its.ran, []);
        // The jobs move with the lease.
        await leader.get(LeaderElectorService).release();
        await leader.get(LeaderElections).get("reports").release();
        await until(() => other.get(LeaderElectorService).amILeader());
        const before = own.ran.filter((what) => what !== "interval").length;
        await until(() => kinds(its.ran).size === 3, () => [...kinds(its.ran)].join());
        assert.equal(own.ran.filter((what) => what !== "interval").length, before);
    });

    test("@LeaderOnly keeps a method's name, metadata, arguments, result and promise", async () => {
        const [leader, other] = await two({ providers: [Jobs], features: ["reports"] });
        const [own, its] = [leader.get(Jobs), other.get(Jobs)];
        assert.equal(own.plain.name, "plain");
        assert.equal(own.plain.length, 1);
        assert.equal(Reflect.getMetadata("mine", own.plain), 1);
        assert.equal(own.plain(3), 3);
        assert.equal(await own.sum(1, 2), 3);
        // On other nodes the result has the same form: direct, or a promise.
        const refused = [its.plain(3), await its.sum(1, 2).then((sum) => sum)] as unknown[];
        for (const refusal of refused) {
            assert.ok(refusal instanceof NotRun && isNotRun(refusal));
            assert.equal(refusal.election, "1");
            assert.deepEqual(refusal.leader, { candidate: "a", meta: "http://a:3000" });
        }
        assert.ok(![undefined, null, 3, {}].some(isNotRun));
    });

    test("routes on a node that does not lead answer 503 with the leader's meta", async () => {
        const [leader, other] = await two({ controllers: [Routes, AllRoutes], features: ["reports"] });
        const closed = (election: string) => ({
            statusCode: 503,
            error: "Service Unavailable",
            message: `this node does not lead the election "${election}"; the leader is "a"`,
            election,
            leader: { candidate: "a", meta: "http://a:3000" },
        });
        await until(() => other.get(LeaderElections).get("reports").leader());
        for (const [path, election, method] of [
            ["above", "1", "GET"], ["below", "1", "POST"], ["guarded", "1", "GET"],
            ["reports", "reports", "GET"], ["all", "reports", "GET"],
        ] as const) {
            const [yes, no] = [await ask(leader, path, method), await ask(other, path, method)];
            assert.deepEqual([yes.status < 300, yes.body], [true, { ok: true }], path);
            assert.deepEqual([no.status, no.body], [503, closed(election)], path);
        }
        assert.equal((await ask(other, "open")).status, 200);
    });

    test("@OnElected and @OnDeposed are called once for each term, with its token and a signal", async () => {
        @Injectable()
        class Listener {
            readonly elected: ElectedTerm[] = [];
            readonly deposed: DeposedTerm[] = [];
            @OnElected()
            start(term: ElectedTerm): void {
                this.elected.push(term);
            }
            @OnDeposed()
            stop(term: DeposedTerm): void {
                this.deposed.push(term);
                throw new Error("a fault of the listener");
            }
        }
        const logger = new Lines();
        const application = await open({ store: memoryStore(), ...long, logger }, { providers: [Listener] });
        const listener = application.get(Listener);
        await until(() => listener.elected.length === 1);
        const [first] = listener.elected;
        assert.equal(first!.token, application.get(LeaderElectorService).token);
        assert.equal(first!.signal.aborted, false);
        assert.ok(first!.workForMs > 0 && first!.workForMs < first!.trustedForMs);
        await application.get(LeaderElectorService).release();
        assert.ok(first!.signal.aborted);
        assert.deepEqual([first!.workForMs, first!.trustedForMs], [0, 0]);
        assert.deepEqual(listener.deposed, [{ election: "1", token: first!.token, reason: "released" }]);
        // Without this call the candidate campaigns after one lease.
        application.get(LeaderElectorService).elector.campaign();
        await until(() => listener.elected.length === 2);
        assert.deepEqual(logger.errors, ["Listener.stop threw: a fault of the listener"]);
        await application.close();
        assert.equal(listener.deposed.length, 2);
    });

    test("@OnElected is called in a new term after its signal was aborted at the soft deadline", async () => {
        const store = memoryStore();
        @Injectable()
        class Loop {
            readonly tokens: bigint[] = [];
            stopped = 0;
            running = 0;
            @OnElected()
            async run({ token, signal }: ElectedTerm): Promise<void> {
                this.tokens.push(token);
                this.running += 1;
                assert.equal(this.running, 1, "one at a time");
                // Aborted by the soft deadline, a second before the hard one.
                if (this.tokens.length === 1) store.failWith("unsent");
                await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
                store.failWith(undefined);
                this.stopped += 1;
                this.running -= 1;
            }
        }
        const logger = new Lines();
        const options = { store, leaseDuration: 10_000, logger };
        const application = await open(options, { providers: [Loop] });
        const loop = application.get(Loop);
        await until(() => loop.tokens.length >= 2);
        assert.equal(new Set(loop.tokens).size, loop.tokens.length, "once for each term");
        await application.close();
        assert.deepEqual([loop.stopped, loop.running], [loop.tokens.length, 0]);
        assert.deepEqual(logger.errors, []);
    });

    test("leadership$ emits when a late renewal lifts the soft deadline", async () => {
        const store = memoryStore();
        const application = await open({ store, leaseDuration: 10_000, logger: new Lines() });
        let fails = false, lifted = 0;
        const subscription = application.get(LeaderElectorService).leadership$.subscribe((now) => {
            const workForMs = now.leading ? now.workForMs : 0;
            if (fails && workForMs === 0) {
                // A second before the hard deadline. On a busy machine the term may end; then another one
                // begins.
                store.failWith(undefined);
                fails = false;
            } else if (!fails && workForMs > 0) {
                lifted += 1;
            }
        });
        await until(() => lifted === 1);
        fails = true;
        store.failWith("unsent");
        await until(() => lifted === 2);
        subscription.unsubscribe();
        await application.close();
    });

    test("a provider under several tokens is called once for each term", async () => {
        @Injectable()
        class Loop {
            readonly calls: string[] = [];
            @OnElected()
            start(): void {
                this.calls.push("elected");
            }
            @OnDeposed()
            stop(): void {
                this.calls.push("deposed");
            }
        }
        const alias = { provide: "LOOP", useExisting: Loop };
        const application = await open({ store: memoryStore(), ...long }, { providers: [Loop, alias] });
        const { calls } = application.get(Loop);
        await until(() => application.get(LeaderElectorService).amILeader() && calls.length > 0);
        await application.close();
        assert.deepEqual(calls, ["elected", "deposed"]);
    });

    test("a wrong use of a decorator is refused at the start", async () => {
        @Injectable()
        class Misspelt {
            @LeaderOnly("report")
            run(): void {}
        }
        @Injectable()
        class Unscheduled {
            @OncePerTick({ name: "unscheduled" })
            run(): void {}
        }
        @LeaderOnly()
        @Injectable()
        class NoController {}
        const scoped = [Scope.REQUEST, Scope.TRANSIENT].flatMap((scope) => {
            @Injectable({ scope })
            class Electing {
                @OnElected()
                run(): void {}
            }
            @Injectable({ scope })
            class Scheduled {
                @OncePerTick({ name: "scoped" })
                @Cron(CronExpression.EVERY_HOUR)
                run(): void {}
            }
            return [Electing, Scheduled];
        });
        const refused = (provider: Type) => open({ store: memoryStore() }, { providers: [provider] });
        const unknown = /no election "report", only "1"; import .*forFeature\('report'\)/;
        await assert.rejects(refused(Misspelt), unknown);
        await assert.rejects(refused(Unscheduled), /Unscheduled.run, which has no @Cron/);
        await assert.rejects(refused(NoController), /NoController, which is no controller/);
        const anew = /run cannot be called .* its class is instantiated for each/;
        for (const provider of scoped) await assert.rejects(refused(provider), anew);
    });

    test("in a process without an application a decorated method runs", async () => {
        // In its own process, which must have no running application.
        const app = start("plain.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "runs without Nest\n");
    });

    test("a plain object uses its process's application, and is refused after the shutdown", async () => {
        const app = start("beside.js");
        assert.equal(await app.ended, 0, app.output);
        assert.equal(app.printed, "plain objects go by the application\n");
    });

    test("in an application without forRoot() calls of decorated methods throw", async () => {
        // In its own process, in which no application may have an election.
        const app = start("unelected.js");
        assert.equal(await app.ended, 0, app.output);
        assert.match(app.printed, /nothing runs without an election/);
    });

    test("the health indicator is down while the store does not answer", async () => {
        @Controller()
        class Health {
            constructor(readonly health: HealthCheckService, readonly leader: LeaderHealthIndicator) {}
            @Get("health")
            @HealthCheck()
            async check() {
                return this.health.check([async () => this.leader.isHealthy("leader")]);
            }
        }
        const pool = newPool({ max: 1 });
        const place = { client: pool, schema: freshSchema(), ...short };
        const options = { ...place, logger: false as const, instanceId: "a" };
        const application = await open(options, { controllers: [Health] });
        let last: Awaited<ReturnType<typeof ask>> | undefined;
        const answers = async (status: number) => {
            last = await ask(application, "health");
            return last.status === status;
        };
        const about = () => JSON.stringify(last);
        const up = { status: "up", election: "1", leading: true, leader: "a" };
        const details = () => (last!.body as { details: object }).details;
        await until(async () => (await answers(200)) && isDeepStrictEqual(details(), { leader: up }), about);
        const taken = await pool.connect();
        await until(() => !application.get(LeaderElectorService).amILeader());
        await until(() => answers(503), about);
        const { leader } = (last!.body as { error: { leader: { status: string; message: string } } }).error;
        assert.equal(leader.status, "down");
        assert.match(leader.message, /no answer in time|unanswered/);
        taken.release();
        await until(() => answers(200), about);
        await application.close();
        await pool.end();
    });
});
