import { ElectorError, oneLine } from "../../../errors.js";
import { JSON_TYPE } from "./post.js";
import { textOf } from "./text.js";

/** What is used of a request of Node's `http` and of Express. */
export interface HttpRequest extends AsyncIterable<Uint8Array> {
    readonly method?: string | undefined;
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
    /** Whether the body was not read yet. */
    readonly readable?: boolean;
    /** The body, if a parser has read it. Express 4 sets it even if none has. */
    readonly body?: unknown;
}

/** What is used of a response of Node's `http` and of Express. */
export interface HttpResponse {
    statusCode: number;
    setHeader(name: string, value: string): unknown;
    end(text?: string): unknown;
}

/** A request, from whichever server. */
export interface Asked {
    readonly method: string | undefined;
    /** A header, or empty text. */
    readonly headerOf: (name: string) => string;
    /** The parsed body. */
    readonly body: () => unknown;
}

/** A response: a status, and what it means or a message as JSON. */
export interface Reply {
    readonly status: number;
    readonly text?: string | undefined;
    readonly type?: string;
}

/** A request of Node's `http` or of Express. */
export function ofNode(request: HttpRequest): Asked {
    return {
        method: request.method,
        headerOf: (name) => String(request.headers[name] ?? ""),
        body: () => {
            const wasRead = request.readable !== true && request.body !== undefined;
            return wasRead ? parsed(request.body) : textOf(request).then(JSON.parse);
        },
    };
}

/** A body that a parser has read: of JSON, text or bytes. */
function parsed(body: unknown): unknown {
    if (body instanceof Uint8Array) return JSON.parse(new TextDecoder().decode(body));
    return typeof body === "string" ? JSON.parse(body) : body;
}

/** Answers a request of Node's `http` or of Express. */
export function answer(response: HttpResponse, { status, text, type }: Reply): void {
    response.statusCode = status;
    if (type !== undefined) response.setHeader("content-type", type);
    response.end(text);
}

/** A request of the web's class. */
export function ofWeb(request: Request): Asked {
    return {
        method: request.method,
        headerOf: (name) => request.headers.get(name) ?? "",
        body: () => textOf(request.body as AsyncIterable<Uint8Array> | null).then(JSON.parse),
    };
}

/** A response of the web's class. */
export function webResponse({ status, text, type }: Reply): Response {
    const headers = type === undefined ? {} : { "content-type": type };
    return new Response(text ?? null, { status, headers });
}

/** The body of a request, or why it is refused. */
export async function bodyOf(
    { method, headerOf, body }: Asked, authorization: string | undefined,
): Promise<{ readonly body: unknown } | Reply> {
    if (method !== "POST") return { status: 405, text: "a node of elector-wasm/raftq: only POST" };
    if (authorization !== undefined && !isSame(headerOf("authorization"), authorization)) {
        return { status: 401, text: "the secret is missing or differs from this node's" };
    }
    // A web page cannot send this type to another origin without the server's consent.
    if (!headerOf("content-type").startsWith(JSON_TYPE)) {
        return { status: 415, text: `the content-type must be ${JSON_TYPE}` };
    }
    try {
        return { body: await body() };
    } catch (error) {
        return { status: error instanceof ElectorError ? 413 : 400, text: oneLine(error) };
    }
}

/** Compares in a time that does not tell how much of the secret was right. */
function isSame(given: string, expected: string): boolean {
    if (given.length !== expected.length) return false;
    let differs = 0;
    for (let at = 0; at < expected.length; at++) differs |= given.charCodeAt(at) ^ expected.charCodeAt(at);
    return differs === 0;
}
