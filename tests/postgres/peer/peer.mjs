// One replica of an application that uses the real nest-leader-election, driven by a test.
//
//   node peer.mjs '{"url": "postgres://…", "mode": "core" | "nest", "config": {"lockId": 1, …}}'
//
// `config` goes to the package as it is, `synchronize` to TypeORM. Each change of `amILeader()` is a line of
// JSON on the standard output:
//   {"leader": true, "at_ms": 1700000000000, "monotonic_ns": "123456789"}
// and `{"ready": true}` is the first line, once the package has been initialised. A line `release` on the
// standard input calls its `release()`, `shutdown` what an application that ends does. The end of the input
// ends the process at once.
import "reflect-metadata";
import { createInterface } from "node:readline";

const write = process.stdout.write.bind(process.stdout);
const say = (line) => write(`${JSON.stringify(line)}\n`);
// The package and Nest's logger print at every renewal; that must not mix with the lines of this protocol.
process.stdout.write = process.stderr.write.bind(process.stderr);

const { DataSource } = await import("typeorm");
const { LeaderElectorCore, LeaderElectorModule, LeaderElectorService, createLeaderLeaseEntity } =
  await import("nest-leader-election");

const { url, mode = "core", config = {}, synchronize = false } = JSON.parse(process.argv[2]);

// As its README has it under "Standalone", but for `create`: the constructor alone never starts anything.
async function core() {
  const entities = [createLeaderLeaseEntity(config.schema)];
  const dataSource = await new DataSource({ type: "postgres", url, synchronize, entities }).initialize();
  const elector = await LeaderElectorCore.create(dataSource, config);
  return { elector, shutdown: () => elector.shutdown() };
}

// As its README has it under "Quick Start", without decorators, which plain JavaScript lacks.
async function nest() {
  const { NestFactory } = await import("@nestjs/core");
  const { TypeOrmModule } = await import("@nestjs/typeorm");
  const database = TypeOrmModule.forRoot({ type: "postgres", url, synchronize, autoLoadEntities: true });
  class Application {}
  const module = { module: Application, imports: [database, LeaderElectorModule.forRoot(config)] };
  const logger = ["error", "warn"];
  const application = await NestFactory.createApplicationContext(module, { logger });
  return { elector: application.get(LeaderElectorService), shutdown: () => application.close() };
}

const { elector, shutdown } = await { core, nest }[mode]();
say({ ready: true });
let leader = false;
const poll = () => {
  const now = elector.amILeader();
  if (now === leader) return;
  leader = now;
  say({ leader, at_ms: Date.now(), monotonic_ns: String(process.hrtime.bigint()) });
};
poll();
setInterval(poll, 2);

const commands = createInterface({ input: process.stdin });
commands.on("line", async (command) => {
  if (command === "release") await elector.release();
  else if (command === "shutdown") await shutdown();
  else throw new Error(`the test said ${command}`);
  poll();
  say({ done: command });
});
commands.on("close", () => process.exit(0));
