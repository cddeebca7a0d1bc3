/** What a decorator of ours says about a method. */
export interface Decorated {
    /** Without a name: the election of `forRoot()`. */
    readonly election?: string | undefined;
}

/** What `@OncePerTick()` says. */
export interface Ticking extends Decorated {
    /** The job, for all nodes and all builds: what they must agree on, so no name of a class. */
    readonly name: string;
}

// Keys of the metadata.
export const ELECTION = "elector:election";
export const ON_ELECTED = "elector:on-elected";
export const ON_DEPOSED = "elector:on-deposed";
export const ONCE_PER_TICK = "elector:once-per-tick";
