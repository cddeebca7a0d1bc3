// Tests of an application in one minified file.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Running, endAll, folder, freshSchema, rows, until, url } from "./support.js";

interface Bundler {
    installTools(): void;
    bundle(tool: string, file: string, schedule?: string): Promise<string>;
}

/** The end of the output: an error in a minified file begins with the file's text. */
const end = ({ output }: Running) => output.slice(-2_000);

/** Bundles a compiled file of the application with a tool, and returns the bundle's path. */
export async function bundled(tool: string, file: string, schedule?: string): Promise<string> {
    const at = pathToFileURL(join(dirname(file), "../../../bundle.mjs")).href;
    const bundler = (await import(at)) as Bundler;
    bundler.installTools();
    return bundler.bundle(tool, file, schedule);
}

/** Checks that a bundled application leads and runs its ticks, in two processes. */
export async function ticksAndLeads(tool: string, schedule?: string): Promise<void> {
    const out = basename(folder) === "deep" ? dirname(folder) : folder;
    const file = await bundled(tool, join(out, "bundled.js"), schedule);
    const schema = freshSchema();
    const start = () => new Running(spawn(process.execPath, [file, url, schema], { stdio: "pipe" }));
    const first = start();
    const all = ["a tick", "leading: true", "reporting: reports", "elected: reports"];
    await until(() => all.every((line) => first.count(line) > 0), () => end(first));
    const second = start();
    const claims = `SELECT id FROM ${schema}.leader_lease WHERE id LIKE 'tick/1/tick/%'`;
    const ticked = async () => (await rows(claims)).length;
    const before = await ticked();
    await until(async () => (await ticked()) >= before + 3);
    // The first process closes, and the second one runs all jobs.
    first.child.stdin?.write("close\n");
    assert.equal(await first.ended, 0, end(first));
    await until(() => all.every((line) => second.count(line) > 0), () => end(second));
    second.child.stdin?.write("close\n");
    assert.equal(await second.ended, 0, end(second));
    const ran = first.count("a tick") + second.count("a tick");
    assert.equal(ran, await ticked(), "each tick ran once");
    // On a busy machine cron, the ticks and Nest log that they are late.
    const isLate = (line: string) => /^\[Cron\] | (was|were) skipped|\dms to serialize/.test(line);
    const rest = [first, second].flatMap(({ printed }) => printed.split("\n"))
        .filter((line) => line !== "" && !all.includes(line) && !isLate(line));
    assert.deepEqual(rest, []);
}

/** For the deep level: the tests with each installed version of @nestjs/schedule for this Nest. */
export function everySchedule(tool: string): void {
    const modules = join(folder, "../../../node_modules");
    const schedules = ["@nestjs/schedule", "schedule5"].filter((name) => existsSync(join(modules, name)));
    describe(`an application that ${tool} made one minified file of`, { concurrency: 1 }, () => {
        after(endAll);
        for (const schedule of schedules) {
            test(`it leads and runs its ticks with ${schedule}`, () => ticksAndLeads(tool, schedule));
        }
    });
}
