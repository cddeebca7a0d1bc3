import { Inject } from "@nestjs/common";
import { LeaderElectorCore } from "./core.js";

/**
 * One election of an application: that of `LeaderElectorModule.forRoot()`, or with `@InjectElector('name')`
 * that of `forFeature('name')`. Stands from the application's bootstrap to its shutdown.
 */
export class LeaderElectorService extends LeaderElectorCore {
    /** @internal Stands, and waits for the store's first answer. */
    async stand(): Promise<void> {
        if (super.begin()) await this.answered();
    }

    /** What uses it must be ready before it leads. */
    protected override begin(): boolean {
        return false;
    }
}

/** The token under which the service of an election is provided; without a name: that of `forRoot()`. */
export function getElectorToken(election?: string): string | typeof LeaderElectorService {
    return election === undefined ? LeaderElectorService : `LeaderElectorService(${election})`;
}

/** Injects the service of an election of `forFeature()`; without a name: that of `forRoot()`. */
export function InjectElector(election?: string): ParameterDecorator & PropertyDecorator {
    return Inject(getElectorToken(election));
}
