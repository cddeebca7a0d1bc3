// The package as users install it: packed by `npm pack`, and installed in an application.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** An application in its own folder, with the packed package installed. */
export function application() {
    const folder = mkdtempSync(join(tmpdir(), "elector-app-"));
    const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder];
    const tarball = execFileSync("npm", pack, { cwd: root, encoding: "utf8" }).trim();
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "app", private: true }));
    const install = ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const stdio = ["ignore", "ignore", "inherit"];
    execFileSync("npm", [...install, join(folder, tarball)], { cwd: folder, stdio });
    return {
        folder,
        installed: join(folder, "node_modules/elector-wasm"),
        remove: () => rmSync(folder, { recursive: true, force: true }),
    };
}
