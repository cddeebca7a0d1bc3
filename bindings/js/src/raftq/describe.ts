import type { RaftEvent, RaftMember as ListedMember } from "./core.js";
import type { RaftMember } from "./types.js";

/** Members as applications see them. */
export function publicMembers(members: readonly ListedMember[]): RaftMember[] {
    return members.map(({ id, isVoter, isWitness, priority }) => ({ id, isVoter, isWitness, priority }));
}

/** A member's relation to a cluster, in words. */
export function standingText(change: Extract<RaftEvent, { event: "standingChanged" }>): string {
    const { standing, cluster } = change;
    switch (standing) {
        case "blank":
            return "this node belongs to no cluster";
        case "founding":
            return `this node founded cluster ${cluster}, which may still yield to another`;
        case "bound":
            return `this node belongs to cluster ${cluster}`;
        case "left":
            return `this node left cluster ${cluster}, and joins it again at its next start`;
    }
}
