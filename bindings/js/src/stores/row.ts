import type { Row } from "../core.js";
import type { SqlRow } from "./client.js";
import { big, maybeBig, maybeText } from "./client.js";

const LARGEST_TOKEN = (1n << 53n) - 1n;

/** The token of a row; `undefined` if another program wrote a value that is no token. */
export function token(value: unknown): bigint | undefined {
    const found = maybeBig(value);
    return found !== undefined && found > 0n && found <= LARGEST_TOKEN ? found : undefined;
}

/** The lease row in a statement's answer, if there is one. */
export function shown(row: SqlRow): Row | undefined {
    const expiresUs = maybeBig(row["expires_us"]);
    if (expiresUs === undefined) return undefined;
    const remaining = big(row["remaining_us"]);
    const leaseMs = maybeBig(row["lease_ms"]);
    return {
        holder: maybeText(row["leader_id"]),
        token: token(row["token"]),
        expiresUs,
        remainingUs: remaining > 0n ? remaining : 0n,
        leaseMs: leaseMs !== undefined && leaseMs >= 0n ? Number(leaseMs) : undefined,
        meta: maybeText(row["meta"]),
    };
}
