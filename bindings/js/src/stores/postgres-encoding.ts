import { encodingLacks, lacksCharacter, postgresSql } from "../core.js";
import { StoreError } from "../errors.js";
import type { Job } from "../store.js";
import type { Queryable } from "./client.js";
import { codeOf } from "./postgres-faults.js";

/** The maximum number of texts whose check is remembered. */
const MOST_KNOWN = 20_000;

/** A text of a request, and what it is used for. */
type Text = readonly ["election" | "candidate" | "meta text", string];

/**
 * Knows which texts the database's encoding can store. One text that it cannot store fails a whole batch, so
 * texts are checked first. `encoding` is undefined if the encoding has all characters.
 */
export class Encoding {
    readonly #known = new Map<string, boolean>();

    constructor(readonly encoding: string | undefined) {}

    /** Checks texts that are not known yet. If the server refuses some, each half of them is checked. */
    async learn(client: Queryable, jobs: readonly Job[]): Promise<void> {
        if (this.encoding === undefined) return;
        if (this.#known.size > MOST_KNOWN) this.#known.clear();
        const texts = jobs.flatMap(textsOf).map(([, text]) => text);
        const isNew = (text: string) => !/^[\0-\x7f]*$/.test(text) && !this.#known.has(text);
        const open = [[...new Set(texts.filter(isNew))]];
        for (let some = open.pop(); some; some = open.pop()) {
            if (some.length === 0) continue;
            const holds = await this.#holds(client, some);
            if (holds || some.length === 1) {
                for (const text of some) this.#known.set(text, holds);
            } else {
                const half = some.length >> 1;
                open.push(some.slice(0, half), some.slice(half));
            }
        }
    }

    async #holds(client: Queryable, texts: readonly string[]): Promise<boolean> {
        try {
            await client.query(postgresSql("keeps", "public", "text"), [byteas(texts)]);
            return true;
        } catch (error) {
            if (lacksCharacter(codeOf(error))) return false;
            throw error;
        }
    }

    /** The refusal of a job with a text that the encoding cannot store, if it has one. */
    refusal(store: string, job: Job): StoreError | undefined {
        const lacking = textsOf(job).find(([, text]) => this.#known.get(text) === false);
        if (!lacking || this.encoding === undefined) return undefined;
        return new StoreError("refused", `${store}: ${encodingLacks(this.encoding, ...lacking)}`);
    }
}

function textsOf({ election, request }: Job): Text[] {
    const texts: Text[] = [["election", election]];
    // A holder is the candidate's name, `#` and its incarnation.
    if ("holder" in request) {
        texts.push(["candidate", request.holder.slice(0, request.holder.lastIndexOf("#"))]);
    }
    if (request.op === "acquire" && request.meta !== undefined) texts.push(["meta text", request.meta]);
    return texts;
}

/** A `bytea[]` literal of texts in UTF-8. */
function byteas(texts: readonly string[]): string {
    const hex = (byte: number) => byte.toString(16).padStart(2, "0");
    const quoted = texts.map((text) => `"\\\\x${Array.from(new TextEncoder().encode(text), hex).join("")}"`);
    return `{${quoted.join(",")}}`;
}
