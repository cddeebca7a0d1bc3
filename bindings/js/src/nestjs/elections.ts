import type { BeforeApplicationShutdown, OnApplicationBootstrap, OnModuleDestroy } from "@nestjs/common";
import type { Store } from "../store.js";
import type { Application } from "./application.js";
import type { LeaderElectorConfig, LeaderElectorModuleOptions } from "./config.js";
import { invalid } from "./invalid.js";
import type { LeaderElectorService } from "./service.js";

/** An election of `forFeature`: its name, and what is to be different from `forRoot`. */
export interface LeaderElectorFeature
    extends Omit<LeaderElectorConfig, "election" | "lockId" | "schema" | "createTableOnInit"> {
    readonly election: string;
}

/** Of each `forRoot()` for an election and store of its own, in the order in which Nest made them. */
const roots = new WeakMap<Application, LeaderElections[]>();

/** The elections of an application, by name, as the modules see them that import this `forRoot()`. */
export class LeaderElections implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown {
    /** The one of `forRoot()`. */
    readonly root: LeaderElectorService;

    constructor(
        /** @internal */ readonly application: Application,
        readonly store: Store,
        readonly options: LeaderElectorModuleOptions,
    ) {
        this.root = application.open(store, options, "forRoot()");
    }

    /** @internal Those of a `forRoot()`: the same ones if another module has imported an equal one. */
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

    /** @internal Those of each `forRoot()` of an application. */
    static rootsOf(application: Application): readonly LeaderElections[] {
        return roots.get(application) ?? [];
    }

    /** The service of an election; without a name: that of `forRoot()`. */
    get(election?: string): LeaderElectorService {
        if (election === undefined) return this.root;
        const service = this.application.find(election, this.store);
        if (service) return service;
        const known = this.application.elections.map((name) => JSON.stringify(name)).join(", ");
        return invalid(`this application has no election ${JSON.stringify(election)}, but ${known}; import ` +
            `LeaderElectorModule.forFeature('${election}')`);
    }

    /** @internal The service of an election of `forFeature()`, however many modules ask for it. */
    open(feature: LeaderElectorFeature): LeaderElectorService {
        const by = `forFeature('${feature.election}')`;
        return this.application.open(this.store, { ...this.options, ...feature }, by);
    }

    /** For Nest: stands everywhere. */
    onApplicationBootstrap(): Promise<void> {
        return this.application.stand();
    }

    /** For Nest, which closes: no job is started from now on. */
    onModuleDestroy(): void {
        this.application.drain();
    }

    /** For Nest: before the database's module closes its connections. */
    beforeApplicationShutdown(): Promise<void> {
        return this.application.close();
    }
}
