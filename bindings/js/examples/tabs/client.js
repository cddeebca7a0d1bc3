// The PGlite of worker.js as a client of `postgresStore`: it has `query` and `listen`.

/**
 * A worker that is silent for this time counts as ended. If it has not ended, a new connection does no harm.
 */
const SILENCE_MS = 2_000;

export class Client {
    #worker;
    #tick;
    #port;
    #lastMessageAt;
    #lastId = 0;
    #requests = new Map();
    #listeners = new Set();

    constructor(worker, tick) {
        this.#worker = worker;
        this.#tick = tick;
        this.#connect();
        setInterval(() => {
            if (performance.now() - this.#lastMessageAt > SILENCE_MS) this.#connect();
        }, SILENCE_MS / 4);
    }

    #connect() {
        this.rejectAll("the worker is gone");
        this.#port?.close();
        this.#lastMessageAt = performance.now();
        this.#port = new SharedWorker(this.#worker, { type: "module", name: "elector" }).port;
        this.#port.onmessage = ({ data }) => {
            this.#lastMessageAt = performance.now();
            if (data.tick) return this.#tick();
            if (data.payload !== undefined) return this.#listeners.forEach((each) => each(data.payload));
            const request = this.#requests.get(data.id);
            this.#requests.delete(data.id);
            if (data.error) request?.reject(Object.assign(new Error(data.error.message), data.error));
            else request?.resolve({ rows: data.rows });
        };
    }

    query(text, values) {
        return new Promise((resolve, reject) => {
            const id = ++this.#lastId;
            this.#requests.set(id, { resolve, reject });
            this.#port.postMessage({ id, text, values });
        });
    }

    /** Adds a listener. The worker listens on the only channel. */
    async listen(_channel, listener) {
        this.#listeners.add(listener);
        return async () => void this.#listeners.delete(listener);
    }

    /**
     * Rejects all requests in progress. An error without a code means that the request may have been
     * executed.
     */
    rejectAll(why) {
        for (const { reject } of this.#requests.values()) reject(new Error(why));
        this.#requests.clear();
    }
}
