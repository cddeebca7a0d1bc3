import type { OnModuleInit } from "@nestjs/common";
import { Inject, Injectable } from "@nestjs/common";
import { DiscoveryService, MetadataScanner } from "@nestjs/core";
import "reflect-metadata";
import type { Change } from "../changes.js";
import { ElectorError, oneLine } from "../errors.js";
import type { DeposedTerm, ElectedTerm } from "./decorators.js";
import { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import type { Decorated, Ticking } from "./metadata.js";
import { ELECTION, ON_DEPOSED, ON_ELECTED, ONCE_PER_TICK } from "./metadata.js";
import { CRON_OPTIONS, jobOf } from "./once-per-tick.js";
import type { LeaderElectorService } from "./service.js";
import type { Schedulers } from "./ticks.js";
import type { Method } from "./wrapping.js";
import { fullName } from "./wrapping.js";

type Wrapper = ReturnType<DiscoveryService["getProviders"]>[number];

/** Finds the decorated methods of the application, and does what the decorators say. */
@Injectable()
export class LeaderExplorer implements OnModuleInit {
    /** What is known already: an alias of a provider is the same object once more. */
    readonly #explored = new WeakSet<object>();
    /** Whose each job is, by its election and name. */
    readonly #jobs = new Map<string, { readonly metatype: unknown; readonly name: string }>();

    constructor(
        @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
        @Inject(MetadataScanner) private readonly scanner: MetadataScanner,
        @Inject(LeaderElections) private readonly elections: LeaderElections,
    ) {}

    /** Before anybody stands, so that no event is missed. */
    onModuleInit(): void {
        const providers = this.discovery.getProviders();
        const controllers = this.discovery.getControllers();
        const schedulers = providers.find(({ name }) => name === "SchedulerRegistry");
        this.elections.ticks.schedulers = schedulers?.instance as Schedulers | undefined;
        const classes = new Set<unknown>(controllers.map(({ metatype }) => metatype));
        for (const wrapper of [...providers, ...controllers]) {
            this.#explore(wrapper);
            if (isDecorated(wrapper.metatype) && !classes.has(wrapper.metatype)) {
                invalid(`@LeaderOnly() stands on ${String(wrapper.name)}, which is no controller; put it ` +
                    "on the methods that only the leader may run");
            }
        }
    }

    #explore(wrapper: Wrapper): void {
        const instance: unknown = wrapper.instance;
        if (typeof instance !== "object" || instance === null || this.#explored.has(instance)) return;
        this.#explored.add(instance);
        const prototype = Object.getPrototypeOf(instance) as object | null;
        if (!prototype || prototype === Object.prototype) return;
        for (const key of this.scanner.getAllMethodNames(prototype)) {
            const method = (instance as Record<string, unknown>)[key];
            if (typeof method === "function") this.#obey(wrapper, instance, key, method as Method);
        }
    }

    #obey(wrapper: Wrapper, instance: object, key: string, method: Method): void {
        const said = (about: string) => Reflect.getMetadata(about, method) as Decorated | undefined;
        const elected = said(ON_ELECTED);
        const deposed = said(ON_DEPOSED);
        const ticking = said(ONCE_PER_TICK) as Ticking | undefined;
        const all = [elected, deposed, ticking, said(ELECTION)].filter((one) => one !== undefined);
        if (all.length === 0) return;
        const name = fullName(instance, key);
        this.elections.own(instance);
        // A misspelt election is told at the start, not at the first call.
        for (const { election } of all) this.elections.get(election);
        if (ticking && Reflect.getMetadata(CRON_OPTIONS, method) === undefined) {
            invalid(`@OncePerTick() stands on ${name}, which has no @Cron; nodes can only agree on the ` +
                "ticks of one schedule, so give it one");
        }
        if (ticking) this.#register(ticking, instance, key);
        if ((elected ?? deposed) && !wrapper.isDependencyTreeStatic()) {
            invalid(`${name} is to be called at elections, but its class is made for each request; use a ` +
                "provider of the default scope");
        }
        const called = (service: LeaderElectorService) => async (term: ElectedTerm | DeposedTerm) => {
            try {
                await method.call(instance, term);
            } catch (error) {
                service.logger?.error(`${name} threw: ${oneLine(error)}`);
            }
        };
        if (elected) onElected(this.elections.get(elected.election), called);
        if (deposed) onDeposed(this.elections.get(deposed.election), called);
    }

    /** Of two methods that are one job, each tick would run one and silently leave out the other. */
    #register(ticking: Ticking, instance: object, key: string): void {
        const service = this.elections.get(ticking.election);
        const job = jobOf(ticking, instance, key);
        const own = { metatype: instance.constructor, name: fullName(instance, key) };
        const place = JSON.stringify([service.elector.election, job]);
        const known = this.#jobs.get(place);
        this.#jobs.set(place, own);
        if (!known) return;
        if (known.metatype === own.metatype && known.name === own.name) {
            service.logger?.warn(`@OncePerTick() on ${own.name}: there are several instances of its class, ` +
                "as when several modules provide it; each tick runs on one of them");
            return;
        }
        invalid(`@OncePerTick() on ${own.name}: ${known.name} is the job ${JSON.stringify(job)} too, and ` +
            "each tick runs one of them; give one of them another `name`");
    }
}

/** What it throws is nobody's but the log's. */
type Called = (service: LeaderElectorService) => (term: ElectedTerm | DeposedTerm) => Promise<void>;

function onElected(service: LeaderElectorService, called: Called): void {
    const { elector } = service;
    const { election } = elector;
    const call = called(service);
    elector.on("elected", ({ token }) => {
        const controller = new AbortController();
        const over = (change: Change): void => {
            if (!("token" in change) || change.token !== token) return;
            const text = `election ${JSON.stringify(election)}: the term ${token} is over, or about to be`;
            controller.abort(new ElectorError("NOT_LEADER", text));
            for (const off of offs) off();
        };
        const offs = [elector.on("stopNewWork", over), elector.on("deposed", over)];
        void call({ election, token, signal: controller.signal });
    });
}

function onDeposed(service: LeaderElectorService, called: Called): void {
    const { elector } = service;
    const call = called(service);
    elector.on("deposed", ({ token, reason }) => {
        void call({ election: elector.election, token, reason });
    });
}

function isDecorated(metatype: unknown): boolean {
    return typeof metatype === "function" && Reflect.hasOwnMetadata(ELECTION, metatype);
}
