// Counts the statements of a Nest application with 50 elections, on this package and on the real
// nest-leader-election. Prints the figure beside its limit, and fails above it.
//   eval "$(tests/install/postgres.sh)" && node bindings/js/bench/nest.mjs
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import pg from "pg";
import { build, packed } from "../test/nestjs/build.mjs";
import { startServer } from "../test/server.mjs";

const ELECTIONS = 50;
const SETTLE_MS = 8_000;
const MEASURE_MS = 30_000;
const LIMIT = 0.1;
// The defaults of nest-leader-election's document.
const TIMES = "leaseDuration: 10000, renewalInterval: 3000, jitterRange: 2000";

/** The application. Its two variants differ in the package, and in how they declare several elections. */
function application(from, imports, then = "") {
    return `
        // One of the packages prints at each renewal.
        const write = process.stdout.write.bind(process.stdout);
        process.stdout.write = () => true;
        import "reflect-metadata";
        import { NestFactory } from "@nestjs/core";
        import { TypeOrmModule } from "@nestjs/typeorm";
        import { DataSource } from "typeorm";
        import { LeaderElectorCore, LeaderElectorModule, createLeaderLeaseEntity } from "${from}";
        const [url, applicationName] = process.argv.slice(1);
        const settings = { type: "postgres", url, applicationName, autoLoadEntities: true };
        const numbers = Array.from({ length: ${ELECTIONS} }, (_, at) => at + 1);
        const database = TypeOrmModule.forRoot({ ...settings, entities: [createLeaderLeaseEntity()] });
        const module = { module: class Application {}, imports: [database, ${imports}] };
        const application = await NestFactory.createApplicationContext(module, { logger: false });
        ${then}
        write("ready\\n");
        process.stdin.on("end", () => process.exit()).resume();`;
}

const ours = application("elector-wasm/nestjs",
    `LeaderElectorModule.forRoot({ ${TIMES} }),
        LeaderElectorModule.forFeature(...numbers.slice(1).map(String))`);
// nest-leader-election keeps only one of several forRoot(), so all other elections are made as for its
// standalone use.
const theirs = application("nest-leader-election", `LeaderElectorModule.forRoot({ ${TIMES} })`,
    `for (const lockId of numbers.slice(1)) {
        await LeaderElectorCore.create(application.get(DataSource), { ${TIMES}, lockId });
    }`);

/** The number of an application's statements, by its name in the server's log. */
function logged(folder, name) {
    const files = readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8"));
    const line = new RegExp(`^${name}\\|LOG:  (statement|execute [^:]*): `);
    return files.flatMap((text) => text.split("\n")).filter((text) => line.test(text)).length;
}

/** The statements per elector and minute, once all 50 lead. */
async function measure(server, folder, name, text, cwd) {
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query(`CREATE DATABASE ${name}`);
    await client.end();
    const url = server.url.replace(/\/postgres$/, `/${name}`);
    const arguments_ = ["--input-type=module", "-e", text, url, name];
    const child = spawn(process.execPath, arguments_, { cwd, stdio: ["pipe", "pipe", "inherit"] });
    await once(createInterface({ input: child.stdout }), "line");
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const before = logged(folder, name);
    await new Promise((resolve) => setTimeout(resolve, MEASURE_MS));
    const sent = logged(folder, name) - before;
    const database = new pg.Client(url);
    await database.connect();
    const held = "SELECT FROM leader_lease WHERE leader_id <> '' AND expires_at > now()";
    const leading = (await database.query(held)).rowCount;
    await database.end();
    child.kill("SIGKILL");
    if (leading !== ELECTIONS) throw new Error(`${name}: ${leading} of ${ELECTIONS} elections have a leader`);
    return sent / ELECTIONS / (MEASURE_MS / 60_000);
}

function print(what, measured, rest) {
    console.log(`${"nest".padEnd(9)} ${what.padEnd(58)} ${measured.toFixed(2).padStart(10)}     ${rest}`);
}

const peer = process.env.ELECTOR_TEST_PEER;
if (!peer) throw new Error('nest-leader-election is missing: eval "$(tests/install/postgres.sh)"');
const scratch = mkdtempSync(join(tmpdir(), "elector-bench-"));
const nest11 = build("11", packed(scratch), { isDeep: false });
const server = await startServer({
    log_statement: "all", logging_collector: "on", log_directory: "log", log_line_prefix: "%a|",
    max_connections: "200",
});
try {
    const client = new pg.Client(server.url);
    await client.connect();
    const [{ data_directory: data }] = (await client.query("SHOW data_directory")).rows;
    await client.end();
    const folder = join(data, "log");
    const its = await measure(server, folder, "theirs", theirs, peer);
    const own = await measure(server, folder, "ours", ours, nest11);
    const isReached = own / its <= LIMIT;
    print("nest-leader-election, statements per elector and minute", its, "to compare");
    print("ours, statements per elector and minute", own, "to compare");
    const limit = `limit ${LIMIT.toFixed(2).padStart(8)}     ${isReached ? "ok" : "TOO MUCH"}`;
    print(`ours of its, ${ELECTIONS} elections`, own / its, limit);
    console.log(isReached ? "1 passed, 0 failed" : "0 passed, 1 failed");
    process.exitCode = isReached ? 0 : 1;
} finally {
    await server.stop();
    rmSync(scratch, { recursive: true, force: true });
}
