import type { LeaderElectorCore } from "./core.js";

/**
 * What a call returns of a method that did not run: this node does not lead, or closes, or the tick is
 * another node's. Told apart from what the method itself returns with {@link isNotRun}.
 */
export class NotRun {
    /** The election that decided. */
    readonly election: string;
    /** Who leads, as far as this node knows, and what it published as `meta`. */
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

/** Whether a decorated method was refused here instead of run. */
export function isNotRun(result: unknown): result is NotRun {
    return result instanceof NotRun;
}
