// Serves this folder, the built package and PGlite, on a free port.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const FOLDERS = {
    "/elector-wasm/": folder("../../dist/esm/"),
    "/pglite/": folder("../../node_modules/@electric-sql/pglite/dist/"),
    "/": folder("./"),
};
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
    try {
        const { pathname } = new URL(request.url, "http://localhost");
        const path = normalize(pathname === "/" ? "/index.html" : pathname);
        const prefix = Object.keys(FOLDERS).find((start) => path.startsWith(start));
        const body = await readFile(join(FOLDERS[prefix], path.slice(prefix.length)));
        const type = TYPES[extname(path)] ?? "application/octet-stream";
        response.writeHead(200, { "content-type": type, "cache-control": "no-cache" }).end(body);
    } catch {
        response.writeHead(404).end();
    }
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${server.address().port}/`);
});
