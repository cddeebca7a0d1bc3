/** The id of a node: 1 to 64 bytes of UTF-8 without control characters. */
export type RaftNodeId = string;

/** What a node does in its cluster. */
export enum RaftRole {
    /** Stands for election, or was elected and no record of its term is committed yet. */
    CANDIDATE = 1,
    /** Follows a leader, waits for one, or led until its trust ended. */
    FOLLOWER = 2,
    /** Leads, and is trusted at this instant: never two nodes of a cluster at a time. */
    LEADER = 3,
}

/** A node as others are told of it. */
export interface RaftNode {
    id: RaftNodeId;
    /**
     * In milliseconds since 1970. In `getFollowers()`: when the node was last heard. In `getNode()`: when it
     * was made. 0 means that it has left, or is to leave.
     */
    time: number;
    /** Which run of the node it is, if known; with `time: 0`, only this one is meant. */
    session?: string | undefined;
}

/** The type of a message of the Raft machine. */
export type RaftMessageKind =
    | "pre_vote" | "pre_vote_answer" | "vote" | "vote_answer" | "append" | "append_answer" | "timeout_now"
    | "seek" | "here" | "join" | "leave" | "propose" | "propose_answer" | "gone";

/** A message from one node to another. It may be lost, doubled, reordered or late. */
export interface RaftMessage {
    /** The version of this format. */
    readonly v: 1;
    readonly kind: RaftMessageKind;
    /** The sender's cluster; absent while it belongs to none. */
    readonly cluster?: string | undefined;
    readonly from: {
        readonly id: RaftNodeId;
        /** Which durable state the sender has. */
        readonly incarnation: number;
        /** Which run of the sender it is. */
        readonly session: string;
    };
    /** The receiver: where the transport must deliver the message. */
    readonly destination: { readonly id: RaftNodeId };
    readonly term: number;
    /** How long it is worth trying to deliver the message: the minimum election time, in milliseconds. */
    readonly timeout: number;
    /** The message of the machine, as base64. */
    readonly body: string;
}

/** A line for the log. */
export interface LogMessage {
    readonly message: string;
    readonly level: "info" | "warn" | "error";
}

/** Another role of this node. */
export interface RoleChange {
    readonly role: RaftRole;
    readonly previousRole: RaftRole;
    readonly term: number;
    /** The leader that this node knows. */
    readonly leader: RaftNodeId | null;
}

/** Another leader of the cluster, as far as this node knows. */
export interface LeaderChange {
    readonly leader: RaftNodeId | null;
    readonly term: number;
}

/** A member of the cluster. */
export interface RaftMember {
    readonly id: RaftNodeId;
    /** Votes; false while it is admitted and has not caught up yet. */
    readonly isVoter: boolean;
    /** Votes and keeps the data, and never leads. */
    readonly isWitness: boolean;
    readonly priority: number;
}

/** Other members of the cluster, by a committed record. */
export interface MembershipChange {
    readonly members: readonly RaftMember[];
}

/** The events that are given to a node, with their messages. */
export interface Dispatched {
    /** Starts the node. Resolves once its state is restored; it waits for no write and no leader. */
    serviceStarted: { readonly node: RaftNode };
    /** The node leaves its cluster. */
    serviceCrashed: { readonly reason?: string | undefined };
    /** The cluster's new data: anything that JSON can hold. Resolves once it is committed. */
    replicateData: unknown;
    /** Another node may belong to the cluster, or with `time: 0` left it. */
    ackNode: RaftNode;
    voteRequestReceived: RaftMessage;
    voteResponseReceived: RaftMessage;
    dataReceived: RaftMessage;
    dataResponseReceived: RaftMessage;
}

/** The events of a node, with their messages. */
export interface Emitted {
    /** Send this to its destination, and dispatch it there as `voteRequestReceived`. */
    voteRequest: RaftMessage;
    /** As `voteRequest`, for `voteResponseReceived`. */
    voteResponse: RaftMessage;
    /** As `voteRequest`, for `dataReceived`. */
    syncData: RaftMessage;
    /** As `voteRequest`, for `dataResponseReceived`. */
    dataResponse: RaftMessage;
    log: LogMessage;
    roleChanged: RoleChange;
    leaderChanged: LeaderChange;
    /** The data of the cluster, whenever it changed. Of several changes in a row some may be left out. */
    committed: unknown;
    membershipChanged: MembershipChange;
}

/** The name of an event. */
export type RaftEventType = keyof Dispatched | keyof Emitted;

/** `unknown` if `E` is the union of all event types, otherwise `never`: for names that are no literals. */
export type Any<E> = RaftEventType extends E ? unknown : never;

/** The message of any event but those of data, which may be anything. */
export type MessageType =
    | Dispatched[Exclude<keyof Dispatched, "replicateData">] | Emitted[Exclude<keyof Emitted, "committed">];

/** A listener of the messages between nodes. */
export type CallbackFunc = (message: RaftMessage) => unknown;

/** Ends a subscription. */
export type UnsubscribeFunc = () => void;

/** Where a node keeps its state. Both functions may return their result or a promise of it. */
export interface PersistAgent {
    /**
     * Keeps `data`, in place of what it kept before, so that it survives a crash of the machine: it may
     * return only then. `data` is a plain object for `JSON.stringify`. Called again only after it has
     * returned. If it throws, or takes longer than `maximumElectionTime`, the node neither votes nor leads
     * until a later call succeeds.
     */
    persist(node: RaftNode, data: PersistedState): void | PromiseLike<void>;
    /**
     * Returns what `persist` kept last, or `undefined` if it was never called for this node. A state that
     * cannot be read is not `undefined`: throw an error for it. A node that takes a lost state for none comes
     * back as a new member.
     */
    restore(node: RaftNode): unknown;
}

/** The state of a node, for `JSON.stringify`. */
export interface PersistedState {
    /** The version of this format. */
    readonly raftq: 1;
    readonly id: RaftNodeId;
    /** The state of the machine, as base64, with a checksum. */
    readonly state: string;
}

/** The right to act as the leader. */
export interface Fence {
    /** The term, larger than any earlier leader's. What the leader writes to must refuse a smaller one. */
    readonly token: number;
    /**
     * For how many milliseconds this node is trusted, unless a quorum answers another heartbeat: `Infinity`
     * for the only voter.
     */
    readonly trustedForMs: number;
}

/** How many messages a node refused, by reason. */
export interface RefusedMessages {
    /** Values that are no message of this package, and events that do not exist or lack a field. */
    readonly malformed: number;
    /** Damaged, or of another version. */
    readonly invalid: number;
    /** From another cluster. */
    readonly cluster: number;
    /** For another node, or for an earlier state of this one. */
    readonly address: number;
    /** Against the protocol: no correct node sends them. */
    readonly protocol: number;
}
