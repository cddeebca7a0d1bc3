/** Says at most one message in ten seconds. The next one tells how many were dropped. */
export class Throttle {
    readonly #now: () => number;
    readonly #say: (message: string) => void;
    #untilMs = -Infinity;
    #left = 0;

    constructor(now: () => number, say: (message: string) => void) {
        this.#now = now;
        this.#say = say;
    }

    /** Returns whether the message was said. */
    say(message: string): boolean {
        const now = this.#now();
        if (now < this.#untilMs) {
            this.#left += 1;
            return false;
        }
        this.#say(this.#left > 0 ? `${message} (and ${this.#left} more)` : message);
        this.#left = 0;
        this.#untilMs = now + 10_000;
        return true;
    }
}
