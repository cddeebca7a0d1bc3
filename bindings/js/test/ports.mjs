// Ports for the servers of tests.
import { once } from "node:events";
import { createServer } from "node:net";

/** Whether a server can listen on this port of localhost. */
async function isFree(port) {
    const server = createServer().listen(port, "localhost");
    if (!await once(server, "listening").then(() => true, () => false)) return false;
    await once(server.close(), "close");
    return true;
}

/** Successive ports of localhost that were free just now, below those that the system gives to clients. */
export async function freePorts(count) {
    for (;;) {
        const first = 20_000 + Math.floor(Math.random() * 1_000) * 10;
        const ports = Array.from({ length: count }, (_, at) => first + at);
        const free = await Promise.all(ports.map(isFree));
        if (free.every(Boolean)) return ports;
    }
}
