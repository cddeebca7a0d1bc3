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

    say(message: string): void {
        const now = this.#now();
        if (now < this.#untilMs) {
            this.#left += 1;
            return;
        }
        this.#say(this.#left > 0 ? `${message} (and ${this.#left} more)` : message);
        this.#left = 0;
        this.#untilMs = now + 10_000;
    }
}
