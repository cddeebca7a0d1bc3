import { isName } from "../names.js";
import type { Raftq } from "../raftq.js";
import type { RaftMessage, RaftNodeId, UnsubscribeFunc } from "../types.js";

/** The events with which messages leave a node, each with the one with which they arrive at another. */
const ARRIVALS = {
    voteRequest: "voteRequestReceived",
    voteResponse: "voteResponseReceived",
    syncData: "dataReceived",
    dataResponse: "dataResponseReceived",
} as const;

/** The event with which a message arrives. */
export type Arrival = (typeof ARRIVALS)[keyof typeof ARRIVALS];

/** Gives each message of a node to `send`, which carries it to `message.destination.id`. */
export function carry(raft: Raftq, send: (arrival: Arrival, message: RaftMessage) => void): UnsubscribeFunc {
    const events = Object.keys(ARRIVALS) as (keyof typeof ARRIVALS)[];
    const ends = events.map((event) => raft.subscribe(event, (message) => send(ARRIVALS[event], message)));
    return () => ends.forEach((end) => end());
}

/** Whether messages arrive with an event of this name. Other events must not come from the network. */
export function isArrival(event: unknown): event is Arrival {
    return Object.values<unknown>(ARRIVALS).includes(event);
}

/** The id of a node in a message that came from outside. */
export function idOf(node: { readonly id?: unknown } | null | undefined): RaftNodeId | undefined {
    const id = node?.id;
    return isName(id) ? id : undefined;
}
