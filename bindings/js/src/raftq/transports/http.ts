import { shown } from "../names.js";
import { checkNames, refuse } from "../options.js";
import type { Raftq } from "../raftq.js";
import type { RaftMessage, RaftNodeId, UnsubscribeFunc } from "../types.js";
import { carry, idOf, isArrival } from "./carry.js";
import { Answers } from "./http/answers.js";
import { JSON_TYPE, Poster } from "./http/post.js";
import type { Post } from "./http/post.js";
import { answer, bodyOf, ofNode, ofWeb, webResponse } from "./http/server.js";
import type { Asked, HttpRequest, HttpResponse, Reply } from "./http/server.js";

export type { HttpRequest, HttpResponse } from "./http/server.js";

/** A message for a node that runs here. */
interface Delivery {
    readonly message: Partial<RaftMessage>;
    readonly deliver: () => void;
}

/** The options of {@link HttpTransport}. */
export interface HttpOptions {
    /** Where a node's handler listens: `(id) => "http://" + id + ":5050/raft"`. */
    readonly urlOf: (id: RaftNodeId) => string;
    /**
     * The same on all nodes: printable ASCII without spaces. A request without it is refused. It is not
     * encrypted: use `https` where others can read the traffic.
     */
    readonly secret?: string | undefined;
    /** Told when a node cannot be reached or refuses messages, once for each cause. Default: console.warn. */
    readonly warn?: ((message: string) => void) | undefined;
}

/**
 * Carries messages as JSON in POST requests, with `fetch`. The answer to a message comes in the response to
 * its request, if it is ready in time.
 *
 * ```js
 * const transport = new HttpTransport({ urlOf: (id) => `http://${id}:5050/raft`, secret });
 * transport.attach(raft);
 * createServer(transport.handler).listen(5050);
 * ```
 */
export class HttpTransport {
    readonly #authorization: string | undefined;
    readonly #poster: Poster;
    readonly #answers = new Answers();
    readonly #nodes = new Set<Raftq>();

    /** Throws an `ElectorError` with the code `INVALID_OPTIONS` if an option is wrong. */
    constructor(options: HttpOptions) {
        const { urlOf, secret, warn = console.warn } = checked(options);
        this.#authorization = secret === undefined ? undefined : `Bearer ${secret}`;
        this.#poster = new Poster(urlOf, this.#authorization, warn);
    }

    /** Carries the messages of a node. Returns what ends that. */
    attach(raft: Raftq): UnsubscribeFunc {
        this.#nodes.add(raft);
        const end = carry(raft, (event, message) => {
            if (!this.#answers.give({ event, message })) void this.#post({ event, message });
        });
        return () => {
            this.#nodes.delete(raft);
            end();
        };
    }

    /** Handles the requests of other nodes, in `http.createServer` and in Express. */
    readonly handler = (request: HttpRequest, response: HttpResponse): void => {
        const reply = this.#reply(ofNode(request));
        // A client that is gone needs no answer.
        reply.then((made) => answer(response, made)).catch(() => undefined);
    };

    /** Handles the requests of other nodes in servers with the web's `Request`: Deno's, Bun's, Hono's. */
    readonly fetch = async (request: Request): Promise<Response> => {
        return webResponse(await this.#reply(ofWeb(request)));
    };

    /** Sends a message, and gives the one in the response to its node. */
    #post(post: Post): Promise<void> {
        return this.#poster.post(post, (answered) => {
            const delivery = this.#deliveryOf(answered);
            if ("status" in delivery) return delivery.text;
            delivery.deliver();
            return undefined;
        });
    }

    async #reply(asked: Asked): Promise<Reply> {
        const read = await bodyOf(asked, this.#authorization);
        if ("status" in read) return read;
        const delivery = this.#deliveryOf(read.body);
        if ("status" in delivery) return delivery;
        // A node may answer at once.
        const answer = this.#answers.to(delivery.message);
        delivery.deliver();
        const post = await answer;
        return post ? { status: 200, text: JSON.stringify(post), type: JSON_TYPE } : { status: 204 };
    }

    /** A message that was posted, and what gives it to its node; or why it is refused. */
    #deliveryOf(body: unknown): Delivery | Reply {
        const { event, message } = (body ?? {}) as { event?: unknown; message?: Partial<RaftMessage> | null };
        if (!isArrival(event)) return { status: 400, text: `there is no event ${shown(event)}` };
        const to = idOf(message?.destination);
        // Of two runs of a node the newer one.
        const raft = [...this.#nodes].reverse().find((node) => node.getNode().id === to);
        if (!raft) return { status: 404, text: `node ${shown(to)} does not run here` };
        const deliver = () => void raft.dispatch(event, message as RaftMessage);
        return { message: message as Partial<RaftMessage>, deliver };
    }
}

function checked(options: HttpOptions): HttpOptions {
    checkNames(options, ["urlOf", "secret", "warn"]);
    const { urlOf, secret, warn } = options as { [K in keyof HttpOptions]?: unknown };
    if (typeof urlOf !== "function") {
        refuse(`\`urlOf\` is ${shown(urlOf)}; give a function from an id to a URL`);
    }
    const isSecret = typeof secret === "string" && /^[\x21-\x7e]+$/.test(secret);
    // Also if it is given as `undefined`: a node must not start open because a variable is not set.
    if ("secret" in options && !isSecret) {
        // A secret is not printed.
        const found = typeof secret === "string" && secret !== "" ? "other text" : shown(secret);
        refuse(`\`secret\` is ${found}; give printable ASCII without spaces, or leave it out`);
    }
    if (warn !== undefined && typeof warn !== "function") {
        refuse(`\`warn\` is ${shown(warn)}; give a function`);
    }
    return options;
}
