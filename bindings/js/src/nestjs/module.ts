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

/** Options that Nest needs before the others are available. */
interface Extras {
    /** The name of TypeORM's `DataSource`. Default: the unnamed one. A wrong name is refused at the start. */
    readonly dataSource?: string | undefined;
    /** Whether all modules see the elections without importing this module. Default: true. */
    readonly isGlobal?: boolean | undefined;
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
    // Transient: otherwise Nest merges two modules whose options look equal as text.
    new ConfigurableModuleBuilder<LeaderElectorModuleOptions>({ alwaysTransient: true })
        .setClassMethodName("forRoot")
        .setFactoryMethodName("createLeaderElectorOptions")
        .setExtras<Extras>({ dataSource: undefined, isGlobal: true }, complete)
        .build();

/** The module of an application's elections. */
@Module({})
export class LeaderElectorModule extends ConfigurableModuleClass {
    /**
     * Campaigns for one election, that of `lockId` or `election`, and says where leases are kept: in
     * TypeORM's `DataSource`, or in a `client` or `store`. The module is global by default. Several modules
     * may import it: with equal settings they share one candidate, and with another election each has its
     * own. Different settings for the same election are refused.
     */
    static override forRoot(options: LeaderElectorModuleOptions & Extras = {}): DynamicModule {
        const { dataSource, isGlobal = true, ...own } = options;
        return this.forRootAsync({ dataSource, isGlobal, useFactory: () => own });
    }

    /**
     * Campaigns for more elections, on the store of `forRoot()`. Inject their services with
     * `@InjectElector('name')`.
     */
    static forFeature(...features: (string | LeaderElectorFeature)[]): DynamicModule {
        // By this symbol the factory finds the module that imports this one, and Nest distinguishes this
        // module from others.
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

/** The module that `forFeature()` returns. */
@Module({})
class LeaderElectorFeatures {}

/** The elections of the module that imports a `forFeature()`. */
async function rootOf(modules: ModulesContainer, feature: symbol): Promise<LeaderElections> {
    const importer = importerOf(modules, feature);
    const found = importer && (await electionsIn(importer));
    return found ?? invalid("LeaderElectorModule.forFeature() found no LeaderElectorModule.forRoot(); " +
        "import one in the same module, or a global one in the application");
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
            const named = name === undefined ? "" : ` '${name}'`;
            return invalid(`LeaderElectorModule cannot keep leases: there is no TypeORM DataSource${named} ` +
                "in this application; import TypeOrmModule.forRoot(), or give a `client` such as a Pool " +
                "of pg, or a `store`");
        },
    };
}

function optionally(token: InjectionToken | undefined) {
    return token ? [{ token, optional: true }] : [];
}

interface NestTypeOrm { getDataSourceToken(name?: string): InjectionToken }

/** The injection token of TypeORM's `DataSource`, if `@nestjs/typeorm` is installed. */
function dataSourceToken(name: string | undefined): InjectionToken | undefined {
    return nestTypeOrm<NestTypeOrm>()?.getDataSourceToken(name);
}
