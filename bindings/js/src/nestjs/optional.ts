// Modules that may be missing. Each `require` has a literal and is directly in a `try`: so esbuild, webpack
// and ncc find modules to bundle, and leave out those that are not installed.
declare const require: (id: string) => unknown;

/** TypeORM, if it is installed. */
export function typeOrm<T>(): T | undefined {
    try {
        return require("typeorm") as T;
    } catch (error) {
        return absent(error);
    }
}

/** TypeORM's module for Nest, if it is installed. */
export function nestTypeOrm<T>(): T | undefined {
    try {
        return require("@nestjs/typeorm") as T;
    } catch (error) {
        return absent(error);
    }
}

/** Nest, if it is installed: a `LeaderElectorCore` works without it. */
export function nestCommon<T>(): T | undefined {
    try {
        return require("@nestjs/common") as T;
    } catch (error) {
        return absent(error);
    }
}

/** RxJS, if it is installed. */
export function rxjs<T>(): T | undefined {
    try {
        return require("rxjs") as T;
    } catch (error) {
        return absent(error);
    }
}

/** `undefined` if the module, or a module that it needs, is not installed. Other errors are thrown. */
function absent(error: unknown): undefined {
    const { code } = error as { code?: string };
    if (code !== "MODULE_NOT_FOUND" && code !== "ERR_MODULE_NOT_FOUND") throw error;
    return undefined;
}
