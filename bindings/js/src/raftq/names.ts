import { oneLine } from "../errors.js";

/** The longest id of a node and the longest name of a run, in UTF-16 units; the machine checks the bytes. */
const LONGEST = 64;

/** Whether a value is well-formed text of 1 to 64 units. */
export function isName(value: unknown): value is string {
    const isShort = typeof value === "string" && value.length > 0 && value.length <= LONGEST;
    return isShort && !/\p{Surrogate}/u.test(value);
}

/** A value as it would be written in code. */
export function shown(value: unknown): string {
    return typeof value === "string" ? JSON.stringify(value).slice(0, 80) : oneLine(value).slice(0, 80);
}
