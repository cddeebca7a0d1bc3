import { isName, shown } from "./names.js";
import type { RaftMessage, RaftMessageKind } from "./types.js";

/** The event with which each kind of message leaves. */
const EVENTS = {
    pre_vote: "voteRequest", vote: "voteRequest", seek: "voteRequest", join: "voteRequest",
    leave: "voteRequest",
    pre_vote_answer: "voteResponse", vote_answer: "voteResponse", here: "voteResponse",
    append: "syncData", timeout_now: "syncData", propose_answer: "syncData",
    append_answer: "dataResponse", propose: "dataResponse", gone: "dataResponse",
} as const satisfies Record<RaftMessageKind, string>;

/** The event with which a message of this kind leaves. */
export function eventOf(kind: RaftMessageKind): (typeof EVENTS)[RaftMessageKind] {
    return EVENTS[kind];
}

/** The longest body that a node reads, in characters: a record of the maximum size, and some more. */
const LONGEST_BODY = 1_500_000;

/** What a node reads of a message. */
export interface Arrived {
    readonly kind: string;
    readonly cluster: string | undefined;
    readonly from: { readonly id: string; readonly session: string };
    readonly to: string;
    readonly body: Uint8Array;
}

/** The message that a value is, or why it is none. Never throws. */
export function read(value: unknown): Arrived | string {
    try {
        const message = (value ?? {}) as { [K in keyof RaftMessage]?: unknown };
        const { v, kind, cluster, from, destination, body } = message;
        if (v !== 1) return `its version \`v\` is ${shown(v)}, not 1`;
        if (typeof kind !== "string") return `its \`kind\` is ${shown(kind)}`;
        if (typeof body !== "string") return "its `body` is no string";
        if (body.length > LONGEST_BODY) return `its \`body\` has more than ${LONGEST_BODY} characters`;
        const { id, session } = (from ?? {}) as { id?: unknown; session?: unknown };
        const { id: to } = (destination ?? {}) as { id?: unknown };
        if (!isName(id) || !isName(session)) return "its `from` is incomplete or too long";
        if (!isName(to)) return "its `destination` is incomplete or too long";
        if (cluster !== undefined && typeof cluster !== "string") return "its `cluster` is no string";
        const bytes = bytesOf(body);
        return bytes ? { kind, cluster, from: { id, session }, to, body: bytes } : "its `body` is no base64";
    } catch {
        return "it cannot be read";
    }
}

/** The bytes of a base64 text; `undefined` if it is none. */
function bytesOf(text: string): Uint8Array | undefined {
    try {
        return fromBase64(text);
    } catch {
        return undefined;
    }
}

/** Bytes as base64. */
export function toBase64(bytes: Uint8Array): string {
    let text = "";
    // As many arguments as every engine takes.
    for (let at = 0; at < bytes.length; at += 4096) {
        text += String.fromCharCode.apply(null, bytes.subarray(at, at + 4096) as unknown as number[]);
    }
    return btoa(text);
}

/** The bytes of a base64 text. Throws if it is none. */
export function fromBase64(text: string): Uint8Array {
    const chars = atob(text);
    const bytes = new Uint8Array(chars.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = chars.charCodeAt(at);
    return bytes;
}
