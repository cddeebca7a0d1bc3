// A fake clock, which only the test advances.

/** Lets all ready callbacks run. */
export async function settle() {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export class FakeClock {
    #now = 1_000;
    #timers = new Map();
    #lastId = 0;

    now = () => this.#now;

    setTimeout = (callback, ms) => {
        const id = ++this.#lastId;
        this.#timers.set(id, { at: this.#now + ms, callback });
        return id;
    };

    clearTimeout = (id) => void this.#timers.delete(id);

    get timers() {
        return this.#timers.size;
    }

    /** Advances the time; each timer fires when it is due. */
    async advance(ms) {
        const end = this.#now + ms;
        await settle();
        for (;;) {
            const next = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0];
            // A callback may stall for longer than that.
            if (!next || next[1].at > Math.max(end, this.#now)) break;
            this.#timers.delete(next[0]);
            this.#now = Math.max(this.#now, next[1].at);
            next[1].callback();
            await settle();
        }
        this.#now = Math.max(this.#now, end);
    }

    /** Advances the time without running timers, as when the event loop is blocked. */
    stall(ms) {
        this.#now += ms;
    }
}
