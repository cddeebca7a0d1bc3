import type { ModulesContainer } from "@nestjs/core";
import { ModuleRef } from "@nestjs/core";
import { Inject, Optional } from "@nestjs/common";
import { LeaderElections } from "./elections.js";

/** A module of Nest. */
export type Host = ModulesContainer extends Map<string, infer M> ? M : never;

/** A class for which Nest injects the elections of a module. */
class Injected {
    constructor(@Optional() @Inject(LeaderElections) readonly elections?: LeaderElections) {}
}

/**
 * The elections that Nest injects in a module: those of the `forRoot()` that the module imports, or else of
 * the first global one. Waits until they are made.
 */
export async function electionsIn(host: Host): Promise<LeaderElections | undefined> {
    const moduleRef = host.providers.get(ModuleRef)?.instance as ModuleRef | undefined;
    return (await moduleRef?.create(Injected))?.elections;
}

/**
 * Keeps only the first `forRoot()` that each module imports: the module's own import comes before global
 * ones. Nest 10 and earlier versions of Nest 11 would inject the `forRoot()` that was made last.
 */
export function keepNearest(container: ModulesContainer): void {
    for (const { imports } of container.values()) {
        const [, ...farther] = [...imports].filter(({ providers }) => providers.has(LeaderElections));
        for (const root of farther) imports.delete(root);
    }
}

/** The module that imports the module with a provider of this token. */
export function importerOf(container: ModulesContainer, token: symbol): Host | undefined {
    const modules = [...container.values()];
    const own = modules.find(({ providers }) => providers.has(token));
    return own && modules.find(({ imports }) => imports.has(own));
}
