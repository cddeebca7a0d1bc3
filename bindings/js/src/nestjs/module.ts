import { randomUUID } from "node:crypto";
import type { DynamicModule, InjectionToken, Provider } from "@nestjs/common";
import { ConfigurableModuleBuilder, Module } from "@nestjs/common";
import { DiscoveryModule, ModulesContainer } from "@nestjs/core";
import { Application } from "./application.js";
import type { LeaderElectorModuleOptions } from "./config.js";
import type { LeaderElectorFeature } from "./elections.js";
import { LeaderElections } from "./elections.js";
import { LeaderExplorer } from "./explorer.js";
import { LeaderGuard } from "./guard.js";
import { LeaderHealthIndicator } from "./health.js";
import { electionsIn, importerOf, keepNearest } from "./host.js";
import { invalid } from "./invalid.js";
import { nestTypeOrm } from "./optional.js";
import { LeaderElectorService, getElectorToken } from "./service.js";
import type { DataSourceLike } from "./source.js";
import { storeOf } from "./source.js";

/** What must be known before the options are. */
interface Extras {
    /** The name of TypeORM's `DataSource`, if it has one. */
    readonly dataSource?: string | undefined;
    /** Default: true. */
    readonly isGlobal?: boolean | undefined;
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
    // Transient: modules must not be told apart by what their options look like as a text.
    new ConfigurableModuleBuilder<LeaderElectorModuleOptions>({ alwaysTransient: true })
        .setClassMethodName("forRoot")
        .setFactoryMethodName("createLeaderElectorOptions")
        .setExtras<Extras>({ dataSource: undefined, isGlobal: true }, complete)
        .build();

/** The elections of an application. */
@Module({})
export class LeaderElectorModule extends ConfigurableModuleClass {
    /**
     * Stands for one election, `lockId`, and says where leases are kept: on TypeORM's `DataSource`, or on a
     * `client` or `store`. The module is global. Several modules may import it: with equal settings they
     * share one candidate; with another election each has its own; other settings for one election are
     * refused.
     */
    static override forRoot(options: LeaderElectorModuleOptions & Extras = {}): DynamicModule {
        const { dataSource, isGlobal = true, ...own } = options;
        return this.forRootAsync({ dataSource, isGlobal, useFactory: () => own });
    }

    /** Stands for more elections, on the same store. Services are injected with `@InjectElector('name')`. */
    static forFeature(...features: (string | LeaderElectorFeature)[]): DynamicModule {
        // By which this module finds itself, and Nest tells it from another.
        const self = Symbol("forFeature");
        const providers = features.map((given) => {
            const feature = typeof given === "string" ? { election: given } : given;
            return {
                provide: getElectorToken(feature.election),
                inject: [ModulesContainer],
                useFactory: async (modules: ModulesContainer) => (await rootOf(modules, self)).open(feature),
            };
        });
        const exports = providers.map(({ provide }) => provide);
        const own = { provide: self, useValue: randomUUID() };
        return { module: LeaderElectorFeatures, providers: [own, ...providers], exports };
    }
}

/** What `forFeature` makes. */
@Module({})
class LeaderElectorFeatures {}

/** What the module sees that imports a `forFeature()`. */
async function rootOf(modules: ModulesContainer, feature: symbol): Promise<LeaderElections> {
    const importer = importerOf(modules, feature);
    const found = importer && (await electionsIn(importer));
    return found ?? invalid("LeaderElectorModule.forFeature() needs a LeaderElectorModule.forRoot(), and " +
        "there is none in this application that is global or that the same module imports");
}

function complete(definition: DynamicModule, extras: Extras): DynamicModule {
    const providers: Provider[] = [
        elections(extras.dataSource),
        {
            provide: LeaderElectorService,
            inject: [LeaderElections],
            useFactory: (all: LeaderElections) => all.root,
        },
        LeaderGuard,
        LeaderHealthIndicator,
        LeaderExplorer,
    ];
    return {
        ...definition,
        global: extras.isGlobal ?? true,
        imports: [...(definition.imports ?? []), DiscoveryModule],
        providers: [...(definition.providers ?? []), ...providers],
        exports: [LeaderElections, LeaderElectorService, LeaderGuard, LeaderHealthIndicator],
    };
}

function elections(name: string | undefined): Provider {
    return {
        provide: LeaderElections,
        inject: [ModulesContainer, MODULE_OPTIONS_TOKEN, ...optionally(dataSourceToken(name))],
        useFactory: (
            modules: ModulesContainer,
            options: LeaderElectorModuleOptions,
            data?: DataSourceLike,
        ) => {
            keepNearest(modules);
            const source = options.store ?? options.client ?? data;
            if (source) return LeaderElections.of(Application.of(modules), storeOf(source, options), options);
            const whose = name === undefined ? "no TypeORM DataSource" : `no TypeORM DataSource '${name}'`;
            return invalid(`LeaderElectorModule has nowhere to keep leases: there is ${whose} in this ` +
                "application; import TypeOrmModule.forRoot(), or give a `client` such as a Pool of pg, " +
                "or a `store`");
        },
    };
}

function optionally(token: InjectionToken | undefined) {
    return token ? [{ token, optional: true }] : [];
}

interface NestTypeOrm { getDataSourceToken(name?: string): InjectionToken }

/** What `TypeOrmModule` provides its `DataSource` under, if it is installed. */
function dataSourceToken(name: string | undefined): InjectionToken | undefined {
    return nestTypeOrm<NestTypeOrm>()?.getDataSourceToken(name);
}
