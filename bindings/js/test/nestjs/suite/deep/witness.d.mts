// The witness of the npm package's tests, which is put beside this suite when it is compiled.

export interface Witness {
    /** Forgets what was waited for until now. */
    reset(): void;
    /** Asserts that something took at most so many milliseconds. */
    atMost(took: number, bound: number, what: string): void;
    /** Asserts what holds unless the machine keeps the test waiting for a quarter of `bound` milliseconds. */
    holds(condition: boolean, bound: number, what: string): void;
}

/** Runs `body` with a witness; once more if the first time is inconclusive. */
export function witnessed(body: (witness: Witness) => Promise<void>): Promise<void>;
