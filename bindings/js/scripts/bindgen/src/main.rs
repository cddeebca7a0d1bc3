//! `bindgen MODULE.wasm FOLDER`: writes into the folder what JavaScript needs to load a module that was built
//! with wasm-bindgen, for bundlers: `MODULE_bg.wasm`, `MODULE_bg.js`, `MODULE.js` and their types.
//!
//! The library does the work. Its own command line, `wasm-bindgen-cli`, does the same with the same defaults,
//! but carries a test runner and a web server, and takes minutes to build.

use std::error::Error;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = arguments.as_slice() else {
        eprintln!("usage: bindgen MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    match generate(module, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bindgen cannot make JavaScript for {module} in {folder}");
            let mut cause: Option<&dyn Error> = Some(&*error);
            while let Some(error) = cause {
                eprintln!("  {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &str, folder: &str) -> Result<(), Box<dyn Error>> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).bundler(true)?.typescript(true).demangle(true);
    Ok(bindgen.generate(folder)?)
}
