/** The options of a member. Times are milliseconds. */
export interface RaftMachineOptions {
    /** The member's id, 1 to 64 bytes. */
    readonly id: string;
    /** A random number from 1 to 2^53 - 1, drawn anew at each start. A restored state keeps its own. */
    readonly incarnation: number;
    /** Seeds the election times. */
    readonly seed: bigint;
    readonly heartbeatMs: number;
    readonly electionMinMs: number;
    readonly electionMaxMs: number;
    /** A caught-up voter of higher priority is handed leadership; 0 to 255. */
    readonly priority: number;
    /** Votes and keeps the record, and never leads. */
    readonly isWitness: boolean;
    /** The founding list, equal on all members of it. */
    readonly members?: Founder[] | undefined;
}

/** One member of a founding list. */
export interface Founder {
    readonly id: string;
    readonly isWitness: boolean;
}

/** A member's relation to a cluster. */
export type Standing = "blank" | "founding" | "bound" | "left";

/** Why a term ended. */
export type DeposedReason = "released" | "expired" | "lost" | "stalled" | "revoked";

/** The right of a member to act as the leader. */
export interface RaftLeadership {
    /** The term while the member leads. */
    readonly token?: number;
    /** When trust ends unless a quorum answers another heartbeat; 0 without a term. */
    readonly trustedUntilMs: number;
}

/** A member as a record lists it. */
export interface RaftMember {
    readonly id: string;
    /** 0 while the member has not answered yet. */
    readonly incarnation: number;
    readonly priority: number;
    readonly isVoter: boolean;
    readonly isWitness: boolean;
}

/** How many messages a member refused, by reason. */
export interface RaftRefused {
    /** Damaged, foreign, or of another version. */
    readonly invalid: number;
    /** From another cluster. */
    readonly cluster: number;
    /** For another member, or for an earlier incarnation of this one. */
    readonly address: number;
    /** Against the protocol. */
    readonly protocol: number;
}

/** Why a proposal or a hand-over was refused. Except for `unknown` it had no effect. */
export type RaftRefusal =
    "notLeader" | "notReady" | "busy" | "noQuorum" | "notVoter" | "tooLarge" | "indexMismatch" | "unknown";

/** A message's type. */
export type RaftMessageKind =
    | "pre_vote" | "pre_vote_answer" | "vote" | "vote_answer" | "append" | "append_answer" | "timeout_now"
    | "seek" | "here" | "join" | "leave" | "propose" | "propose_answer";

/** An event of a member. `elected`, `stopNewWork`, `renewed` and `deposed` carry the token of their term. */
export type RaftEvent =
    | { readonly event: "elected" | "stopNewWork" | "renewed"; readonly token: number }
    | { readonly event: "deposed"; readonly token: number; readonly reason: DeposedReason }
    | { readonly event: "leaderChanged"; readonly leader?: string; readonly term: number }
    | {
        readonly event: "committed";
        readonly term: number;
        readonly index: number;
        readonly members: readonly RaftMember[];
        readonly data: Uint8Array;
    }
    | { readonly event: "changeRefused"; readonly request: number; readonly why: string }
    | { readonly event: "left" }
    | { readonly event: "standingChanged"; readonly standing: Standing; readonly cluster?: string }
    | { readonly event: "otherCluster"; readonly member: string; readonly cluster?: string }
    | {
        readonly event: "answered";
        readonly request: number;
        /** The index of the record; absent if it was refused. */
        readonly index?: number;
        readonly refusal?: RaftRefusal;
        /** The leader that `notLeader` names. */
        readonly leader?: string;
        /** The limit of `tooLarge` in bytes; the index of `indexMismatch`. */
        readonly number?: number;
    };

/** An output of a member. Poll until it is a number: the instant at which to call `timeout`. */
export type RaftOutput =
    | number
    | { readonly kind: "persist"; readonly ticket: number; readonly bytes: Uint8Array }
    | {
        readonly kind: "send";
        readonly to: string;
        readonly bytes: Uint8Array;
        readonly type: RaftMessageKind;
        readonly term: number;
        readonly cluster?: string;
    }
    | ({ readonly kind: "event" } & RaftEvent);
