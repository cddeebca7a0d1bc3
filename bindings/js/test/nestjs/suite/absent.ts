// Loaded before an application: what this package only may use is not installed for it.
import Module from "node:module";

type Resolve = (id: string, ...rest: unknown[]) => string;
const loader = Module as unknown as { _resolveFilename: Resolve };
const resolve = loader._resolveFilename;

loader._resolveFilename = function (this: unknown, id, ...rest) {
    if (/^(typeorm|@nestjs\/(typeorm|schedule|terminus))$/.test(id)) {
        throw Object.assign(new Error(`Cannot find module '${id}'`), { code: "MODULE_NOT_FOUND" });
    }
    return resolve.call(this, id, ...rest);
};
