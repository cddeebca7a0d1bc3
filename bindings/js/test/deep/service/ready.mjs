// A service on what the package brings ready-made: its transport over HTTP and its files. It listens on
// FIRST_PORT, which is its id; its cluster is PEERS. At SIGINT its node leaves the cluster.
import { createServer } from "node:http";
import { join } from "node:path";
import express from "express";
import { HttpTransport, Raftq, fileAgent } from "../../../dist/cjs/raftq/index.mjs";
import { addRoutes } from "./routes.mjs";
import { watch } from "./watch.mjs";

const { FIRST_PORT: port, PEERS, FOLDER } = process.env;

const raft = new Raftq({
    heartbeat: 100,
    minimumElectionTime: 200,
    maximumElectionTime: 800,
    persistAgent: fileAgent(join(FOLDER, "states")),
    members: PEERS.split(","),
});
const watched = watch(raft, FOLDER);
const transport = new HttpTransport({ urlOf: (id) => `http://localhost:${id}/raft`, secret: "of-the-test" });
transport.attach(raft);
raft.subscribe("log", ({ message }) => console.log(message));

const app = express();
app.post("/raft", transport.handler);
app.use(express.json());
addRoutes(app, raft);
createServer(app).listen(port, "localhost", () => {
    watched.listens(Number(port));
    void raft.dispatch("serviceStarted", { node: { id: port, time: Date.now() } });
});

process.once("SIGINT", async () => {
    raft.getNode().time = 0;
    await raft.destroy();
    watched.ends();
    process.exit();
});
