import { Inject } from "@nestjs/common";
import { LeaderElectorCore } from "./core.js";

/**
 * The service of one election: that of `LeaderElectorModule.forRoot()`, or with `@InjectElector('name')` that
 * of `forFeature('name')`. Campaigns from the application's bootstrap to its shutdown.
 */
export class LeaderElectorService extends LeaderElectorCore {
    /** @internal Starts the campaign, and waits for the store's first answer. */
    async campaign(): Promise<void> {
        if (super.begin()) await this.answered();
    }

    /** Does nothing: providers that use the service must be ready before it can lead. */
    protected override begin(): boolean {
        return false;
    }
}

/** The injection token of an election's service; without a name, of that of `forRoot()`. */
export function getElectorToken(election?: string): string | typeof LeaderElectorService {
    return election === undefined ? LeaderElectorService : `LeaderElectorService(${election})`;
}

/** Injects the service of an election of `forFeature()`; without a name, that of `forRoot()`. */
export function InjectElector(election?: string): ParameterDecorator & PropertyDecorator {
    return Inject(getElectorToken(election));
}
