import type { DynamicModule, InjectionToken, Provider } from "@nestjs/common";
import { ConfigurableModuleBuilder, Module } from "@nestjs/common";
import { DiscoveryModule } from "@nestjs/core";
import type { LeaderElectorModuleOptions } from "./config.js";
import type { LeaderElectorFeature } from "./elections.js";
import { LeaderElections } from "./elections.js";
import { LeaderExplorer } from "./explorer.js";
import { LeaderGuard } from "./guard.js";
import { LeaderHealthIndicator } from "./health.js";
import { invalid } from "./invalid.js";
import { optional } from "./optional.js";
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
     * `client` or `store`. The module is global.
     */
    static override forRoot(options: LeaderElectorModuleOptions & Extras = {}): DynamicModule {
        const { dataSource, isGlobal = true, ...own } = options;
        return this.forRootAsync({ dataSource, isGlobal, useFactory: () => own });
    }

    /** Stands for more elections, on the same store. Services are injected with `@InjectElector('name')`. */
    static forFeature(...features: (string | LeaderElectorFeature)[]): DynamicModule {
        const providers = features.map((given) => {
            const feature = typeof given === "string" ? { election: given } : given;
            return {
                provide: getElectorToken(feature.election),
                inject: [LeaderElections],
                useFactory: (elections: LeaderElections) => elections.open(feature),
            };
        });
        return { module: LeaderElectorFeatures, providers, exports: providers.map(({ provide }) => provide) };
    }
}

/** What `forFeature` makes. */
@Module({})
class LeaderElectorFeatures {}

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
    const dataSource = dataSourceToken(name);
    return {
        provide: LeaderElections,
        inject: [MODULE_OPTIONS_TOKEN, ...(dataSource ? [{ token: dataSource, optional: true }] : [])],
        useFactory: (options: LeaderElectorModuleOptions, found?: DataSourceLike) => {
            const source = options.store ?? options.client ?? found;
            if (source) return new LeaderElections(storeOf(source, options), options);
            const whose = name === undefined ? "no TypeORM DataSource" : `no TypeORM DataSource '${name}'`;
            return invalid(`LeaderElectorModule has nowhere to keep leases: there is ${whose} in this ` +
                "application; import TypeOrmModule.forRoot(), or give a `client` such as a Pool of pg, " +
                "or a `store`");
        },
    };
}

interface NestTypeOrm { getDataSourceToken(name?: string): InjectionToken }

/** What `TypeOrmModule` provides its `DataSource` under, if it is installed. */
function dataSourceToken(name: string | undefined): InjectionToken | undefined {
    return optional<NestTypeOrm>("@nestjs/typeorm")?.getDataSourceToken(name);
}
