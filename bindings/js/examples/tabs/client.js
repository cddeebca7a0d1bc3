// The PGlite of worker.js as a client of `postgresStore`: it has `query` and `listen`.

/** A worker that was silent for so long is gone. If it is not, to connect again does no harm. */
const SILENCE_MS = 2_000;

export class Client {
    #worker;
    #tick;
    #port;
    #toldAt;
    #lastId = 0;
    #asked = new Map();
    #listeners = new Set();

    constructor(worker, tick) {
        this.#worker = worker;
        this.#tick = tick;
        this.#connect();
        setInterval(() => {
            if (performance.now() - this.#toldAt > SILENCE_MS) this.#connect();
        }, SILENCE_MS / 4);
    }

    #connect() {
        this.giveUp("the worker is gone");
        this.#port?.close();
        this.#toldAt = performance.now();
        this.#port = new SharedWorker(this.#worker, { type: "module", name: "elector" }).port;
        this.#port.onmessage = ({ data }) => {
            this.#toldAt = performance.now();
            if (data.tick) return this.#tick();
            if (data.heard !== undefined) return this.#listeners.forEach((heard) => heard(data.heard));
            const asked = this.#asked.get(data.id);
            this.#asked.delete(data.id);
            if (data.error) asked?.reject(Object.assign(new Error(data.error.message), data.error));
            else asked?.resolve({ rows: data.rows });
        };
    }

    query(text, values) {
        return new Promise((resolve, reject) => {
            const id = ++this.#lastId;
            this.#asked.set(id, { resolve, reject });
            this.#port.postMessage({ id, text, values });
        });
    }

    /** The worker listens on the one channel that there is. */
    async listen(_channel, heard) {
        this.#listeners.add(heard);
        return async () => void this.#listeners.delete(heard);
    }

    /** Waits for no answer any more. An error without a code says: perhaps it was executed. */
    giveUp(why) {
        for (const { reject } of this.#asked.values()) reject(new Error(why));
        this.#asked.clear();
    }
}
