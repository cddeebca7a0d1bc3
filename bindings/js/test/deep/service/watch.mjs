// Records in the folder of the test what a process sees of its node; read by processes.mjs.
import { appendFileSync } from "node:fs";
import { join } from "node:path";

const SAMPLE_MS = 10;
export const LEADER = 3;
/** The events of a process in which an error was not handled. */
export const UNHANDLED = ["uncaughtException", "unhandledRejection"];

/** Milliseconds of a clock that is the same for all processes. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Where a process records. */
export const watchedFile = (folder, pid) => join(folder, `watched-${pid}`);

/** Samples a node's role and `isLeader()` every 10 ms, and records its changes of role. */
export function watch(raft, folder) {
    const file = watchedFile(folder, process.pid);
    // Written at once: the process may be killed.
    const write = (what) => appendFileSync(file, `${JSON.stringify({ pid: process.pid, ...what })}\n`);
    const sample = () => {
        const from = now();
        const [fence, leads, role] = [raft.fence(), raft.isLeader(), raft.getRole()];
        const to = now();
        if (leads || role === LEADER) write({ what: "leads", from, to, term: fence?.token, leads, role });
    };
    setInterval(sample, SAMPLE_MS).unref();
    raft.subscribe("roleChanged", ({ role, term }) => {
        write({ what: "role", at: now(), id: raft.getNode().id, role, term });
        sample();
    });
    for (const event of UNHANDLED) {
        process.on(event, (error) => write({ what: event, error: String(error?.stack ?? error) }));
    }
    return {
        listens: (port) => write({ what: "listens", port }),
        /** Called after `destroy()`: records the timers that would keep the process alive. */
        ends: () => {
            const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
            write({ what: "ends", at: now(), timers });
        },
    };
}
