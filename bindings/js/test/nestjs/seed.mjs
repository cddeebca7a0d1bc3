// The code blocks of documents as files: those of nest-leader-election's document, from its package, with the
// import path changed and the placeholders filled in, and those of our NESTJS.md.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The TypeScript blocks of a document, without their indentation. */
function blocks(path) {
    const found = readFileSync(path, "utf8").matchAll(/^ *```(?:ts|typescript)\n(.*?)^ *```+$/gms);
    return [...found].map(([, code]) => code);
}

/** The names of the files, in the order of the document's blocks. */
const SECTIONS = ["quick-start-module", "quick-start-service", "configuration", "migration", "standalone"];

function seed() {
    const peer = process.env.ELECTOR_TEST_PEER;
    if (!peer) throw new Error('ELECTOR_TEST_PEER is not set; run: eval "$(tests/install/postgres.sh)"');
    const found = blocks(join(peer, "node_modules/nest-leader-election/README.md"));
    if (found.length !== SECTIONS.length) throw new Error(`its document has ${found.length} blocks`);
    const ours = (code) => code.replaceAll(/(['"])nest-leader-election\1/g, "$1elector-wasm/nestjs$1");
    return Object.fromEntries(SECTIONS.map((name, at) => [name, ours(found[at])]));
}

/** The standalone example does not say where the database is. */
const CONFIGURATION =
    "host: 'localhost', port: 5432, username: 'postgres', password: 'postgres', database: 'test',";

export function writeSeed(folder) {
    mkdirSync(folder);
    const code = seed();
    const write = (name, text) => writeFileSync(join(folder, `${name}.ts`), text);
    write("app.module", code["quick-start-module"]);
    write("tasks.service", code["quick-start-service"]);
    // A block that is an expression, and a block that exports nothing, are wrapped.
    write("configuration", "import { LeaderElectorModule } from 'elector-wasm/nestjs';\n" +
        `export const configured = () =>\n${code["configuration"]}`);
    write("migration", `${code["migration"]}\nexport { LeaderElectionMigration };\n`);
    write("standalone", code["standalone"].replace("// ... configuration", CONFIGURATION));
}

/** The blocks of our document, in order, as `block1.ts` and so on, and the README's block as `readme.ts`. */
export function writeDocument(folder) {
    mkdirSync(folder);
    const inThisFolder = (path) => fileURLToPath(new URL(path, import.meta.url));
    const document = blocks(inThisFolder("../../NESTJS.md"));
    document.forEach((code, at) => writeFileSync(join(folder, `block${at + 1}.ts`), code));
    const [program, ...others] = blocks(inThisFolder("../../../../README.md"));
    if (!program || others.length > 0) throw new Error("README.md must have one block of TypeScript");
    writeFileSync(join(folder, "readme.ts"), program);
}
