import { oneLine } from "../errors.js";

/** The longest id of a node and the longest name of a run, in UTF-16 units; the machine checks the bytes. */
const LONGEST = 64;

/** What to do about a value that is no id. */
export const AN_ID = "give an id, a text of 1 to 64 bytes";

/** Whether a value is well-formed text of 1 to 64 units. */
export function isName(value: unknown): value is string {
    const isShort = typeof value === "string" && value.length > 0 && value.length <= LONGEST;
    return isShort && !/\p{Surrogate}/u.test(value);
}

/** A value in a few characters, for errors. Never throws. */
export function shown(value: unknown): string {
    if (typeof value === "object" && value !== null) return "an object";
    return (typeof value === "string" ? JSON.stringify(value) : oneLine(value)).slice(0, 80);
}
