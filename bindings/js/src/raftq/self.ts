import type { RaftNode, RaftNodeId } from "./types.js";

/** This node as `getNode()` returns it. */
export class Self {
    /** Its properties are own and enumerable ones, so that `JSON.stringify` writes them. */
    readonly node: RaftNode;
    #id: RaftNodeId = "";
    #time = Date.now();

    /** Setting the node's `time` to 0 calls `leaves`. */
    constructor(session: string, leaves: () => void) {
        const setTime = (time: number) => {
            this.#time = time;
            if (time === 0) leaves();
        };
        this.node = Object.defineProperties({} as RaftNode, {
            id: { enumerable: true, get: () => this.#id },
            time: { enumerable: true, get: () => this.#time, set: setTime },
            session: { enumerable: true, value: session },
        });
    }

    /** The node's id; empty before the start. */
    get id(): RaftNodeId {
        return this.#id;
    }

    set id(id: RaftNodeId) {
        this.#id = id;
    }
}
