import { oneLine } from "../../../errors.js";
import { remember } from "../../bounded.js";
import { Throttle } from "../../throttle.js";
import type { RaftMessage, RaftNodeId } from "../../types.js";
import type { Arrival } from "../carry.js";
import { textOf } from "./text.js";

/** The body of a request, and of a response that answers it: a message, with the event that it arrives as. */
export interface Post {
    readonly event: Arrival;
    readonly message: RaftMessage;
}

/** The content type of every body. */
export const JSON_TYPE = "application/json";
/** The most requests to a node at a time: a node that does not answer holds no more. */
const MOST_AT_A_TIME = 8;
/** The most nodes to remember: more than a cluster has. */
const MOST_PEERS = 128;

/** Sends messages to other nodes, and warns when one cannot be reached. */
export class Poster {
    readonly #urlOf: (id: RaftNodeId) => string;
    readonly #headers: Readonly<Record<string, string>>;
    readonly #warn: (message: string) => void;
    readonly #peers = new Map<RaftNodeId, Peer>();

    constructor(
        urlOf: (id: RaftNodeId) => string,
        authorization: string | undefined,
        warn: (message: string) => void,
    ) {
        this.#urlOf = urlOf;
        this.#headers = { "content-type": JSON_TYPE, ...authorization !== undefined && { authorization } };
        this.#warn = warn;
    }

    /**
     * Sends a message to its destination. `deliver` gets what came back with status 200, and returns why it
     * is refused. Never rejects.
     */
    async post(post: Post, deliver: (body: unknown) => string | undefined): Promise<void> {
        const { destination: { id }, timeout } = post.message;
        const peer = this.#peerOf(id);
        if (peer.requests >= MOST_AT_A_TIME) return;
        peer.requests += 1;
        let url: URL | undefined;
        try {
            url = checkedUrl(this.#urlOf(id));
            const response = await fetch(url, {
                method: "POST",
                headers: this.#headers,
                body: JSON.stringify(post),
                redirect: "error",
                signal: AbortSignal.timeout(timeout),
            });
            const text = await textOf(response.body as AsyncIterable<Uint8Array> | null);
            const refused = response.ok ? undefined : oneLine(text.slice(0, 200));
            const problem = response.status === 200 ? deliver(JSON.parse(text)) : refused;
            const answers = `${shown(url)} answers ${response.status}`;
            peer.report(problem === undefined ? problem : `${answers}: ${problem}`);
        } catch (error) {
            const text = why(error, timeout);
            // Deno's errors quote the URL.
            peer.report(`${shown(url)}: ${url ? text.replaceAll(url.href, shown(url)) : text}`);
        } finally {
            peer.requests -= 1;
        }
    }

    #peerOf(id: RaftNodeId): Peer {
        const warn = (problem: string) => {
            try {
                this.#warn(`raftq: node ${id}: ${problem}`);
            } catch {
                // A logger that fails must not stop messages.
            }
        };
        const peer = this.#peers.get(id) ?? new Peer(warn);
        remember(this.#peers, id, peer, MOST_PEERS);
        return peer;
    }
}

/** A node that messages are sent to. */
class Peer {
    /** How many requests to it are under way. */
    requests = 0;
    #problem: string | undefined;
    readonly #warnings: Throttle;

    constructor(warn: (problem: string) => void) {
        this.#warnings = new Throttle(() => performance.now(), warn);
    }

    /** Warns of a problem unless the request before had the same one. */
    report(problem: string | undefined): void {
        if (problem === this.#problem) return;
        // One that the throttle dropped is said later.
        if (problem === undefined || this.#warnings.say(problem)) this.#problem = problem;
    }
}

/** The URL that the application gave. Throws without quoting it, since it may have a password. */
function checkedUrl(text: string): URL {
    let url: URL;
    try {
        url = new URL(text);
    } catch {
        throw new Error("`urlOf` returned no URL");
    }
    if (url.username === "" && url.password === "") return url;
    throw new Error("it has a user name or a password, which `fetch` refuses; use `secret`");
}

/** A URL without its query, which may be secret. */
function shown(url: URL | undefined): string {
    return url ? url.origin + url.pathname : "its URL";
}

/** Why a request failed, in words. */
function why(error: unknown, timeoutMs: number): string {
    const { name, cause } = (error ?? {}) as { name?: unknown; cause?: unknown };
    return name === "TimeoutError" ? `no answer within ${timeoutMs} ms` : oneLine(cause ?? error);
}
