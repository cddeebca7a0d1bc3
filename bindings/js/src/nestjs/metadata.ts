/** The metadata of a decorated method. */
export interface Decorated {
    /** A name of `forFeature()`. Default: the election of `forRoot()`. */
    readonly election?: string | undefined;
}

/** The options of `@OncePerTick()`. */
export interface Ticking extends Decorated {
    /**
     * The job's name, the same on all nodes and in all builds: two nodes with different names would both run
     * each tick. Do not derive it from a class name, which a minifier may change.
     */
    readonly name: string;
}

// Keys of the metadata.
export const ELECTION = "elector:election";
export const ON_ELECTED = "elector:on-elected";
export const ON_DEPOSED = "elector:on-deposed";
export const ONCE_PER_TICK = "elector:once-per-tick";
