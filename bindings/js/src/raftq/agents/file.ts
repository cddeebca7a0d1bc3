import { ElectorError, oneLine } from "../../errors.js";
import { shown } from "../names.js";
import type { PersistAgent } from "../types.js";

/** The parts of `node:fs/promises` that are used. */
interface Files {
    lstat(path: string): Promise<unknown>;
    mkdir(path: string): Promise<unknown>;
    open(path: string, flags: string): Promise<FileHandle>;
    readFile(path: string, encoding: "utf8"): Promise<string>;
    rename(from: string, to: string): Promise<void>;
}

interface FileHandle {
    writeFile(text: string): Promise<void>;
    sync(): Promise<void>;
    close(): Promise<void>;
}

/** The parts of `node:path` that are used. */
interface Paths {
    resolve(...parts: string[]): string;
}

/**
 * Keeps the state of each node as `ID.json` in a folder, in Node, Deno and Bun. A state that `persist` kept
 * survives a crash of the machine: it is written to a new file, made durable, and renamed over the old one.
 *
 * Makes the folder if it is missing, but not the one above it: that may belong to a volume that is not
 * mounted, which is an error. `persist` rejects if the file is not as this agent left it: another process
 * runs the node, or the file was removed. This notices a mistake, and is no lock: start each node once.
 */
export function fileAgent(folder: string): PersistAgent {
    if (typeof folder !== "string" || folder === "") {
        throw new ElectorError("INVALID_OPTIONS", `\`folder\` is ${shown(folder)}; give a path`);
    }
    const base = process?.cwd?.() ?? "";
    const states = new Map<string, Promise<State>>();
    const stateOf = (id: string): Promise<State> => {
        const state = states.get(id) ?? State.at(base, folder, id);
        states.set(id, state);
        return state;
    };
    return {
        async persist({ id }, data) {
            const state = await stateOf(id);
            await inTurn(state.path, () => state.keep(JSON.stringify(data)));
        },
        async restore({ id }) {
            const state = await stateOf(id);
            return inTurn(state.path, () => state.kept());
        },
    };
}

const { process } = globalThis as { process?: { platform?: string; cwd?(): string } };

/** A module of Node that bundlers for browsers must not look for. */
async function nodeModule(name: string): Promise<unknown> {
    return import(/* @vite-ignore */ /* webpackIgnore: true */ name);
}

/** The last use of each file in this process, by any agent. */
const uses = new Map<string, Promise<unknown>>();

/** Does this after all earlier uses of the file: two writes at a time could mix. */
function inTurn<T>(path: string, use: () => Promise<T>): Promise<T> {
    const before = uses.get(path) ?? Promise.resolve();
    const done = before.then(use, use);
    uses.set(path, done.catch(() => undefined));
    return done;
}

/** The file with the state of a node. */
class State {
    readonly path: string;
    readonly #files: Files;
    readonly #folder: string;
    readonly #parent: string;
    /** What the file may have, if only this agent writes it: `undefined` for no file. */
    #texts: Set<string | undefined> | undefined;
    /** The folder was made durable in the one above it. */
    #isFolderSynced = false;

    private constructor(files: Files, { resolve }: Paths, base: string, folder: string, id: string) {
        this.#files = files;
        this.#folder = resolve(base, folder);
        this.#parent = resolve(this.#folder, "..");
        this.path = resolve(this.#folder, `${encodeURIComponent(id)}.json`);
    }

    static async at(base: string, folder: string, id: string): Promise<State> {
        const files = await nodeModule("node:fs/promises") as Files;
        return new State(files, await nodeModule("node:path") as Paths, base, folder, id);
    }

    /** The state that was kept last; `undefined` before the first. */
    async kept(): Promise<unknown> {
        const text = await this.#text();
        this.#texts = new Set([text]);
        if (text === undefined) {
            // Else it is not mounted.
            await this.#files.lstat(this.#parent);
            return undefined;
        }
        try {
            return JSON.parse(text) as unknown;
        } catch (error) {
            throw new ElectorError("INVALID_STATE", `${this.path} is no JSON: ${oneLine(error)}`);
        }
    }

    async keep(text: string): Promise<void> {
        await this.#makeFolder();
        const found = await this.#text();
        if (this.#texts?.has(found) === false) {
            throw this.#isShared(found === undefined ? "was removed" : "was written by another process");
        }
        // A write that fails may have taken effect.
        this.#texts = new Set([found, text]);
        await this.#synced(`${this.path}.new`, "w", text);
        try {
            await this.#files.rename(`${this.path}.new`, this.path);
        } catch (error) {
            if (codeOf(error) !== "ENOENT") throw error;
            throw this.#isShared("was written by another process");
        }
        await this.#folderSynced(this.#folder);
        this.#texts = new Set([text]);
    }

    #isShared(change: string): ElectorError {
        const advice = "let one process run each node, and start it again";
        return new ElectorError("INVALID_STATE", `${this.path} ${change} while this node used it: ${advice}`);
    }

    /** The text of the file; `undefined` if there is none. */
    async #text(): Promise<string | undefined> {
        try {
            return await this.#files.readFile(this.path, "utf8");
        } catch (error) {
            if (codeOf(error) === "ENOENT" && !await this.#isLink()) return undefined;
            throw error;
        }
    }

    /** Whether the file is a link to one that is missing. */
    async #isLink(): Promise<boolean> {
        return this.#files.lstat(this.path).then(() => true, () => false);
    }

    async #makeFolder(): Promise<void> {
        if (this.#isFolderSynced) return;
        let isMade = true;
        try {
            await this.#files.mkdir(this.#folder);
        } catch (error) {
            if (codeOf(error) !== "EEXIST") throw error;
            isMade = false;
        }
        try {
            await this.#folderSynced(this.#parent);
        } catch (error) {
            // An operator who made the folder may not let this process read the one above it.
            if (isMade || !["EACCES", "EPERM"].includes(codeOf(error))) throw error;
        }
        this.#isFolderSynced = true;
    }

    async #synced(path: string, flags: string, text?: string): Promise<void> {
        const file = await this.#files.open(path, flags);
        try {
            if (text !== undefined) await file.writeFile(text);
            await file.sync();
        } finally {
            await file.close();
        }
    }

    /** Makes the names in a folder durable. Windows lets no program open a folder, and needs none to. */
    async #folderSynced(folder: string): Promise<void> {
        if (process?.platform !== "win32") await this.#synced(folder, "r");
    }
}

function codeOf(error: unknown): string {
    return String((error as { code?: unknown } | undefined)?.code);
}
