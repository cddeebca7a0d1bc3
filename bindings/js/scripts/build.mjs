// Builds the package into dist: the core with cargo, its glue with wasm-bindgen, the rest with tsc.
//   npm ci && npm run build && npm pack
//   npm run build -- --cjs    compiles only the TypeScript, and only to what tests load, after a whole build
// Needs Rust 1.86 or newer. tests/install/wasm.sh finds or makes a toolchain for wasm32-unknown-unknown.
// Says each step before it begins, and what it waits for.
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import ts from "typescript";

const here = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const root = resolve(here, "../..");
/**
 * The cores: the feature that each is built with, and the maximum of its compressed size in bytes. A panic of
 * the first throws its message; one of the second, which tabs load, only traps, and is smaller by a fifth.
 */
const CORES = {
    elector: { feature: "wasm", traps: false, largest: 60 * 1024 },
    raft: { feature: "wasm-raft", traps: true, largest: 50 * 1024 },
};

function run(command, args, options = {}) {
    execFileSync(command, args, { stdio: ["ignore", "inherit", "inherit"], cwd: here, ...options });
}

/** Prints the step that begins. */
function step(what) {
    console.error(`npm run build: ${what}`);
}

/** The environment variables that the Rust toolchain needs. */
function toolchain() {
    step("looking for a toolchain for wasm32-unknown-unknown (building it may take a minute the first time)");
    const script = 'eval "$(tests/install/wasm.sh)" && env -0';
    const told = execFileSync("bash", ["-euo", "pipefail", "-c", script], {
        cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 24,
    });
    return Object.fromEntries(told.split("\0").filter(Boolean).map((line) => {
        const at = line.indexOf("=");
        return [line.slice(0, at), line.slice(at + 1)];
    }));
}

/**
 * Cargo's target folder. A relative path is relative to the repository's root, as in the scripts of tests/.
 */
const targets = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");

/** The path of scripts/bindgen's program, built for this machine with its default compiler. */
function bindgen() {
    step("building scripts/bindgen, which generates the glue (about 40 crates and a minute the first time)");
    const manifest = join(here, "scripts/bindgen/Cargo.toml");
    const target = join(targets, "bindgen");
    run("cargo", ["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", target]);
    return join(target, "debug/bindgen");
}

/** Builds a core and its glue into a folder, and returns the WebAssembly. */
function core(name, glue, env, folder) {
    const { feature, traps } = CORES[name];
    // Each has its own folder, because cargo gives the libraries of both the same name. All dependencies are
    // equal, so the second folder begins as a copy of the first, with the times by which cargo sees changes.
    const target = join(targets, feature);
    const other = join(targets, CORES.elector.feature);
    if (!existsSync(target) && existsSync(other)) {
        cpSync(other, target, { recursive: true, preserveTimestamps: true });
    }
    step(`compiling the core ${name} to WebAssembly`);
    const flags = ["--quiet", "--locked", "--lib", "--crate-type", "cdylib", "--profile", "wasm"];
    const features = ["--no-default-features", "--features", feature];
    const triple = "wasm32-unknown-unknown";
    run("cargo", ["rustc", ...flags, "--target", triple, ...features], {
        cwd: root, env: { ...env, CARGO_TARGET_DIR: target },
    });
    mkdirSync(folder, { recursive: true });
    const built = join(folder, `${name}.wasm`);
    copyFileSync(join(target, triple, "wasm", "elector.wasm"), built);
    run(glue, [built, folder]);
    step("optimising it for size");
    // The features that rustc uses by default for this target since 1.82, and that every runtime of recent
    // years has.
    const uses = ["bulk-memory", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "multivalue",
        "reference-types"];
    const wasm = join(folder, `${name}_bg.wasm`);
    if (traps) run(process.execPath, [join(here, "scripts/traps.mjs"), wasm, wasm]);
    const optimize = join(here, "node_modules/binaryen/bin/wasm-opt");
    run(process.execPath, [optimize, wasm, "-o", wasm, "-Oz", ...uses.map((use) => `--enable-${use}`)]);
    return readFileSync(wasm);
}

/** Writes the cores' types and modules into src/wasm, where tsc finds them. */
function generate(folder, cores) {
    const generated = join(here, "src/wasm");
    rmSync(generated, { recursive: true, force: true });
    mkdirSync(generated);
    for (const [name, bytes] of Object.entries(cores)) {
        copyFileSync(join(folder, `${name}.d.ts`), join(generated, `${name}_bg.d.ts`));
        // Compressed, hexadecimal digits take a tenth more than the bytes, and base64 takes a third more.
        writeFileSync(join(generated, `${name}-module.ts`), `// Generated by scripts/build.mjs.
const HEX = "${bytes.toString("hex")}";

/** The core, which is carried in the code, so that it loads in the same way everywhere. */
export function wasmModule(): WebAssembly.Module {
    const bytes = new Uint8Array(HEX.length / 2);
    for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(HEX.slice(2 * at, 2 * at + 2), 16);
    return new WebAssembly.Module(bytes);
}
`);
    }
}

/**
 * Classes that jest's environment `jsdom` lacks. All texts are well-formed, since the core takes and returns
 * strings only.
 */
const TEXT = `const { unescape, escape } = globalThis;
const TextEncoder = globalThis.TextEncoder ?? class {
    encode(text) {
        const bytes = unescape(encodeURIComponent(text.toWellFormed()));
        return Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
    }
};
const TextDecoder = globalThis.TextDecoder ?? class {
    decode(bytes = []) {
        return decodeURIComponent(escape(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
    }
};
`;

/** Compiles the sources into one module format, and adds the glue. */
function compile(format, folder) {
    const out = join(here, "dist", format);
    const common = ["-p", join(here, "tsconfig.json"), "--outDir", out];
    const kind = format === "cjs" ? ["--module", "commonjs", "--moduleResolution", "node10"] : [];
    run(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), ...common, ...kind]);
    const module = format === "cjs" ? ts.ModuleKind.CommonJS : ts.ModuleKind.ES2022;
    const options = { compilerOptions: { module, target: ts.ScriptTarget.ES2022 } };
    const added = format === "cjs" ? TEXT : "";
    for (const name of Object.keys(CORES)) {
        const glue = readFileSync(join(folder, `${name}_bg.js`), "utf8");
        writeFileSync(join(out, `wasm/${name}_bg.js`), ts.transpileModule(added + glue, options).outputText);
        copyFileSync(join(folder, `${name}.d.ts`), join(out, `wasm/${name}_bg.d.ts`));
    }
    const type = format === "cjs" ? "commonjs" : "module";
    writeFileSync(join(out, "package.json"), `${JSON.stringify({ type })}\n`);
}

/** The NestJS modules that work without Nest. */
const STANDALONE = ["core", "lease-entity", "migration"];

/**
 * Builds the NestJS module, in CommonJS only: a process must not have two copies of its classes. Files that
 * need Nest are loaded at their first use, so that a `LeaderElectorCore` works without Nest.
 */
function nestjs() {
    const config = join(here, "tsconfig.nestjs.json");
    run(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", config]);
    const index = join(here, "dist/cjs/nestjs/index.js");
    const text = readFileSync(index, "utf8").replace(/require\("\.\/(.*)\.js"\)/g, (code, file) => {
        return STANDALONE.includes(file) ? code : `lazily(() => ${code})`;
    });
    const lazily = "const lazily = (load) => new Proxy({}, { get: (_, name) => load()[name] });";
    // The exports that Node's `import` and bundlers look for stay unchanged.
    writeFileSync(index, text.replace("\n", `\n${lazily}\n`));
}

/** Writes ES modules over the CommonJS copy for Node, so that a process never has two copies. */
async function wrap(name) {
    const out = join(here, "dist/cjs", `${name}.js`);
    const { default: made } = await import(out);
    const names = Object.keys(made).filter((key) => key !== "default" && !key.startsWith("__"));
    const text = `import all from "./${basename(out)}";\nexport const { ${names.join(", ")} } = all;\n`;
    writeFileSync(out.replace(/js$/, "mjs"), text);
    writeFileSync(out.replace(/js$/, "d.mts"), `export * from "./${basename(out)}";\n`);
}

async function wrapAll() {
    for (const name of ["index", "core", "raftq/index"]) await wrap(name);
}

/** Builds for Workers, which compile no code at run time: their WebAssembly modules are imported as files. */
function workerd(cores) {
    const out = join(here, "dist/workerd");
    cpSync(join(here, "dist/esm"), out, {
        recursive: true, filter: (file) => !file.endsWith(".d.ts"),
    });
    for (const [name, bytes] of Object.entries(cores)) {
        writeFileSync(join(out, `wasm/${name}_bg.wasm`), bytes);
        writeFileSync(join(out, `wasm/${name}-module.js`), `import module from "./${name}_bg.wasm";

export function wasmModule() {
    return module;
}
`);
    }
}

const folder = join(here, "build");
if (process.argv.includes("--cjs")) {
    compile("cjs", folder);
    await wrapAll();
    process.exit();
}
rmSync(join(here, "dist"), { recursive: true, force: true });
rmSync(folder, { recursive: true, force: true });
const glue = bindgen();
const env = toolchain();
const cores = Object.fromEntries(Object.keys(CORES).map((name) => [name, core(name, glue, env, folder)]));
generate(folder, cores);
step("compiling the TypeScript");
compile("cjs", folder);
nestjs();
compile("esm", folder);
await wrapAll();
workerd(cores);
copyFileSync(join(root, "LICENSE"), join(here, "LICENSE"));
for (const [name, bytes] of Object.entries(cores)) {
    const size = gzipSync(bytes, { level: 9 }).length;
    const { largest } = CORES[name];
    console.log(`${name}_bg.wasm: ${bytes.length} bytes, ${size} compressed`);
    if (size > largest) {
        throw new Error(`the compressed core ${name} has ${size} bytes, more than the maximum of ${largest}`);
    }
}
