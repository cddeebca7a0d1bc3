import type { OnModuleInit } from "@nestjs/common";
import { Inject, Injectable } from "@nestjs/common";
import { DiscoveryService, MetadataScanner } from "@nestjs/core";
import "reflect-metadata";
import type { Change } from "../changes.js";
import { ElectorError, oneLine } from "../errors.js";
import { termOf } from "../run.js";
import type { DeposedTerm, ElectedTerm } from "./decorators.js";
import { LeaderElections } from "./elections.js";
import { invalid } from "./invalid.js";
import type { Decorated, Ticking } from "./metadata.js";
import { ELECTION, ON_DEPOSED, ON_ELECTED, ONCE_PER_TICK } from "./metadata.js";
import type { Host } from "./host.js";
import { electionsIn } from "./host.js";
import { cronOf } from "./once-per-tick.js";
import { own } from "./owners.js";
import type { LeaderElectorService } from "./service.js";
import type { Schedulers } from "./ticks.js";
import { mark } from "./ticks.js";
import type { Method } from "./wrapping.js";
import { fullName } from "./wrapping.js";

type Wrapper = ReturnType<DiscoveryService["getProviders"]>[number];

/**
 * The methods by which the `SchedulerRegistry` of `@nestjs/schedule` is found, also where a minifier has
 * renamed the class.
 */
const OF_SCHEDULERS = ["addCronJob", "getCronJobs", "addInterval", "addTimeout"];

/** A method under `@OncePerTick()`. */
interface Job { readonly metatype: unknown; readonly key: string; readonly method: string }

/** Finds the decorated methods of the application, and does what their decorators say. */
@Injectable()
export class LeaderExplorer implements OnModuleInit {
    /** Objects that have been explored: an alias of a provider is the same object. */
    readonly #explored = new WeakSet<object>();
    /** The method of each job, by store, and by election and name. */
    readonly #jobs = new Map<object, Map<string, Job>>();
    /** The elections that each module uses. */
    readonly #hosts = new Map<Host, LeaderElections>();

    constructor(
        @Inject(DiscoveryService) private readonly discovery: DiscoveryService,
        @Inject(MetadataScanner) private readonly scanner: MetadataScanner,
        @Inject(LeaderElections) private readonly elections: LeaderElections,
    ) {}

    /** Runs before any campaign, so that no event is missed. */
    async onModuleInit(): Promise<void> {
        const { application } = this.elections;
        if (!application.isNew()) return;
        const providers = this.discovery.getProviders();
        const controllers = this.discovery.getControllers();
        application.ticks.schedulers = schedulersOf(providers);
        const classes = new Set<unknown>(controllers.map(({ metatype }) => metatype));
        for (const wrapper of [...providers, ...controllers]) {
            await this.#explore(wrapper);
            if (isDecorated(wrapper.metatype) && !classes.has(wrapper.metatype)) {
                invalid(`@LeaderOnly() is on the class ${String(wrapper.name)}, which is no controller; ` +
                    "put it on the methods that only the leader may run");
            }
        }
    }

    async #explore(wrapper: Wrapper): Promise<void> {
        const instance: unknown = wrapper.instance;
        if (typeof instance !== "object" || instance === null || this.#explored.has(instance)) return;
        this.#explored.add(instance);
        const prototype = Object.getPrototypeOf(instance) as object | null;
        if (!prototype || prototype === Object.prototype) return;
        for (const key of this.scanner.getAllMethodNames(prototype)) {
            const method = (instance as Record<string, unknown>)[key];
            if (typeof method === "function") await this.#apply(wrapper, instance, key, method as Method);
        }
    }

    async #apply(wrapper: Wrapper, instance: object, key: string, method: Method): Promise<void> {
        const said = (about: string) => Reflect.getMetadata(about, method) as Decorated | undefined;
        const elected = said(ON_ELECTED);
        const deposed = said(ON_DEPOSED);
        const ticking = said(ONCE_PER_TICK) as Ticking | undefined;
        const all = [elected, deposed, ticking, said(ELECTION)].filter((one) => one !== undefined);
        if (all.length === 0) return;
        const name = fullName(instance, key);
        const elections = await this.#electionsOf(wrapper);
        own(instance, elections);
        // Throws for a misspelt election at the start, not at the first call.
        for (const { election } of all) elections.get(election);
        const isScoped = wrapper.isTransient || !wrapper.isDependencyTreeStatic();
        if ((elected ?? deposed ?? ticking) && isScoped) {
            invalid(`${name} cannot be called at elections or ticks: its class is instantiated for each ` +
                "request or consumer; use a provider of the default scope");
        }
        if (ticking) {
            this.#register(elections.get(ticking.election), ticking, method, {
                metatype: instance.constructor, key, method: name,
            });
        }
        const called = (service: LeaderElectorService) => async (term: ElectedTerm | DeposedTerm) => {
            try {
                await service.jobs.track(name, method.call(instance, term));
            } catch (error) {
                service.logger?.error(`${name} threw: ${oneLine(error)}`);
            }
        };
        if (elected) onElected(elections.get(elected.election), called);
        if (deposed) onDeposed(elections.get(deposed.election), called);
    }

    /** The elections of the module that provides a class. */
    async #electionsOf({ host }: Wrapper): Promise<LeaderElections> {
        if (!host) return this.elections;
        const found = this.#hosts.get(host) ?? (await electionsIn(host)) ?? this.elections;
        this.#hosts.set(host, found);
        return found;
    }

    /**
     * Registers a job. Two methods under one job name are refused: each tick would run one of them and
     * silently skip the other.
     */
    #register(service: LeaderElectorService, { name }: Ticking, method: Method, own: Job): void {
        const cron = cronOf(method);
        if (!cron) {
            return invalid(`@OncePerTick() is on ${own.method}, which has no @Cron; nodes agree on the ` +
                "ticks of a schedule, so add @Cron");
        }
        mark(cron);
        const jobs = this.#jobs.get(service.store) ?? new Map<string, Job>();
        this.#jobs.set(service.store, jobs);
        const place = JSON.stringify([service.elector.election, name]);
        const known = jobs.get(place);
        jobs.set(place, own);
        if (!known) return this.elections.application.ticks.expect({ name, method: own.method, service });
        if (known.metatype === own.metatype && known.key === own.key) {
            service.logger?.warn(`@OncePerTick() on ${own.method}: its class has several instances, as ` +
                "when several modules provide it; each tick runs on one of them");
            return;
        }
        invalid(`@OncePerTick() on ${own.method}: ${known.method} is also the job ${JSON.stringify(name)}, ` +
            "and each tick would run only one of the two; give each a different `name`");
    }
}

function schedulersOf(providers: readonly Wrapper[]): Schedulers | undefined {
    const isIt = ({ metatype }: Wrapper) => typeof metatype === "function" &&
        OF_SCHEDULERS.every((method) => Object.hasOwn((metatype.prototype ?? {}) as object, method));
    return providers.find(isIt)?.instance as Schedulers | undefined;
}

/** Calls the decorated method. Its exceptions are only logged. */
type Called = (service: LeaderElectorService) => (term: ElectedTerm | DeposedTerm) => Promise<void>;

function onElected(service: LeaderElectorService, called: Called): void {
    const { elector } = service;
    const { election } = elector;
    const call = called(service);
    elector.on("elected", ({ token }) => {
        const controller = new AbortController();
        const over = (change: Change): void => {
            if (!("token" in change) || change.token !== token) return;
            const text = `election ${JSON.stringify(election)}: the term ${token} has ended or soon will`;
            for (const off of offs) off();
            // Without a restart, a late renewal would keep this node leader although its work has stopped.
            if (change.event === "stopNewWork") service.restart();
            controller.abort(new ElectorError("NOT_LEADER", text));
        };
        const offs = [elector.on("stopNewWork", over), elector.on("deposed", over)];
        void call(Object.assign(termOf(elector, token, controller.signal), { election }));
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
