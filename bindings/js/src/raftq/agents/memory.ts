import type { PersistAgent } from "../types.js";

/** Keeps the states of nodes in memory: for tests, and for nodes that leave when they end. */
export function memoryAgent(): PersistAgent {
    const states = new Map<string, string>();
    return {
        persist: ({ id }, data) => void states.set(id, JSON.stringify(data)),
        restore: ({ id }) => {
            const text = states.get(id);
            return text === undefined ? undefined : JSON.parse(text) as unknown;
        },
    };
}
