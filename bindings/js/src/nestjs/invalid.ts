import { ElectorError } from "../errors.js";

/** Refuses what an application configured or decorated. */
export function invalid(message: string): never {
    throw new ElectorError("INVALID_OPTIONS", message);
}
