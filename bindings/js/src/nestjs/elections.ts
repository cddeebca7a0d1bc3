import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from "@nestjs/common";
import type { Store } from "../store.js";
import type { Application } from "./application.js";
import type { LeaderElectorConfig, LeaderElectorModuleOptions } from "./config.js";
import { invalid } from "./invalid.js";
import type { LeaderElectorService } from "./service.js";

/** An election of `forFeature()`: its name, and the settings that differ from those of `forRoot()`. */
export interface LeaderElectorFeature
    extends Omit<LeaderElectorConfig, "election" | "lockId" | "schema" | "createTableOnInit"> {
    readonly election: string;
}

/**
 * The elections of each `forRoot()` with an election and store of its own, in the order in which Nest made
 * them.
 */
const roots = new WeakMap<Application, LeaderElections[]>();

/** The elections of an application, by name, as seen by the modules that import this `forRoot()`. */
export class LeaderElections implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
    /** The service of the election of `forRoot()`. */
    readonly root: LeaderElectorService;

    constructor(
        /** @internal */ readonly application: Application,
        readonly store: Store,
        readonly options: LeaderElectorModuleOptions,
    ) {
        this.root = application.open(store, options, "forRoot()");
    }

    /** @internal The elections of a `forRoot()`; two equal `forRoot()` calls share one object. */
    static of(
        application: Application,
        store: Store,
        options: LeaderElectorModuleOptions,
    ): LeaderElections {
        const made = new LeaderElections(application, store, options);
        const all = LeaderElections.rootsOf(application);
        const known = all.find(({ root }) => root === made.root);
        if (known) return known;
        roots.set(application, [...all, made]);
        return made;
    }

    /** @internal The elections of each `forRoot()` of an application. */
    static rootsOf(application: Application): readonly LeaderElections[] {
        return roots.get(application) ?? [];
    }

    /** The service of an election; without a name: that of `forRoot()`. */
    get(election?: string): LeaderElectorService {
        if (election === undefined) return this.root;
        const service = this.application.find(election, this.store);
        if (service) return service;
        const known = this.application.elections.map((name) => JSON.stringify(name)).join(", ");
        return invalid(`this application has no election ${JSON.stringify(election)}, only ${known}; ` +
            `import LeaderElectorModule.forFeature('${election}')`);
    }

    /** @internal The service of an election of `forFeature()`, shared by all modules that import it. */
    open(feature: LeaderElectorFeature): LeaderElectorService {
        const by = `forFeature('${feature.election}')`;
        return this.application.open(this.store, { ...this.options, ...feature }, by);
    }

    /** For Nest: starts all campaigns. */
    onApplicationBootstrap(): Promise<void> {
        return this.application.campaign();
    }

    /** For Nest, when the application begins to close: starts no more jobs. */
    onModuleDestroy(): void {
        this.application.drain();
    }

    /** For Nest: waits for jobs and releases, before the database's module closes its connections. */
    beforeApplicationShutdown(): Promise<void> {
        return this.application.close();
    }
}
