import type { BeforeApplicationShutdown, OnApplicationBootstrap } from "@nestjs/common";
import type { Store } from "../store.js";
import type { LeaderElectorConfig, LeaderElectorModuleOptions } from "./config.js";
import { electionOf } from "./config.js";
import { invalid } from "./invalid.js";
import { LeaderElectorService } from "./service.js";
import { Ticks } from "./ticks.js";

/** An election of `forFeature`: its name, and what is to be different from `forRoot`. */
export interface LeaderElectorFeature
    extends Omit<LeaderElectorConfig, "election" | "lockId" | "schema" | "createTableOnInit"> {
    readonly election: string;
}

/** Applications of this process that stand for an election. */
const running = new Set<LeaderElections>();
/** The one that was made last, unless it is closed. It may not have started yet, and never start. */
let newest: LeaderElections | undefined;
/** Whose application an object belongs to. */
const owners = new WeakMap<object, LeaderElections>();

/** All elections of one application, by name. */
export class LeaderElections implements OnApplicationBootstrap, BeforeApplicationShutdown {
    /** The one of `forRoot()`. */
    readonly root: LeaderElectorService;
    /** @internal */ readonly ticks: Ticks;
    readonly #services = new Map<string, LeaderElectorService>();
    #isOver = false;

    constructor(readonly store: Store, readonly options: LeaderElectorModuleOptions) {
        this.root = new LeaderElectorService(store, options);
        this.#services.set(electionOf(options), this.root);
        this.ticks = new Ticks(store, this.root.elector.candidate);
        newest = this;
    }

    /** The service of an election; without a name: that of `forRoot()`. */
    get(election?: string): LeaderElectorService {
        if (election === undefined) return this.root;
        const service = this.#services.get(election);
        if (service) return service;
        const known = [...this.#services.keys()].map((name) => JSON.stringify(name)).join(", ");
        return invalid(`this application has no election ${JSON.stringify(election)}, but ${known}; import ` +
            `LeaderElectorModule.forFeature('${election}')`);
    }

    /** @internal The service of an election of `forFeature()`, however many modules ask for it. */
    open(feature: LeaderElectorFeature): LeaderElectorService {
        const made = this.#services.get(feature.election);
        if (made) return made;
        const service = new LeaderElectorService(this.store, { ...this.options, ...feature });
        this.#services.set(feature.election, service);
        return service;
    }

    /** @internal Remembers whose application an object with decorated methods belongs to. */
    own(instance: object): void {
        owners.set(instance, this);
    }

    /** For Nest: stands everywhere. An application that cannot start must not go on leading. */
    async onApplicationBootstrap(): Promise<void> {
        // Nest may close an application while it starts.
        if (this.#isOver) return;
        running.add(this);
        try {
            await Promise.all([...this.#services.values()].map((service) => service.stand()));
        } catch (error) {
            await this.beforeApplicationShutdown();
            throw error;
        }
    }

    /** For Nest: before the database's module closes its connections. */
    async beforeApplicationShutdown(): Promise<void> {
        this.#isOver = true;
        running.delete(this);
        if (newest === this) newest = undefined;
        this.ticks.end();
        await Promise.all([...this.#services.values()].map((service) => service.shutdown()));
    }
}

/** The elections of the application that an object belongs to. */
export function electionsOf(instance: object, decorator: string, method: string): LeaderElections {
    const owner = owners.get(instance);
    if (owner) return owner;
    // Objects made for each request are not known one by one. Those that were made before the newest and do
    // not run were given up, as by a test that closes nothing, and count no more.
    const all = new Set(newest ? [...running, newest] : running);
    const [only] = all;
    if (only && all.size === 1) return only;
    const found = all.size === 0 ? "no application" : `${all.size} applications`;
    return invalid(`@${decorator}() on ${method}: ${found} of this process with an election that it could ` +
        "belong to; import LeaderElectorModule.forRoot()");
}
