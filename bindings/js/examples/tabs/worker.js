// The store that all tabs share: a PGlite in a SharedWorker. The worker belongs to no tab, and outlives each.
import { PGlite } from "/pglite/index.js";

const leaseMs = Number(new URL(location.href).searchParams.get("lease"));
const ports = new Set();
const tell = (message) => {
    for (const port of ports) port.postMessage(message);
};

let db;
// A code that tells `postgresStore` that nothing was executed, so it retries.
let problem = { code: "57P03", message: "the store is starting" };

async function start() {
    const started = await PGlite.create();
    await started.listen("elector", (payload) => tell({ payload }));
    // The rows are in this worker's memory. In Chromium the worker shares a process with the tab that started
    // it, and crashes with it. The next worker does not know of a lease that another tab may still trust, but
    // after one lease no tab trusts one.
    await new Promise((resolve) => setTimeout(resolve, leaseMs - performance.now()));
    db = started;
}
start().catch((error) => (problem = { code: "57P03", message: `the store did not start: ${error}` }));

globalThis.onconnect = ({ ports: [port] }) => {
    ports.add(port);
    port.onclose = () => ports.delete(port);
    port.onmessage = async ({ data: { id, text, values } }) => {
        try {
            if (!db) throw problem;
            const { rows } = await db.query(text, values);
            port.postMessage({ id, rows });
        } catch ({ code, message }) {
            port.postMessage({ id, error: { code, message } });
        }
    };
};

// Timers of a hidden tab fire once in a second, or in a minute. Timers of a worker are not slowed down.
setInterval(() => tell({ tick: true }), 50);
