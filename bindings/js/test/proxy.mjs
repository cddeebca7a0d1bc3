// A proxy for a server. It can silence connections: both ends stay open, and no data arrives any more.
import { connect, createServer } from "node:net";

/** Starts a proxy on a free port. */
export async function startProxy(target) {
    const links = [];
    let silenceNext = 0;
    const server = createServer((client) => {
        const link = { client, isSilent: silenceNext > 0, sent: "" };
        silenceNext -= link.isSilent ? 1 : 0;
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
        /** The number of connections that have ever listened for notifications. */
        listened: () => listening().length,
        /** Silences all listening connections, and the next `count` connections that are made. */
        silence: (count) => {
            for (const link of listening()) link.isSilent = true;
            silenceNext = count;
        },
        /** The number of connections that were ever made. */
        made: () => links.length,
        stop: () => {
            server.close();
            for (const { client, upstream } of links) for (const each of [client, upstream]) each.destroy();
        },
    };
}
