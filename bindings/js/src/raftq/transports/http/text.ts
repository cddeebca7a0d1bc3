import { ElectorError } from "../../../errors.js";

/** The longest body, in characters: twenty times a message with data of the maximum size. */
const LONGEST = 2_000_000;

/** The text of a body. Throws an `ElectorError` if it is too long. */
export async function textOf(body: AsyncIterable<Uint8Array> | null): Promise<string> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const part of body ?? []) {
        text += decoder.decode(part, { stream: true });
        if (text.length > LONGEST) throw new ElectorError("TOO_LARGE", `more than ${LONGEST} characters`);
    }
    return text + decoder.decode();
}
