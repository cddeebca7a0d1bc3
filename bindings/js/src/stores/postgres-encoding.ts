import { encodingLacks, lacksCharacter, postgresSql } from "../core.js";
import { StoreError } from "../errors.js";
import type { Job } from "../store.js";
import type { Queryable } from "./client.js";
import { codeOf } from "./postgres-faults.js";

/** Maximum number of remembered answers. */
const MOST_KNOWN = 20_000;

/** What a text is for, and the text. */
type Text = readonly ["election" | "candidate" | "meta text", string];

/**
 * Which texts the database's encoding can hold. The server would refuse a whole batch because of one, so it
 * is asked before. `encoding` is undefined if it lacks no character.
 */
export class Encoding {
    readonly #known = new Map<string, boolean>();

    constructor(readonly encoding: string | undefined) {}

    /** Asks about texts that are not known yet. If they do not all fit, it asks about halves of them. */
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

    /** Why a job cannot be kept, if it cannot. */
    refusal(store: string, job: Job): StoreError | undefined {
        const lacking = textsOf(job).find(([, text]) => this.#known.get(text) === false);
        if (!lacking || this.encoding === undefined) return undefined;
        return new StoreError("refused", `${store}: ${encodingLacks(this.encoding, ...lacking)}`);
    }
}

function textsOf({ election, request }: Job): Text[] {
    const texts: Text[] = [["election", election]];
    // The candidate's name, `#` and the number of its run.
    if ("holder" in request) {
        texts.push(["candidate", request.holder.slice(0, request.holder.lastIndexOf("#"))]);
    }
    if (request.op === "acquire" && request.meta !== undefined) texts.push(["meta text", request.meta]);
    return texts;
}

/** A `bytea[]` of texts in UTF-8. */
function byteas(texts: readonly string[]): string {
    const hex = (byte: number) => byte.toString(16).padStart(2, "0");
    const quoted = texts.map((text) => `"\\\\x${Array.from(new TextEncoder().encode(text), hex).join("")}"`);
    return `{${quoted.join(",")}}`;
}
