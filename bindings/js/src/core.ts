// Instantiates the core as WebAssembly. It imports nothing but its own glue.
import * as glue from "./wasm/elector_bg.js";
import { wasmModule } from "./wasm/elector-module.js";

const instance = new WebAssembly.Instance(wasmModule(), { "./elector_bg.js": glue as never }).exports as {
    __wbindgen_start(): void;
};
(glue as unknown as { __wbg_set_wasm(exports: unknown): void }).__wbg_set_wasm(instance);
instance.__wbindgen_start();

export * from "./wasm/elector_bg.js";
