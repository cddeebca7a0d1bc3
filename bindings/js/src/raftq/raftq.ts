import type { Clock } from "../clock.js";
import { systemClock } from "../clock.js";
import { ElectorError, oneLine } from "../errors.js";
import { random64 } from "../options.js";
import { remember } from "./bounded.js";
import { Bus } from "./bus.js";
import { Claim } from "./claims.js";
import { RaftMachine } from "./core.js";
import { read } from "./envelope.js";
import { machineOf } from "./machine.js";
import { Member } from "./member.js";
import { AN_ID, isName, shown } from "./names.js";
import type { CheckedOptions, RaftqOptions } from "./options.js";
import { checked } from "./options.js";
import { LOST, refusedState, restored } from "./persistence.js";
import { Self } from "./self.js";
import { Throttle } from "./throttle.js";
import type {
    Any, Dispatched, Emitted, Fence, LogMessage, RaftEventType, RaftMember, RaftMessage, RaftNode, RaftNodeId,
    RefusedMessages, UnsubscribeFunc,
} from "./types.js";
import { RaftRole } from "./types.js";

/** The events of a node. */
const EMITTED: readonly (keyof Emitted)[] = ["voteRequest", "voteResponse", "syncData", "dataResponse", "log",
    "roleChanged", "leaderChanged", "committed", "membershipChanged"];

/** The maximum number of acknowledged nodes: as many as a machine knows. */
const MOST_ACKNOWLEDGED = 64;

/**
 * One node of a cluster that elects a leader and replicates data without a database. The application carries
 * its messages: it subscribes to `voteRequest`, `voteResponse`, `syncData` and `dataResponse`, delivers their
 * messages to `destination.id`, and dispatches them there.
 *
 * ```js
 * const raft = new Raftq({
 *     heartbeat: 100, minimumElectionTime: 200, maximumElectionTime: 800, persistAgent,
 * });
 * await raft.dispatch("serviceStarted", { node: { id: "5050", time: Date.now() } });
 * if (raft.isLeader()) doWhatOnlyOneMayDo();
 * ```
 */
export class Raftq {
    readonly #options: CheckedOptions;
    readonly #clock: Clock;
    readonly #bus = new Bus(EMITTED);
    readonly #session = randomName();
    readonly #self: Self;
    /** Nodes that the application named, each with the time that it gave. */
    readonly #acknowledged = new Map<RaftNodeId, number>();
    /** Nodes that left, as this one was told before it ran. */
    readonly #departed = new Map<RaftNodeId, string | undefined>();
    #isStarting = false;
    /** It was told to leave. */
    #leaves = false;
    #claim: Claim | undefined;
    /** What runs from the start until the node is destroyed. */
    #member: Member | undefined;
    #destroying: Promise<void> | undefined;
    #malformed = 0;
    readonly #madeAt = Date.now();
    readonly #refusals: Throttle;

    /** Checks all options, and throws an `ElectorError` with the code `INVALID_OPTIONS` if one is wrong. */
    constructor(options: RaftqOptions) {
        this.#options = checked(options);
        this.#clock = this.#options.clock ?? systemClock;
        this.#self = new Self(this.#session, () => this.#leave());
        this.#refusals = new Throttle(() => this.#clock.now(), (message) => this.#log("warn", message));
        // A machine checks the times and the founding list.
        const { id = "node", witness = false } = this.#options.members?.[0] ?? {};
        try {
            machineOf({ ...this.#options, witness }, id, undefined, 0).free();
        } catch (error) {
            throw new ElectorError("INVALID_OPTIONS", oneLine(error));
        }
    }

    // ---- Events ----

    /**
     * Gives an event to this node. You need not await the promise: what it rejects with is logged too. It
     * never rejects for messages of other nodes.
     */
    dispatch<E extends keyof Dispatched>(type: E, message: Dispatched[E]): Promise<void>;
    dispatch<E extends RaftEventType>(type: E & Any<E>, message: unknown): Promise<void>;
    dispatch(type: string, message: unknown): Promise<void> {
        const name = typeof type === "string" ? type.slice(0, 40) : "";
        const done = this.#dispatch(name, message);
        done.catch((error: unknown) => this.#log("error", `${name}: ${oneLine(error)}`));
        return done;
    }

    /** Calls `listener` at each event of this name. Call the returned function to stop that. */
    subscribe<E extends keyof Emitted>(type: E, listener: (message: Emitted[E]) => unknown): UnsubscribeFunc;
    subscribe<E extends RaftEventType>(
        type: E & Any<E>, listener: (message: RaftMessage) => unknown,
    ): UnsubscribeFunc;
    subscribe(type: string, listener: (message: never) => unknown): UnsubscribeFunc {
        return this.#bus.subscribe(type, listener);
    }

    async #dispatch(type: string, message: unknown): Promise<void> {
        switch (type as keyof Dispatched) {
            case "serviceStarted":
                return this.#start(message);
            case "serviceCrashed":
                return this.#leave();
            case "replicateData":
                return this.#running().replicate(toJson(message));
            case "ackNode":
                return this.#acknowledge(message);
            case "voteRequestReceived":
            case "voteResponseReceived":
            case "dataReceived":
            case "dataResponseReceived":
                return this.#arrived(message);
            default:
                return this.#refuse(`there is no event \`${type}\` to dispatch`);
        }
    }

    // ---- What this node knows ----

    /** Whether this node leads at this instant: never two nodes of a cluster at a time. */
    isLeader(): boolean {
        return this.#member?.isLeader() ?? false;
    }

    /** The right to act as the leader at this instant; `undefined` unless this node leads. */
    fence(): Fence | undefined {
        const { token, trustedUntilMs = 0 } = this.#member?.leadership() ?? {};
        if (token === undefined) return undefined;
        return { token, trustedForMs: Math.max(0, trustedUntilMs - this.#clock.now()) };
    }

    /** The leader of this node's term, as far as it knows. It names itself only while it leads. */
    getLeader(): RaftNodeId | null {
        return this.#member?.leader() ?? null;
    }

    /** What this node does in its cluster at this instant. */
    getRole(): RaftRole {
        return this.#member?.role() ?? RaftRole.FOLLOWER;
    }

    /** This node. To leave the cluster, set its `time` to 0. */
    getNode(): RaftNode {
        return this.#self.node;
    }

    /** All other nodes: the members of the cluster, the leader too, and those that were acknowledged. */
    getFollowers(): RaftNode[] {
        const member = this.#member;
        if (!member) return [];
        const ids = new Set([...member.members().map(({ id }) => id), ...this.#acknowledged.keys()]);
        ids.delete(this.#self.id);
        const timeOf = (id: RaftNodeId) => member.lastHeard(id) ?? this.#acknowledged.get(id) ?? this.#madeAt;
        return [...ids].map((id) => ({ id, time: timeOf(id) }));
    }

    /** The committed data, as far as this node knows; `undefined` before the first. */
    getData(): unknown {
        return this.#member?.data();
    }

    /** The members of the cluster, as the newest record lists them that this node has. */
    getMembers(): RaftMember[] {
        return this.#member?.members() ?? [];
    }

    /** How many messages this node refused. */
    getRefused(): RefusedMessages {
        const none = { invalid: 0, cluster: 0, address: 0, protocol: 0 };
        return { ...none, ...this.#member?.refused(), malformed: this.#malformed };
    }

    // ---- Leading and leaving ----

    /**
     * Hands leadership over to a node, by default to the one that is ready for it. Resolves once this node
     * has stopped leading. Rejects with `TRANSFER_FAILED` if the other one cannot lead or did not catch up.
     */
    async transfer(to?: RaftNodeId): Promise<void> {
        if (to !== undefined && !isName(to)) {
            throw new ElectorError("INVALID_OPTIONS", `\`to\` is ${shown(to)}; ${AN_ID}`);
        }
        return this.#running().transfer(to);
    }

    /**
     * Leaves the cluster; a leader hands leadership over. Resolves once this node is no member any more, and
     * has written that; there is no limit of time. The node joins again at its next start. The only member of
     * a cluster cannot leave: the data would be lost with it.
     */
    async leave(): Promise<void> {
        const member = this.#running();
        if (member.isOnlyMember()) {
            throw new ElectorError("NOT_MEMBER", "this node is the only member of its cluster, and stays");
        }
        member.startLeaving();
        return member.left();
    }

    /**
     * Ends this node: hands leadership over if it leads, and stops all timers. Waits until another node
     * stands for election or this one has left, for `maximumElectionTime` at most. The node stays a member
     * of its cluster unless it left.
     */
    destroy(): Promise<void> {
        // Assigned before a listener can call it again.
        this.#destroying ??= Promise.resolve().then(() => this.#destroy());
        return this.#destroying;
    }

    [Symbol.asyncDispose](): Promise<void> {
        return this.destroy();
    }

    async #destroy(): Promise<void> {
        const member = this.#member;
        // `#start` ends a node that is still starting.
        if (!member) return;
        await member.handOver();
        member.stop();
        this.#claim?.end(member.ended);
        this.#member = undefined;
    }

    #leave(): void {
        this.#leaves = true;
        this.#member?.startLeaving();
    }

    // ---- Starting ----

    async #start(message: unknown): Promise<void> {
        if (this.#member || this.#isStarting) throw new ElectorError("BUSY", "this node has started already");
        const { node } = (message ?? {}) as Partial<Dispatched["serviceStarted"]>;
        const id: unknown = node?.id;
        if (!isName(id)) throw new ElectorError("INVALID_OPTIONS", `\`node.id\` is ${shown(id)}; ${AN_ID}`);
        this.#isStarting = true;
        try {
            this.#checkWanted();
            const limitMs = this.#options.maximumElectionTime;
            this.#claim = await Claim.make(this.#options.persistAgent, id, this.#clock, limitMs);
            const state = await this.#restored(id);
            this.#checkWanted();
            this.#begin(id, this.#machine(id, state));
        } catch (error) {
            this.#claim?.end(Promise.resolve());
            this.#claim = undefined;
            throw error;
        } finally {
            this.#isStarting = false;
        }
    }

    /** Throws if the application wants this node no more. */
    #checkWanted(): void {
        if (this.#destroying) throw new ElectorError("NOT_MEMBER", "this node was destroyed: make another");
        if (this.#leaves) throw new ElectorError("NOT_MEMBER", "this node was told to leave before it ran");
    }

    async #restored(id: string): Promise<Uint8Array | undefined> {
        let data: unknown;
        try {
            data = await this.#options.persistAgent.restore({ id, time: this.#self.node.time });
        } catch (error) {
            throw refusedState(id, `restore() failed: ${oneLine(error)}`);
        }
        return restored(id, data);
    }

    #machine(id: string, state: Uint8Array | undefined): RaftMachine {
        const problem = state && RaftMachine.problem(id, state);
        if (problem !== undefined) throw refusedState(id, `its state is refused: ${problem}. ${LOST}`);
        if (state === undefined) this.#checkListed(id);
        try {
            return machineOf(this.#options, id, state, this.#clock.now());
        } catch (error) {
            throw new ElectorError("INVALID_OPTIONS", `cannot start node ${id}: ${oneLine(error)}`);
        }
    }

    /** Throws if `members` does not name this node as what it is. */
    #checkListed(id: string): void {
        const { members, witness } = this.#options;
        if (!members) return;
        const listed = members.find((member) => member.id === id);
        if (listed?.witness === witness) return;
        const listedAs = witness ? "without" : "with";
        const why = listed
            ? `lists it ${listedAs} \`witness: true\`, and its option is ${witness}: make both equal`
            : "does not name it. Start a node that joins later without `members`";
        throw new ElectorError("INVALID_OPTIONS", `cannot start node ${id}: \`members\` ${why}`);
    }

    #begin(id: string, machine: RaftMachine): void {
        this.#self.id = id;
        this.#acknowledged.delete(id);
        this.#departed.delete(id);
        const host = {
            options: this.#options,
            clock: this.#clock,
            bus: this.#bus,
            self: this.#self.node,
            id,
            session: this.#session,
            countMalformed: (why: string) => this.#refuse(why),
            warnRefused: (why: string) => this.#refusals.say(why),
            removed: (ids: readonly RaftNodeId[]) => ids.forEach((each) => this.#acknowledged.delete(each)),
        };
        this.#member = new Member(host, machine);
        this.#member.begin(this.#acknowledged.keys());
        for (const [gone, session] of this.#departed) this.#member.departed(gone, session);
        this.#departed.clear();
    }

    // ---- Other nodes ----

    #acknowledge(message: unknown): void {
        const node = nodeOf(message);
        if (!node) return this.#refuse("`ackNode` needs the `id` and the `time` of a node");
        const { id, time, session } = node;
        if (id === this.#self.id) return;
        this.#acknowledged.delete(id);
        this.#departed.delete(id);
        if (time > 0) {
            remember(this.#acknowledged, id, time, MOST_ACKNOWLEDGED);
            this.#member?.known(id);
        } else if (this.#member) {
            this.#member.departed(id, session);
        } else {
            remember(this.#departed, id, session, MOST_ACKNOWLEDGED);
        }
    }

    #arrived(value: unknown): void {
        const message = read(value);
        if (typeof message === "string") return this.#refuse(`a message was refused: ${message}`);
        this.#member?.arrived(message);
    }

    // ---- Helpers ----

    #running(): Member {
        if (this.#member?.isOver) {
            throw new ElectorError("PANIC", "the core of this node panicked: start the process again");
        }
        if (this.#member) return this.#member;
        if (this.#destroying) throw new ElectorError("NOT_MEMBER", "this node was destroyed");
        throw new ElectorError("NOT_MEMBER", "this node does not run: dispatch `serviceStarted` first");
    }

    #refuse(why: string): void {
        this.#malformed += 1;
        this.#refusals.say(why);
    }

    #log(level: LogMessage["level"], message: string): void {
        this.#bus.emit("log", { message, level });
    }
}

/** The node that a value describes; `undefined` if it is none. Never throws. */
function nodeOf(value: unknown): RaftNode | undefined {
    try {
        const { id, time, session } = (value ?? {}) as { [K in keyof RaftNode]?: unknown };
        if (!isName(id) || typeof time !== "number" || !(time >= 0 && time < Infinity)) return undefined;
        return session === undefined || isName(session) ? { id, time, session } : undefined;
    } catch {
        return undefined;
    }
}

/** A random name for this run of a node: 32 hexadecimal digits. */
function randomName(): string {
    return [random64(), random64()].map((number) => number.toString(16).padStart(16, "0")).join("");
}

/** Data as JSON text. Throws `INVALID_DATA` if there is none. */
function toJson(data: unknown): string {
    let text: string | undefined;
    try {
        text = JSON.stringify(data) as string | undefined;
    } catch (error) {
        throw new ElectorError("INVALID_DATA", `the data cannot be written as JSON: ${oneLine(error)}`);
    }
    if (text === undefined) {
        throw new ElectorError("INVALID_DATA", `JSON has no ${typeof data}; give data that it can hold`);
    }
    return text;
}
