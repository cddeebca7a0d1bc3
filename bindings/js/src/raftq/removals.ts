import type { Clock } from "../clock.js";
import type { RaftMachine } from "./core.js";
import type { Departure } from "./departures.js";
import { Departures, reportBytes, reportOf } from "./departures.js";
import type { Arrived } from "./envelope.js";
import type { CheckedOptions } from "./options.js";
import type { RaftNodeId } from "./types.js";

/** What removals need of their member. */
export interface Host {
    readonly options: CheckedOptions;
    readonly clock: Clock;
    readonly machine: RaftMachine;
    /** This node's id. */
    readonly id: RaftNodeId;
    /** Whether the newest record lists a node. */
    readonly isListed: (id: RaftNodeId) => boolean;
    /** Tells the machine that a node is gone. */
    readonly gone: (id: RaftNodeId) => void;
    /** Sends a report to the leader. */
    readonly report: (leader: RaftNodeId, body: Uint8Array) => void;
    /** A report was refused. */
    readonly refuse: (why: string) => void;
}

/**
 * Has the leader remove the nodes that left, as this node was told (`ackNode` with `time: 0`): this one if it
 * leads, or else the leader that it knows. A departure never counts as silence of the leader: nothing here
 * starts an election.
 */
export class Removals {
    readonly #host: Host;
    readonly #departures = new Departures();
    /** When the departures are passed on next. */
    #passOnAt = 0;
    /** When this node was elected last. */
    #electedAt = -Infinity;

    constructor(host: Host) {
        this.#host = host;
    }

    /** This node was elected. */
    elected(): void {
        this.#electedAt = this.#host.clock.now();
    }

    /** A node is there: it need not be removed. */
    forget(id: RaftNodeId): void {
        this.#departures.remove(id);
    }

    /** A node is no member any more. One that has left is not asked for its cluster either. */
    removed(id: RaftNodeId): void {
        if (this.#departures.remove(id)) this.#host.gone(id);
    }

    /** The machine accepted a message of this run of a node. */
    heard(id: RaftNodeId, session: string): void {
        this.#departures.heard(id, session, this.#host.clock.now());
    }

    /** When a node was last heard, in milliseconds since 1970. */
    lastHeard(id: RaftNodeId): number | undefined {
        return this.#departures.lastHeard(id);
    }

    /** The application was told that a node has left: this run of it, or the one that ran until now. */
    departed(id: RaftNodeId, session: string | undefined): void {
        const { clock, options, machine, isListed, gone, id: own } = this.#host;
        const atMs = clock.now();
        const untilMs = atMs + 10 * options.maximumElectionTime;
        // A node that leaves by itself asks the leader too, and is gone by then.
        if (this.#departures.isEmpty) this.#passOnAt = atMs + options.heartbeat;
        if (!this.#departures.add({ id, session, atMs, untilMs })) return;
        // The machine removes a member if this node leads, and forgets an id that is none. The departure is
        // kept even so: the leader's record may be newer, and list it.
        if (machine.leader() === own || !isListed(id)) gone(id);
    }

    /**
     * Another member passed a departure on, which counts if this one leads. It is not remembered here: the
     * other one reports it until it has taken effect.
     */
    reported({ cluster, from, to, body }: Arrived): void {
        const { options, clock, machine, id: own, isListed, gone, refuse } = this.#host;
        const report = reportOf(body);
        const isOurs = to === own && cluster !== undefined && cluster === machine.cluster();
        if (!report || !isOurs || !isListed(from.id)) {
            return refuse("a message was refused: it reports no departure from this cluster");
        }
        const { id, session, agoMs } = report;
        if (id === own || machine.leader() !== own || !isListed(id) || !this.#hasHeardAll()) return;
        // The report was under way for a minimum election time at most. A run that was first heard after the
        // departure is a later one, and stays.
        const atMs = clock.now() - agoMs - options.minimumElectionTime;
        if (this.#departures.mayHaveLeft(id, session, atMs)) gone(id);
    }

    /** A leader has heard those that run once it led for a while: they answer its heartbeats. */
    #hasHeardAll(): boolean {
        const { clock, options } = this.#host;
        return clock.now() >= this.#electedAt + options.minimumElectionTime;
    }

    /** Another leader is to be told of the departures, once it believes that: see `#hasHeardAll`. */
    leaderChanged(): void {
        const { clock, options } = this.#host;
        this.#passOnAt = clock.now() + options.minimumElectionTime;
    }

    /** Passes the departures on, each minimum election time. */
    passOn(): void {
        if (this.#departures.isEmpty) return;
        const { clock, options, machine, id: own } = this.#host;
        const now = clock.now();
        if (now < this.#passOnAt) return;
        const departed = this.#departures.at(now);
        // Also a leader that is not trusted any more: of two members it can remove the one that is gone.
        const leader = departed.length > 0 ? machine.leader() : undefined;
        if (leader === undefined || (leader === own && !this.#hasHeardAll())) return;
        this.#passOnAt = now + options.minimumElectionTime;
        for (const departure of departed) this.#passOnTo(leader, departure, now);
    }

    #passOnTo(leader: RaftNodeId, { id, session, atMs }: Departure, now: number): void {
        const { id: own, isListed, gone, report } = this.#host;
        if (!isListed(id)) return;
        if (leader === own) gone(id);
        else report(leader, reportBytes({ id, session, agoMs: now - atMs }));
    }
}
