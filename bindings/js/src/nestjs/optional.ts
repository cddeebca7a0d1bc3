// The package is CommonJS where this runs; `require` is what finds modules that may not be there.
declare const require: (id: string) => unknown;

/** A module that need not be installed; nothing if it, or what it needs itself, is not. */
export function optional<T>(id: string): T | undefined {
    try {
        return require(id) as T;
    } catch (error) {
        const code = (error as { code?: string }).code;
        if (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND") return undefined;
        throw error;
    }
}
