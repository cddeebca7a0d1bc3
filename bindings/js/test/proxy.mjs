// A proxy before a server, whose connections may fall silent: open for both ends, and nothing arrives any
// more.
import { connect, createServer } from "node:net";

/** Starts one on a free port. */
export async function startProxy(target) {
    const links = [];
    let deaf = 0;
    const server = createServer((client) => {
        const link = { client, isSilent: deaf > 0, sent: "" };
        deaf -= link.isSilent ? 1 : 0;
        links.push(link);
        const upstream = connect(target, "127.0.0.1");
        link.upstream = upstream;
        const end = () => {
            link.isOver = true;
            if (!link.isSilent) for (const each of [client, upstream]) each.destroy();
        };
        for (const each of [client, upstream]) each.on("error", end).on("close", end);
        client.on("data", (data) => {
            link.sent += data.toString("latin1");
            if (!link.isSilent) upstream.write(data);
        });
        upstream.on("data", (data) => link.isSilent || client.write(data));
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const listening = () => links.filter(({ sent }) => sent.includes("LISTEN "));
    return {
        port: server.address().port,
        /** How many connections have ever listened for notifications. */
        listened: () => listening().length,
        /** Those that listen fall silent, and so do the next so many that are made. */
        silence: (next) => {
            for (const link of listening()) link.isSilent = true;
            deaf = next;
        },
        /** How many connections were ever made. */
        made: () => links.length,
        stop: () => {
            server.close();
            for (const { client, upstream } of links) for (const each of [client, upstream]) each.destroy();
        },
    };
}
