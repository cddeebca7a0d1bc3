// Modules that need not be installed. Each `require` is a literal directly in a `try`: that is how esbuild,
// webpack and ncc find what they are to bundle, and leave out what is not there.
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

/** Nest itself, if it is installed: a `LeaderElectorCore` does without. */
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

/** Nothing, if it or what it needs itself is not installed. */
function absent(error: unknown): undefined {
    const { code } = error as { code?: string };
    if (code !== "MODULE_NOT_FOUND" && code !== "ERR_MODULE_NOT_FOUND") throw error;
    return undefined;
}
