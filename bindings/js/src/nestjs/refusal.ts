import type { LeaderElectorCore } from "./core.js";

/**
 * The result of a call of a decorated method that did not run: this node does not lead or is closing, or
 * another node has the tick. {@link isNotRun} distinguishes it from the method's own results.
 */
export class NotRun {
    /** The election whose leader may run the method. */
    readonly election: string;
    /** The leader that this node last saw in the store, with its `meta`; absent if unknown. */
    readonly leader: { readonly candidate: string; readonly meta?: string } | undefined;

    /** @internal */
    constructor({ elector }: LeaderElectorCore) {
        this.election = elector.election;
        const leader = elector.leader();
        const isOther = leader && leader.candidate !== elector.candidate;
        this.leader = isOther ? { candidate: leader.candidate, ...published(leader.meta) } : undefined;
    }
}

function published(meta: string | undefined): { readonly meta?: string } {
    return meta === undefined ? {} : { meta };
}

/** Whether a result means that a decorated method did not run. */
export function isNotRun(result: unknown): result is NotRun {
    return result instanceof NotRun;
}
