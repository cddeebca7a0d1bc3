/// <reference lib="esnext.disposable" preserve="true" />
export { LeaderElectorCore } from "./core.js";
export { LeaderElectorModule } from "./module.js";
export { InjectElector, LeaderElectorService, getElectorToken } from "./service.js";
export { LeaderElections } from "./elections.js";
export type { LeaderElectorFeature } from "./elections.js";
export type {
    LeaderElectorConfig, LeaderElectorModuleOptions, LeaderElectorOptionsFactory, LeaderLogger,
} from "./config.js";
export type { DataSourceLike, LeaseSource, RepositoryLike } from "./source.js";
export { LeaderOnly, OnDeposed, OnElected } from "./decorators.js";
export type { DeposedTerm, ElectedTerm } from "./decorators.js";
export { OncePerTick } from "./once-per-tick.js";
export type { Ticking as OncePerTickOptions } from "./metadata.js";
export { NotRun, isNotRun } from "./refusal.js";
export { LeaderGuard } from "./guard.js";
export { LeaderHealthIndicator } from "./health.js";
export type { LeaderHealth } from "./health.js";
export { LeaderLease, createLeaderLeaseEntity, createLeaderLeaseTable } from "./lease-entity.js";
export { LeaderElectionMigrationBase } from "./migration.js";
export type { QueryRunnerLike } from "./migration.js";
