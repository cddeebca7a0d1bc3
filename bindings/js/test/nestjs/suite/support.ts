// Shared by the tests.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Elector } from "elector-wasm";
import pg from "pg";

export const url = process.env["ELECTOR_TEST_URL"] as string;
/**
 * A lease longer than any test on a busy machine: no test waits for its expiry, nor for a look, which comes
 * every third of it.
 */
export const long = { leaseDuration: 300_000, renewalInterval: 1_000, jitterRange: 100 };
/** A short lease, for tests that wait for its expiry and do not depend on keeping it. */
export const short = { leaseDuration: 2_000, renewalInterval: 400, jitterRange: 100 };
/** The longest wait for an event, after which the test fails. */
const PATIENCE_MS = 60_000;

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Polls until `what` returns true. `about` adds details to the error of a time-out. */
export async function until(what: () => unknown, about: () => string = () => ""): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (!(await what())) {
        assert.ok(performance.now() < end, `not within ${PATIENCE_MS} ms: ${String(what)} ${about()}`);
        await sleep(5);
    }
}

/** Collects the tokens of an elector's elections from now on. */
export function tokensOf(elector: Elector): bigint[] {
    const tokens: bigint[] = [];
    elector.on("elected", ({ token }) => tokens.push(token));
    return tokens;
}

let made = 0;
/** A schema's name that no other test uses. */
export const freshSchema = () => `s${randomBytes(4).toString("hex")}_${++made}`;

export function newPool(options: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ connectionString: url, max: 4, ...options });
    pool.on("error", () => undefined);
    return pool;
}

export async function rows<T = Record<string, unknown>>(
    text: string,
    values: unknown[] = [],
    database = url,
): Promise<T[]> {
    const client = new pg.Client(database);
    await client.connect();
    try {
        return (await client.query(text, values)).rows as T[];
    } finally {
        await client.end();
    }
}

/** The URL of a database that no other test uses, for tests of the schema `public`. */
export async function freshDatabase(): Promise<string> {
    const name = freshSchema();
    await rows(`CREATE DATABASE ${name}`);
    return url.replace(/\/postgres$/, `/${name}`);
}

/** A logger that collects its lines. */
export class Lines {
    readonly warned: string[] = [];
    readonly errors: string[] = [];
    warn(message: string): void {
        this.warned.push(message);
    }
    error(message: string): void {
        this.errors.push(message);
    }
}

const children = new Set<Running>();

/** Ends this process although a failed test has left something running; the file then counts as failed. */
export async function endAll(): Promise<void> {
    setTimeout(() => process.exit(1), PATIENCE_MS).unref();
    await Promise.all([...children].map((child) => child.kill("SIGKILL")));
}

/** A process of this suite, or another one, with its output. */
export class Running {
    output = "";
    code: number | null | undefined;
    readonly ended: Promise<number | null>;
    constructor(readonly child: ChildProcess) {
        children.add(this);
        child.stdout?.on("data", (data) => (this.output += String(data)));
        child.stderr?.on("data", (data) => (this.output += String(data)));
        this.ended = new Promise((resolve) => child.on("close", (code) => resolve((this.code = code))));
    }
    /** The output without Nest 10's own lines on a slow machine. */
    get printed(): string {
        return this.output.split("\n").filter((line) => !line.includes("[ModuleTokenFactory]")).join("\n");
    }
    count(text: string): number {
        return this.output.split(text).length - 1;
    }
    async kill(signal: NodeJS.Signals): Promise<void> {
        this.child.kill(signal);
        await this.ended;
    }
}

/** The folder of the running file, after compilation. */
export const folder = join(process.argv[1] as string, "..");

export function start(file: string, args: string[] = [], preload?: string): Running {
    const before = preload === undefined ? [] : ["--import", pathToFileURL(join(folder, preload)).href];
    const stdio = ["pipe", "pipe", "pipe"] as ("pipe")[];
    return new Running(spawn(process.execPath, [...before, join(folder, file), ...args], { stdio }));
}
