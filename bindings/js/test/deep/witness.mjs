// How long the machine delayed a test, for tests whose subject is real time.
//
// A thread that is ready to run waits in the run queue of a processor; the kernel counts that time for every
// thread. The witness sums it over this process and its descendants, and adds the delay with which its own
// thread woke. If an upper bound is missed while the witness counted more than a quarter of it, the result
// says nothing about the code: the test is inconclusive, and runs once more.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

/** The time between two samples, in milliseconds. The waits of a thread that ends in between are lost. */
const PERIOD = 20;
/**
 * Every sleep takes a little longer than requested; only the excess over this many milliseconds is counted.
 */
const TIMER = 1;

class Inconclusive extends Error {}

class Witness {
    /** The microseconds for which the machine delayed this test, and whether sampling must end. */
    #shared = new BigInt64Array(new SharedArrayBuffer(16));
    #worker = new Worker(fileURLToPath(import.meta.url), { workerData: this.#shared });
    #before = 0n;

    async begin() {
        await new Promise((resolve, reject) => this.#worker.once("message", resolve).once("error", reject));
    }

    async end() {
        Atomics.store(this.#shared, 1, 1n);
        await this.#worker.terminate();
    }

    /** Sets the counted delay to zero. */
    reset() {
        this.#before = Atomics.load(this.#shared, 0);
    }

    /** The milliseconds for which the machine delayed this test since its start or the last reset. */
    waited() {
        return Number(Atomics.load(this.#shared, 0) - this.#before) / 1_000;
    }

    /** Asserts that `ms` is at most `bound`. */
    atMost(took, bound, what) {
        this.holds(took <= bound, bound, `${what}: ${took} ms, at most ${bound}`);
    }

    /**
     * Asserts a condition that holds unless the machine delays the test by a quarter of `bound` milliseconds.
     */
    holds(condition, bound, what) {
        if (condition) return;
        const waited = this.waited();
        const missed = `${what}; the machine kept it waiting for ${waited.toFixed(1)} ms`;
        if (waited > bound / 4) throw new Inconclusive(missed);
        assert.fail(missed);
    }
}

/** Runs `body` with a witness, and once more if the first result is inconclusive. */
export async function witnessed(body) {
    let message;
    for (let run = 0; run < 2; run++) {
        const witness = new Witness();
        await witness.begin();
        try {
            return await body(witness);
        } catch (error) {
            if (!(error instanceof Inconclusive)) throw error;
            ({ message } = error);
            console.log(`inconclusive: ${message}`);
        } finally {
            await witness.end();
        }
    }
    throw new Error(`inconclusive twice: the machine is too busy to tell: ${message}`);
}

/** A test whose subject is real time. */
export function timed(name, body) {
    test(name, () => witnessed(body));
}

/** The text of a file in /proc; empty if its process or thread has ended. */
function told(path) {
    try {
        return readFileSync(path, "utf8");
    } catch {
        return "";
    }
}

function tasks(pid) {
    try {
        return readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}`);
    } catch {
        return [];
    }
}

/** The witness's own thread: samples until it is told to end. */
function sample(shared, begun) {
    const [last, watched] = [new Map(), new Set([process.pid])];
    // This thread's own waits are counted by its late waking.
    const own = `/proc/${readlinkSync("/proc/thread-self")}`;
    /** The nanoseconds for which the watched threads have waited since the last call. */
    const take = () => {
        let sum = 0;
        const found = [...watched];
        for (let pid = found.pop(); pid !== undefined; pid = found.pop()) {
            for (const task of tasks(pid)) {
                const children = told(`${task}/children`).split(" ").filter(Boolean).map(Number);
                found.push(...children.filter((child) => !watched.has(child) && watched.add(child)));
                const [, wait] = told(`${task}/schedstat`).split(" ").map(Number);
                if (wait === undefined || task === own) continue;
                const before = last.get(task) ?? 0;
                last.set(task, wait);
                // A smaller counter belongs to a new thread with the number of an old one.
                sum += wait < before ? wait : wait - before;
            }
        }
        return sum;
    };
    take();
    begun();
    const cell = new Int32Array(new SharedArrayBuffer(4));
    while (Atomics.load(shared, 1) === 0n) {
        const asleep = performance.now();
        Atomics.wait(cell, 0, 0, PERIOD);
        const oversleep = Math.max(0, performance.now() - asleep - PERIOD - TIMER);
        Atomics.add(shared, 0, BigInt(Math.round(take() / 1e3 + oversleep * 1e3)));
    }
}

if (!isMainThread && workerData instanceof BigInt64Array) {
    sample(workerData, () => parentPort.postMessage("begun"));
}
