import { ElectorError } from "../errors.js";

/** Throws `INVALID_OPTIONS` for a wrong configuration or decorator. */
export function invalid(message: string): never {
    throw new ElectorError("INVALID_OPTIONS", message);
}
