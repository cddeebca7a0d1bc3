// Installs the package, as users do, in an application on one major version of Nest, and compiles the suite
// as that application.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { writeDocument, writeSeed } from "./seed.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");

function npm(arguments_, cwd) {
    return execFileSync("npm", arguments_, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

/** The packed package, unpacked in a folder. */
export function packed(folder) {
    const told = npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root);
    const [{ filename }] = JSON.parse(told);
    execFileSync("tar", ["-xzf", join(folder, filename), "-C", folder]);
    return join(folder, "package");
}

/** Installs the lock file's packages, once. */
function install(folder) {
    const [lock, mark] = [join(folder, "package-lock.json"), join(folder, "node_modules/installed.json")];
    const isDone = existsSync(mark) && readFileSync(mark, "utf8") === readFileSync(lock, "utf8");
    if (isDone) return;
    npm(["ci", "--no-audit", "--no-fund", "--loglevel=error"], folder);
    cpSync(lock, mark);
}

/**
 * Compiles the suite as an application on this major version, with or without `deep`, and returns its folder.
 */
export function build(major, ours, { isDeep }) {
    const folder = join(here, `nest${major}`);
    install(folder);
    const installed = join(folder, "node_modules/elector-wasm");
    rmSync(installed, { recursive: true, force: true });
    cpSync(ours, installed, { recursive: true });
    const at = join(folder, "build");
    rmSync(at, { recursive: true, force: true });
    mkdirSync(at);
    const [suite, deep] = [join(here, "suite"), join(here, "suite/deep")];
    cpSync(suite, join(at, "src"), { recursive: true, filter: (path) => isDeep || path !== deep });
    if (isDeep) {
        writeSeed(join(at, "src/deep/seed"));
        mkdirSync(join(at, "out/deep"), { recursive: true });
        cpSync(join(here, "../deep/witness.mjs"), join(at, "out/deep/witness.mjs"));
    }
    writeDocument(join(at, "src/document"));
    const compilerOptions = {
        target: "ES2022", module: "nodenext", strict: true, experimentalDecorators: true,
        emitDecoratorMetadata: true, esModuleInterop: true, skipLibCheck: true, types: ["node"],
        rootDir: "src", outDir: "out",
    };
    writeFileSync(join(at, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
    const tsc = join(folder, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", at], { stdio: ["ignore", "inherit", "inherit"] });
    return join(at, "out");
}
