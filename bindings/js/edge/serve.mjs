// Serves a folder to a browser, on a free port of loopback.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { text } from "node:stream/consumers";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript" };

/** Serves a folder; `posted` gets the body of each POST request. `close` ends that. */
export async function serve(folder, posted = () => undefined) {
    const server = createServer(async (request, response) => {
        if (request.method === "POST") {
            posted(await text(request));
            return response.end();
        }
        const { pathname } = new URL(request.url, "http://localhost");
        const path = join(folder, pathname === "/" ? "index.html" : pathname);
        try {
            const body = await readFile(path);
            response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
            response.end(body);
        } catch {
            response.writeHead(404).end();
        }
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const close = () => {
        server.close();
        server.closeAllConnections();
    };
    return { url: `http://127.0.0.1:${server.address().port}/`, close };
}
