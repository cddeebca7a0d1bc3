// Tests whose subject is real time.
import { test } from "node:test";
import type { Witness } from "./witness.mjs" with { "resolution-mode": "import" };

export type { Witness };

/** A test with a witness of the machine's delays; it runs once more if they were too long. */
export function timed(name: string, body: (witness: Witness) => Promise<void>): void {
    test(name, async () => {
        const { witnessed } = await import("./witness.mjs");
        await witnessed(body);
    });
}
