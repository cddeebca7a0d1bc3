// Bundles an application into one minified file, with the usual bundlers.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const load = createRequire(join(here, "bundle/package.json"));

/** The prelude that CommonJS code in a bundled ES module needs. */
const REQUIRE = `import { createRequire as _create } from "node:module";
const require = _create(import.meta.url), { filename: __filename, dirname: __dirname } = import.meta;`;

/** Whether a module, such as an optional one of a library, is missing where it is imported. */
function isMissing(request, from) {
    if (/^([./]|node:)/.test(request) || builtinModules.includes(request)) return false;
    try {
        createRequire(join(from, "index.js")).resolve(request);
        return false;
    } catch (error) {
        // A module without an export for `require` is installed too.
        return error.code === "MODULE_NOT_FOUND";
    }
}

/** Bundles an application that is an ES module into an ES module. */
const isModule = (entry) => readFileSync(join(dirname(entry), "package.json"), "utf8").includes('"module"');

async function esbuild(entry, folder) {
    const [format, banner] = isModule(entry) ? ["esm", REQUIRE] : ["cjs", ""];
    const outfile = join(folder, format === "esm" ? "bundled.mjs" : "bundled.cjs");
    const options = { setup: (build) => build.onResolve({ filter: /^[^./]/ }, ({ path, resolveDir }) => {
        return resolveDir !== "" && isMissing(path, resolveDir) ? { path, external: true } : undefined;
    }) };
    await load("esbuild").build({
        entryPoints: [entry], outfile, bundle: true, minify: true, platform: "node", format,
        banner: { js: banner }, logLevel: "error", plugins: [{ name: "options", ...options }],
    });
    return outfile;
}

async function webpack(entry, folder) {
    const externals = ({ request, context }, answer) => {
        return isMissing(request, context) ? answer(undefined, `commonjs ${request}`) : answer();
    };
    const stats = await new Promise((resolve, reject) => load("webpack")({
        mode: "production", target: "node", entry, externals,
        output: { path: folder, filename: "bundled.cjs" },
    }, (error, stats) => (error ? reject(error) : resolve(stats))));
    if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
    return join(folder, "bundled.cjs");
}

async function ncc(entry, folder) {
    const made = await load("@vercel/ncc")(entry, { minify: true, cache: false, quiet: true });
    const file = join(folder, isModule(entry) ? "bundled.mjs" : "bundled.cjs");
    writeFileSync(file, made.code);
    for (const [name, { source }] of Object.entries(made.assets)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), source);
    }
    return file;
}

const TOOLS = { esbuild, webpack, ncc };

/** Installs the tools, once. */
export function installTools() {
    if (existsSync(join(here, "bundle/node_modules/esbuild"))) return;
    const arguments_ = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    execFileSync("npm", arguments_, { cwd: join(here, "bundle"), stdio: ["ignore", "ignore", "inherit"] });
}

/**
 * Bundles a compiled file of an application with a tool, and returns the bundle's path. `schedule` is the
 * installed package to use as its `@nestjs/schedule`.
 */
export async function bundle(tool, file, schedule = "@nestjs/schedule") {
    const out = dirname(file);
    const modules = join(out, "../../node_modules");
    // Outside of the application, so that the bundle cannot load the application's modules.
    const at = join(out, "../bundles", `${basename(file, ".js")}-${tool}-${schedule.replaceAll("/", "-")}`);
    const own = join(at, "node_modules");
    for (const [name, from] of [["@nestjs/schedule", schedule], ["elector-wasm", "elector-wasm"]]) {
        cpSync(join(modules, from), join(own, name), { recursive: true });
    }
    const type = JSON.parse(readFileSync(join(out, "../../package.json"), "utf8")).type ?? "commonjs";
    writeFileSync(join(at, "package.json"), JSON.stringify({ type }));
    const entry = join(at, basename(file));
    for (const each of [basename(file), "cron.js"]) cpSync(join(out, each), join(at, each));
    const folder = join(at, "bundle");
    mkdirSync(folder, { recursive: true });
    return TOOLS[tool](entry, folder);
}
