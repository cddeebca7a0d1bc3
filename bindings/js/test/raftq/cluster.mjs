// Nodes in one process on a fake clock, joined by a network that only the test breaks.
import { Raftq } from "../../dist/cjs/raftq/index.mjs";
import { FakeClock, settle } from "../clock.mjs";
import { until } from "../support.mjs";

/** The event with which each message of a node arrives at another. */
export const ARRIVES = {
    voteRequest: "voteRequestReceived",
    voteResponse: "voteResponseReceived",
    syncData: "dataReceived",
    dataResponse: "dataResponseReceived",
};

/** The times of the document. */
export const TIMES = { heartbeat: 100, minimumElectionTime: 200, maximumElectionTime: 800 };

/** Keeps the states of all nodes as JSON, as files would. */
export class Files {
    files = new Map();

    agent() {
        return {
            persist: async (node, data) => void this.files.set(node.id, JSON.stringify(data)),
            restore: async (node) => {
                const text = this.files.get(node.id);
                return text === undefined ? undefined : JSON.parse(text);
            },
        };
    }
}

/** A cluster's network, clock and files. */
export class Cluster {
    clock = new FakeClock();
    files = new Files();
    /** The running nodes by their id. */
    nodes = new Map();
    /** All events of all nodes, in order. */
    events = [];
    /** All messages between nodes, in order. */
    sent = [];
    deliversAtOnce = false;
    /** Whether a message arrives. */
    arrives = () => true;
    /** How long a message takes one way. */
    delayMs = 5;
    #seed = 0n;

    /** Makes a node, with its transport, and does not start it. */
    make(id, options = {}) {
        this.#seed += 1n;
        const { clock, files } = this;
        const raft = new Raftq({
            ...TIMES, persistAgent: files.agent(), clock, seed: this.#seed, ...options,
        });
        this.nodes.set(id, raft);
        for (const [leaves, event] of Object.entries(ARRIVES)) {
            raft.subscribe(leaves, (message) => {
                const text = JSON.stringify(message);
                this.sent.push({ id, leaves, message });
                const deliver = () => {
                    const to = this.nodes.get(message.destination.id);
                    const runs = to && this.nodes.get(id) === raft;
                    if (runs && this.arrives(id, message.destination.id, message)) {
                        to.dispatch(event, JSON.parse(text));
                    }
                };
                if (this.deliversAtOnce) deliver();
                else this.clock.setTimeout(deliver, this.delayMs);
            });
        }
        for (const event of ["log", "roleChanged", "leaderChanged", "committed", "membershipChanged"]) {
            raft.subscribe(event, (message) => this.events.push({ id, event, message }));
        }
        return raft;
    }

    /** Starts a node as the document does: it tells those that run, and hears that they are there. */
    async start(id, options = {}) {
        const raft = this.make(id, options);
        const node = { id, time: Date.now() };
        for (const [other, running] of this.nodes) {
            if (other === id) continue;
            running.dispatch("ackNode", node);
            raft.dispatch("ackNode", { id: other, time: Date.now() });
        }
        await raft.dispatch("serviceStarted", { node });
        return raft;
    }

    /** Cuts a node off for good: it sends and gets no message any more. Its timers go on. */
    kill(id) {
        this.nodes.delete(id);
    }

    /** The ids of the nodes that lead at this instant, by `isLeader` and by role. */
    leaders() {
        const leads = ([, raft]) => raft.isLeader() || raft.getRole() === 3;
        return [...this.nodes].filter(leads).map(([id]) => id);
    }

    /** Advances the time until the condition holds, and checks every 10 ms that at most one node leads. */
    async until(holds, limitMs = 30_000) {
        for (let ms = 0; ms < limitMs; ms += 10) {
            if (this.leaders().length > 1) throw new Error(`${this.leaders()} lead at the same time`);
            if (holds()) return;
            await this.clock.advance(10);
        }
        const states = [...this.nodes].map(([id, raft]) => `${id}: ${raft.getRole()} ${raft.getLeader()}`);
        throw new Error(`not within ${limitMs} ms: ${holds}; ${states.join(", ")}`);
    }

    /** Advances the time until the promise is settled, and returns what it resolves to. */
    async run(promise) {
        let isSettled = false;
        const settled = () => void (isSettled = true);
        promise.then(settled, settled);
        await this.until(() => isSettled);
        return promise;
    }

    /** Waits until one node leads, all know that and all are members, and returns it. */
    async elected() {
        const agree = () => {
            const [leader, ...others] = this.leaders();
            if (leader === undefined || others.length > 0) return false;
            return [...this.nodes.values()].every((raft) => {
                const voters = raft.getMembers().filter(({ isVoter }) => isVoter);
                return raft.getLeader() === leader && voters.length === this.nodes.size;
            });
        };
        await this.until(agree);
        return this.nodes.get(this.leaders()[0]);
    }

    /** The messages of all events of this name that a node had. */
    messages(event, id) {
        const events = this.events.filter((each) => each.id === id && each.event === event);
        return events.map(({ message }) => message);
    }

    /** What all nodes know of the data. */
    data() {
        return [...this.nodes.values()].map((raft) => raft.getData());
    }
}

/** The ids of the members, as a node knows them. */
export const ids = (raft) => raft.getMembers().map(({ id }) => id);

/** Replicates data through a node: again until it is committed, since a busy machine may end a term. */
export async function replicated(raft, data) {
    await until(() => raft.dispatch("replicateData", data).then(() => true, () => false));
}

/** How many rejections nobody handles while `act` runs, and until what it started has settled. */
export async function unhandledWhile(act) {
    let unhandled = 0;
    const count = () => void (unhandled += 1);
    process.on("unhandledRejection", count);
    try {
        await act();
        await settle();
    } finally {
        process.off("unhandledRejection", count);
    }
    return unhandled;
}

/** A cluster of these nodes, started one after the other, with a leader. */
export async function running(...ids) {
    const cluster = new Cluster();
    for (const id of ids) {
        await cluster.start(id);
        await cluster.clock.advance(500);
    }
    return { cluster, leader: await cluster.elected() };
}
