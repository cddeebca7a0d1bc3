import type { Clock } from "../clock.js";
import { hold } from "../clock.js";
import { ElectorError } from "../errors.js";
import type { RaftEvent } from "./core.js";

type Answer = Extract<RaftEvent, { event: "answered" }>;

/** What proposals need of their node. */
export interface Host {
    readonly clock: Clock;
    /** A number for the next request to the machine. */
    readonly nextRequest: () => number;
    /** Gives a proposal to the machine. */
    readonly propose: (request: number, data: Uint8Array) => void;
    /** Whether the node is a member of a cluster, as far as it knows. */
    readonly isMember: () => boolean;
    /** How long to wait before a refused proposal is retried, in milliseconds. */
    readonly retryMs: number;
    /** How long a proposal is retried, in milliseconds. */
    readonly limitMs: number;
}

/** A proposal, and those that wait for it. */
interface Proposal {
    data: Uint8Array;
    readonly callers: { readonly resolve: () => void; readonly reject: (error: ElectorError) => void }[];
    /** Until when it is retried. */
    untilMs: number;
    /** Its number while the machine has it. */
    request: number | undefined;
    /** The timer of the next retry. */
    timer: unknown;
}

/** The refusals after which the same proposal may be accepted soon. It had no effect. */
const PASSING = ["notLeader", "notReady", "busy"];

/**
 * The proposals of a node, one after the other, so that older data never replaces newer data. While one waits
 * for its answer, the next ones become one, with the data of the last: it replaces the others as a whole.
 *
 * A proposal that was refused because there is no leader at the moment is retried until its time is over: it
 * had no effect. One whose answer was lost is not retried: it may have taken effect.
 */
export class Proposals {
    readonly #host: Host;
    #current: Proposal | undefined;
    #next: Proposal | undefined;

    constructor(host: Host) {
        this.#host = host;
    }

    /** Proposes data. Resolves once it, or later data of this node, is committed. */
    propose(data: Uint8Array): Promise<void> {
        return new Promise((resolve, reject) => {
            this.#next ??= { data, callers: [], untilMs: 0, request: undefined, timer: undefined };
            this.#next.data = data;
            this.#next.callers.push({ resolve, reject });
            if (!this.#current) this.#begin();
        });
    }

    /** The machine answered. Returns whether that was to a proposal. */
    answered(answer: Answer): boolean {
        const current = this.#current;
        if (!current || current.request !== answer.request) return false;
        const { refusal = "" } = answer;
        if (answer.index !== undefined) {
            this.#end(current, undefined);
        } else if (PASSING.includes(refusal)) {
            this.#retry(current);
        } else {
            this.#end(current, refused(answer));
        }
        return true;
    }

    /** Rejects all proposals. One that the machine has may still take effect. */
    close(): void {
        const [current, next] = [this.#current, this.#next];
        this.#current = this.#next = undefined;
        if (current) this.#host.clock.clearTimeout(current.timer);
        for (const proposal of [current, next]) {
            if (!proposal) continue;
            const [code, why] = proposal.request === undefined
                ? ["NOT_COMMITTED", "the node ended before a leader had the data; it had no effect"] as const
                : ["UNKNOWN", "the node ended: the data may be committed now or later, or never"] as const;
            for (const { reject } of proposal.callers) reject(new ElectorError(code, why));
        }
    }

    #begin(): void {
        this.#current = this.#next;
        this.#next = undefined;
        if (!this.#current) return;
        this.#current.untilMs = this.#host.clock.now() + this.#host.limitMs;
        this.#make(this.#current);
    }

    #make(proposal: Proposal): void {
        // A leader does not answer one that is no member.
        if (!this.#host.isMember()) return this.#retry(proposal);
        const request = this.#host.nextRequest();
        proposal.request = request;
        this.#host.propose(request, proposal.data);
    }

    #retry(proposal: Proposal): void {
        proposal.request = undefined;
        const { clock, retryMs, limitMs } = this.#host;
        if (clock.now() >= proposal.untilMs) {
            const [code, why] = this.#host.isMember()
                ? ["NOT_COMMITTED", "no leader accepted the data"] as const
                : ["NOT_MEMBER", "this node was not admitted to a cluster"] as const;
            const message = `${why} within ${limitMs} ms; it had no effect`;
            return this.#end(proposal, new ElectorError(code, message));
        }
        proposal.timer = clock.setTimeout(() => this.#make(proposal), retryMs);
        hold(proposal.timer, "alive");
    }

    #end({ callers }: Proposal, error: ElectorError | undefined): void {
        for (const { resolve, reject } of callers) {
            if (error) reject(error);
            else resolve();
        }
        this.#begin();
    }
}

function refused({ refusal, number }: Answer): ElectorError {
    // A leader of another version may take less.
    if (refusal === "tooLarge") {
        const found = `the leader takes at most ${number} bytes as JSON`;
        return new ElectorError("TOO_LARGE", `${found}; the data had no effect`);
    }
    return new ElectorError(
        "UNKNOWN",
        "the leader was lost or did not answer: the data may be committed now or later, or never. Read " +
            "getData() before you replicate again",
    );
}
