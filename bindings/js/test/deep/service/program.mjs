// A service that uses the package as the document of `raftq` does: the same calls in the same order, over
// Express and axios, and files. It listens on the first free port from FIRST_PORT on, which is its id; the
// others are the PEERS that answer. At SIGINT its node leaves the cluster.
// More than the document: routes for the test, MEMBERS, and what watch.mjs records.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import axios from "axios";
import express from "express";
import { Raftq } from "../../../dist/cjs/raftq/index.mjs";
import { addRoutes } from "./routes.mjs";
import { watch } from "./watch.mjs";

const { FIRST_PORT, PEERS, MEMBERS, FOLDER } = process.env;
const peers = PEERS.split(",");
const states = join(FOLDER, "states");

const raft = new Raftq({
    heartbeat: 100,
    minimumElectionTime: 200,
    maximumElectionTime: 800,
    persistAgent: {
        persist: async ({ id }, data) => {
            await mkdir(states, { recursive: true });
            // A process may be killed while it writes: half a file would be refused.
            await writeFile(join(states, `${id}.new`), JSON.stringify(data));
            await rename(join(states, `${id}.new`), join(states, id));
        },
        restore: async ({ id }) => {
            const text = await readFile(join(states, id), "utf8").catch(() => undefined);
            return text && JSON.parse(text);
        },
    },
    ...MEMBERS && { members: MEMBERS.split(",") },
});
const watched = watch(raft, FOLDER);

const app = express();
app.use(express.json());
app.post("/raft/:event", (request, response) => {
    // Not awaited, as in the document: a rejection must not end the process.
    raft.dispatch(request.params.event, request.body);
    response.end();
});
addRoutes(app, raft);

const underWay = new Set();
function post(id, event, body, timeout) {
    const request = axios.post(`http://localhost:${id}/raft/${event}`, body, { timeout });
    underWay.add(request);
    request.catch(() => {}).finally(() => underWay.delete(request));
    return request;
}
for (const [event, arrival] of Object.entries({
    voteRequest: "voteRequestReceived",
    voteResponse: "voteResponseReceived",
    syncData: "dataReceived",
    dataResponse: "dataResponseReceived",
})) {
    raft.subscribe(event, (message) => {
        post(message.destination.id, arrival, message, message.timeout).catch(() => {});
    });
}
raft.subscribe("log", ({ message }) => console.log(message));

async function start(port) {
    const now = Date.now();
    const own = { id: String(port), time: now };
    const others = peers.filter((id) => id !== own.id).map((id) => ({ id, time: now }));
    await Promise.all(others.map(async (node) => {
        const isThere = await post(node.id, "ackNode", own, 100).catch(() => undefined);
        if (isThere) raft.dispatch("ackNode", node);
    }));
    await raft.dispatch("serviceStarted", { node: own });
}

function listen(port) {
    app.listen(port, "localhost", () => {
        watched.listens(port);
        void start(port);
    }).on("error", () => listen(port + 1));
}
listen(Number(FIRST_PORT));

let ends = false;
async function end(reason) {
    if (ends) return;
    ends = true;
    raft.getNode().time = 0;
    const own = raft.getNode();
    await Promise.all(raft.getFollowers().map(({ id }) => post(id, "ackNode", own, 200).catch(() => {})));
    await raft.dispatch("serviceCrashed", { reason: String(reason) });
    await raft.destroy();
    // The requests of axios have timers too.
    await Promise.allSettled(underWay);
    watched.ends();
    process.exit(0);
}
const ENDS = ["exit", "SIGINT", "beforeExit", "disconnect", "uncaughtException", "unhandledRejection"];
for (const event of ENDS) process.on(event, end);
