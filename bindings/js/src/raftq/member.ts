import type { Clock } from "../clock.js";
import { waitUntil } from "../clock.js";
import { ElectorError, oneLine } from "../errors.js";
import type { Bus } from "./bus.js";
import type { RaftEvent, RaftLeadership, RaftMachine, RaftOutput, RaftRefused } from "./core.js";
import { ProtocolRole } from "./core.js";
import { publicMembers, standingText } from "./describe.js";
import { Driver } from "./driver.js";
import type { Arrived } from "./envelope.js";
import { eventOf, toBase64 } from "./envelope.js";
import { Leaderless } from "./leaderless.js";
import type { CheckedOptions } from "./options.js";
import { Writer } from "./persistence.js";
import { Proposals } from "./proposals.js";
import { Removals } from "./removals.js";
import type { LogMessage, RaftMember, RaftMessageKind, RaftNode, RaftNodeId } from "./types.js";
import { RaftRole } from "./types.js";

/** What a member needs of its node. */
export interface Host {
    readonly options: CheckedOptions;
    readonly clock: Clock;
    readonly bus: Bus;
    readonly self: RaftNode;
    readonly id: RaftNodeId;
    readonly session: string;
    /** An input of the application or of another node was refused, and is to be counted. */
    readonly countMalformed: (why: string) => void;
    /** The machine refused a message, and has counted it. */
    readonly warnRefused: (why: string) => void;
    /** Nodes are no members any more. */
    readonly removed: (ids: readonly RaftNodeId[]) => void;
}

/** A caller that waits for a condition on the member, or for its end. */
interface Waiter {
    readonly holds: () => boolean;
    readonly resolve: () => void;
}

type Answer = Extract<RaftEvent, { event: "answered" }>;
type Sent = Extract<RaftOutput, { kind: "send" }>;

/** A message for another member: of the machine, or of this package. */
type Message = Omit<Sent, "kind" | "type"> & { readonly type: RaftMessageKind };

/** A node that was started: its machine, with all that the machine needs. */
export class Member {
    readonly #host: Host;
    readonly #machine: RaftMachine;
    readonly #driver: Driver;
    readonly #writer: Writer;
    readonly #proposals: Proposals;
    readonly #removals: Removals;
    readonly #leaderless: Leaderless;
    readonly #transfers = new Map<number, (answer: Answer) => void>();
    #lastRequest = 0;
    /** The role that the application was told last. */
    #role = RaftRole.FOLLOWER;
    /** The newest term for which this member was elected. */
    #electedTerm = 0;
    /** How many messages the machine has refused, by reason and in all. */
    #refused: RaftRefused;
    #refusedInAll = 0;
    #committedData: string;
    #committedMembers: readonly RaftMember[];
    #isLeaving = false;
    /** It was told that it is no member any more. */
    #hasLeft = false;
    #farewell: unknown;
    /** What it told the others when it left had a heartbeat's time to arrive. */
    #isFarewellOver = false;
    /** It was stopped, or its machine panicked. */
    #isOver = false;
    /** Whether its newest state was durable when it ended. */
    #hasWritten = false;
    #waiting: Waiter[] = [];

    constructor(host: Host, machine: RaftMachine) {
        const { options, clock, self, id: own } = host;
        this.#host = host;
        this.#machine = machine;
        this.#driver = new Driver(machine, clock, {
            persist: (ticket, bytes) => this.#writer.write(ticket, bytes),
            send: (message) => this.#emit(message),
            event: (event) => this.#happened(event),
            settled: () => this.#settled(),
            died: (error) => this.#died(error),
        });
        this.#writer = new Writer(options.persistAgent, {
            node: self,
            clock,
            limitMs: options.maximumElectionTime,
            ended: (ticket, isDurable) => this.#written(ticket, isDurable),
            idle: () => this.#settled(),
            log: (level, text) => this.#log(level, text),
        });
        this.#proposals = new Proposals({
            clock,
            retryMs: options.heartbeat,
            limitMs: 2 * options.maximumElectionTime,
            nextRequest: () => this.#nextRequest(),
            propose: (request, data) => this.#driver.give((_, now) => machine.propose(now, request, data)),
            isMember: () => this.#isListed(own),
        });
        this.#removals = new Removals({
            options,
            clock,
            machine,
            id: own,
            isListed: (id) => this.#isListed(id),
            gone: (id) => this.#tell(id, (_, now) => machine.gone(now, id)),
            report: (to, bytes) => {
                const [cluster, term] = [machine.cluster() ?? "", machine.term()];
                this.#emit({ type: "gone", to, term, cluster, bytes });
            },
            refuse: (why) => host.countMalformed(why),
        });
        this.#leaderless = new Leaderless({
            now: () => clock.now(),
            limitMs: 4 * (options.minimumElectionTime + options.maximumElectionTime),
            isLeft: () => machine.standing() === "left",
            others: () => this.members().map(({ id }) => id).filter((id) => id !== own),
            isHeard: (id) => Date.now() - (this.lastHeard(id) ?? -Infinity) < 2 * options.maximumElectionTime,
            warn: (text) => this.#log("warn", text),
        });
        this.#refused = machine.refused();
        this.#committedData = this.#committedJson(machine.data());
        this.#committedMembers = publicMembers(machine.committedMembers());
    }

    /** Begins, with the ids that the application named. */
    begin(known: Iterable<RaftNodeId>): void {
        if (this.#machine.standing() === "left") {
            const cluster = this.#machine.cluster();
            const waits = "it waits until a member of that cluster admits it again";
            this.#log("info", `this node left cluster ${cluster}, and joins no other: ${waits}`);
        }
        for (const id of known) this.known(id);
        this.#driver.give((machine, now) => machine.timeout(now));
    }

    /** Resolves once the member has ended and the agent has returned. */
    get ended(): Promise<void> {
        return this.#writer.ended;
    }

    /** Ends the member at once: no input, no output and no timer any more. */
    stop(): void {
        if (this.#isOver) return;
        this.#end();
        this.#machine.free();
    }

    #end(): void {
        this.#isOver = true;
        this.#hasWritten = this.#writer.hasKeptAll;
        this.#driver.stop();
        this.#writer.close();
        this.#proposals.close();
        this.#host.clock.clearTimeout(this.#farewell);
        for (const [request, answer] of this.#transfers) {
            answer({ event: "answered", request, refusal: "unknown" });
        }
        this.#tellRole(RaftRole.FOLLOWER, this.#electedTerm);
        this.#settled();
    }

    #died(error: unknown): void {
        const text = oneLine(error);
        this.#log("error", `the core panicked; this node never leads again, please report it: ${text}`);
        this.#end();
    }

    // ---- What it knows ----

    /** Whether it leads at this instant. */
    isLeader(): boolean {
        return !this.#isOver && this.#machine.isLeader(this.#host.clock.now());
    }

    /** Its token and the end of its trust, if it leads; nothing once it is over. */
    leadership(): RaftLeadership | undefined {
        return this.#isOver ? undefined : this.#machine.leadership(this.#host.clock.now());
    }

    /** Its role at this instant, in which no two members of a cluster lead. */
    role(): RaftRole {
        if (this.#isOver) return RaftRole.FOLLOWER;
        if (this.isLeader()) return RaftRole.LEADER;
        const role = this.#machine.role();
        if (role === ProtocolRole.Candidate) return RaftRole.CANDIDATE;
        // The machine's leader is LEADER from the first committed record of its term until trust ends; before
        // that it is CANDIDATE.
        const isElect = role === ProtocolRole.Leader && this.#machine.term() !== this.#electedTerm;
        return isElect ? RaftRole.CANDIDATE : RaftRole.FOLLOWER;
    }

    /** The leader. Not this member, unless it is trusted: another one may lead by then. */
    leader(): RaftNodeId | null {
        const leader = this.#isOver ? undefined : this.#machine.leader();
        if (leader === this.#host.id && !this.isLeader()) return null;
        return leader ?? null;
    }

    members(): RaftMember[] {
        return this.#isOver ? [] : publicMembers(this.#machine.members());
    }

    /** When a node was last heard, in milliseconds since 1970. */
    lastHeard(id: RaftNodeId): number | undefined {
        return this.#removals.lastHeard(id);
    }

    /** The committed data; `undefined` before the first. */
    data(): unknown {
        return this.#committedData === "" ? undefined : JSON.parse(this.#committedData);
    }

    refused(): RaftRefused | undefined {
        return this.#isOver ? undefined : this.#machine.refused();
    }

    /** Whether it was stopped, or its machine panicked. */
    get isOver(): boolean {
        return this.#isOver;
    }

    /** Whether it is the only member of its cluster. */
    isOnlyMember(): boolean {
        const [first, ...others] = this.members();
        return first?.id === this.#host.id && others.length === 0;
    }

    // ---- What the application wants ----

    /** Replicates data, which is JSON. Resolves once it is committed. */
    async replicate(text: string): Promise<void> {
        const most = this.#machine.maxData();
        // Each UTF-16 unit takes a byte or more: longer data need not be encoded.
        const data = text.length > most ? undefined : new TextEncoder().encode(text);
        if (!data || data.length > most) {
            const found = `the data has more than ${most} bytes as JSON`;
            throw new ElectorError("TOO_LARGE", `${found}; it had no effect`);
        }
        return this.#proposals.propose(data);
    }

    async transfer(to: RaftNodeId | undefined): Promise<void> {
        if (!this.isLeader()) throw new ElectorError("NOT_LEADER", "this node does not lead");
        const target = to ?? this.#machine.successor();
        if (target === undefined) {
            throw new ElectorError("TRANSFER_FAILED", "no other node that may lead answers");
        }
        const request = this.#nextRequest();
        const answer = await new Promise<Answer>((resolve) => {
            this.#transfers.set(request, resolve);
            this.#driver.give((machine, now) => {
                try {
                    machine.transfer(now, request, target);
                } catch (error) {
                    if (isPanic(error)) throw error;
                    resolve({ event: "answered", request, refusal: "notVoter" });
                }
            });
        });
        this.#transfers.delete(request);
        if (answer.index !== undefined) return;
        const why = answer.refusal === "notVoter"
            ? "is no voter that may lead"
            : "did not catch up in time, or leadership was handed over or lost meanwhile";
        throw new ElectorError("TRANSFER_FAILED", `leadership was not handed over: node ${target} ${why}`);
    }

    /**
     * Begins to leave the cluster. A leader hands leadership over first, if another node can lead; but of two
     * voters it removes itself first, since the other one alone is no majority of two. The only member stays:
     * the data would be lost with it.
     */
    startLeaving(): void {
        if (this.#isOver || this.#isLeaving) return;
        if (this.isOnlyMember()) {
            return this.#log("info", "this node is the only member of its cluster, and keeps the data");
        }
        this.#isLeaving = true;
        const voters = this.members().filter(({ isVoter }) => isVoter).length;
        this.#driver.give((machine, now) => {
            const next = voters > 2 ? machine.successor() : undefined;
            if (next !== undefined) machine.transfer(now, this.#nextRequest(), next);
            machine.leave(now);
        });
    }

    /** Resolves once it is no member any more, and that was written. */
    async left(): Promise<void> {
        await this.#until(() => !this.#isLeaving || (this.#hasLeft && this.#writer.hasKeptAll));
        if (this.#isOver && !(this.#hasLeft && this.#hasWritten)) {
            throw new ElectorError("UNKNOWN", "this node ended before it had left: it may be a member");
        }
        if (this.#hasLeft) return;
        throw new ElectorError("NOT_MEMBER", "this node became the only member of its cluster, and stays");
    }

    /**
     * Hands leadership over if this member leads. Then waits until another member stands for election, or
     * this one has left, and until the newest state is durable: for the maximum election time at most.
     */
    async handOver(): Promise<void> {
        if (this.#isOver) return;
        const { clock, options } = this.#host;
        const untilMs = clock.now() + options.maximumElectionTime;
        const term = this.#machine.term();
        const leads = this.#machine.role() === ProtocolRole.Leader;
        if (leads && !this.#isLeaving && !this.isOnlyMember()) {
            await this.transfer(undefined).catch(() => undefined);
        }
        const isSucceeded = () => {
            // A member that stands again itself has found no successor.
            return this.#machine.term() > term && this.#machine.role() === ProtocolRole.Follower;
        };
        const isHandedOver = () => {
            if (this.isOnlyMember()) return true;
            if (!this.#isLeaving) return !leads || isSucceeded();
            return this.#isFarewellOver;
        };
        await waitUntil(this.#until(() => isHandedOver() && this.#writer.hasKeptAll), clock, untilMs);
    }

    #until(holds: () => boolean): Promise<void> {
        return new Promise((resolve) => {
            this.#waiting.push({ holds, resolve });
            this.#settled();
        });
    }

    #nextRequest(): number {
        this.#lastRequest += 1;
        return this.#lastRequest;
    }

    // ---- Other nodes ----

    /** A node may belong to the cluster. */
    known(id: RaftNodeId): void {
        this.#removals.forget(id);
        this.#tell(id, (machine, now) => machine.known(now, id));
    }

    /** A node has left: this run of it, or the newest one. */
    departed(id: RaftNodeId, session: string | undefined): void {
        if (!this.#isOver) this.#removals.departed(id, session);
    }

    #isListed(id: RaftNodeId): boolean {
        return this.members().some((member) => member.id === id);
    }

    arrived(message: Arrived): void {
        if (this.#isOver) return;
        if (message.kind === "gone") return this.#removals.reported(message);
        const { from, body } = message;
        this.#driver.give((machine, now) => {
            machine.received(now, body);
            // What the machine refused may come from a node of another cluster with the same id.
            if (!this.#hasRefused(from.id)) this.#removals.heard(from.id, from.session);
        });
    }

    #tell(id: RaftNodeId, input: (machine: RaftMachine, now: number) => void): void {
        this.#driver.give((machine, now) => {
            try {
                input(machine, now);
            } catch (error) {
                if (isPanic(error)) throw error;
                this.#host.countMalformed(`node ${id}: ${oneLine(error)}`);
            }
        });
    }

    /** Whether the machine has refused the newest message, which came from this node. */
    #hasRefused(id: RaftNodeId): boolean {
        const inAll = this.#machine.refusedInAll();
        if (inAll === this.#refusedInAll) return false;
        this.#refusedInAll = inAll;
        const [before, after] = [this.#refused, this.#machine.refused()];
        this.#refused = after;
        const fault = FAULTS.find(({ reason }) => after[reason] > before[reason]);
        if (fault) this.#host.warnRefused(`a message of node ${id} was refused: ${fault.why}`);
        return true;
    }

    // ---- Outputs ----

    #emit({ type: kind, to, term, cluster, bytes }: Message): void {
        const { bus, id, session, options } = this.#host;
        bus.emit(eventOf(kind), {
            v: 1,
            kind,
            ...cluster !== undefined && { cluster },
            from: { id, incarnation: this.#machine.incarnation(), session },
            destination: { id: to },
            term,
            timeout: options.minimumElectionTime,
            body: toBase64(bytes),
        });
    }

    #written(ticket: number, isDurable: boolean): void {
        this.#driver.give((machine, now) => {
            if (isDurable) machine.persisted(now, ticket);
            else machine.persistFailed(now, ticket);
        });
    }

    // ---- Events ----

    #happened(event: RaftEvent): void {
        switch (event.event) {
            case "elected":
                this.#electedTerm = event.token;
                this.#removals.elected();
                this.#log("info", `this node leads, term ${event.token}`);
                // Not if its trust ended while a listener was slow.
                return this.#tellRole(this.role(), event.token);
            case "deposed":
                this.#log("info", `this node leads no more, term ${event.token}: ${event.reason}`);
                return this.#tellRole(RaftRole.FOLLOWER, event.token);
            case "stopNewWork":
                return this.#log("warn", `no quorum answered lately, term ${event.token}: start no new work`);
            case "renewed":
                return this.#log("info", `a quorum answers again, term ${event.token}`);
            case "leaderChanged": {
                const { leader = null, term } = event;
                this.#leaderless.changed(leader !== null);
                this.#log("info", `the leader is ${leader ?? "not known"}, term ${term}`);
                this.#host.bus.emit("leaderChanged", { leader, term });
                return this.#removals.leaderChanged();
            }
            case "committed":
                return this.#committed(event);
            case "left":
                return this.#left();
            case "standingChanged":
                return this.#log("info", standingText(event));
            case "otherCluster":
                return this.#log(
                    "error",
                    `node ${event.member} belongs to another cluster, ${event.cluster}. They stay two: ` +
                        "decide which one to keep, and remove the states of the nodes of the other",
                );
            case "answered":
                if (!this.#proposals.answered(event)) this.#transfers.get(event.request)?.(event);
                return;
            case "changeRefused":
                // This package requests no change by number.
        }
    }

    #left(): void {
        const { clock, options } = this.#host;
        this.#hasLeft = true;
        // What it told the others is on its way: see `handOver`.
        this.#farewell = clock.setTimeout(() => {
            this.#isFarewellOver = true;
            this.#settled();
        }, options.heartbeat);
        if (this.#isLeaving) return this.#log("info", "this node is no member of its cluster any more");
        this.#log(
            "warn",
            "this node was removed from its cluster, because another node was told that it left. Start it " +
                "again, and it joins again",
        );
    }

    #committed({ data, members }: Extract<RaftEvent, { event: "committed" }>): void {
        const [text, list] = [this.#committedJson(data), publicMembers(members)];
        const [isNewData, isNewList] = [text !== this.#committedData, !isSame(list, this.#committedMembers)];
        const ids = new Set(list.map(({ id }) => id));
        const removed = this.#committedMembers.map(({ id }) => id).filter((id) => !ids.has(id));
        this.#committedData = text;
        this.#committedMembers = list;
        for (const id of removed) this.#removals.removed(id);
        this.#host.removed(removed);
        if (isNewList) this.#host.bus.emit("membershipChanged", { members: publicMembers(members) });
        if (isNewData) this.#host.bus.emit("committed", this.data());
    }

    /** Committed bytes as JSON text; empty if they are none. */
    #committedJson(data: Uint8Array): string {
        try {
            const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
            if (text !== "") JSON.parse(text);
            return text;
        } catch {
            this.#log("error", "the cluster's data is no JSON: it was not replicated by this package");
            return "";
        }
    }

    #settled(): void {
        if (!this.#isOver) {
            this.#tellRole(this.role(), this.#machine.term());
            this.#removals.passOn();
            this.#leaderless.check();
            // The machine drops the wish of one that became the only member.
            if (this.#isLeaving && !this.#hasLeft && this.isOnlyMember()) this.#isLeaving = false;
        }
        for (const waiter of this.#waiting.splice(0)) {
            if (this.#isOver || waiter.holds()) waiter.resolve();
            else this.#waiting.push(waiter);
        }
    }

    #tellRole(role: RaftRole, term: number): void {
        const previousRole = this.#role;
        if (role === previousRole) return;
        this.#role = role;
        this.#host.bus.emit("roleChanged", { role, previousRole, term, leader: this.leader() });
    }

    #log(level: LogMessage["level"], message: string): void {
        this.#host.bus.emit("log", { message, level });
    }
}

/** Refusals that are worth a warning. Messages of another cluster, and to an earlier run, are no faults. */
const FAULTS = [
    { reason: "invalid", why: "it is damaged, or of another version" },
    { reason: "protocol", why: "no correct node sends it" },
] as const;

/** Whether two lists have the same members, described in the same way. */
function isSame(list: readonly RaftMember[], other: readonly RaftMember[]): boolean {
    return JSON.stringify(list) === JSON.stringify(other);
}

/** Whether an error is a panic of the core, and no refusal. */
function isPanic(error: unknown): boolean {
    return error instanceof WebAssembly.RuntimeError;
}
