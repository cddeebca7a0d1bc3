//! Which library this is.

use std::ffi::{CStr, c_char};

/// The version of this header's binary interface. A library fits a program if its `elector_abi_version()`
/// equals the `ELECTOR_ABI_VERSION` that the program was compiled with. Check it before any other call if you
/// load the library at run time: with another number the structs and functions may differ.
pub const ELECTOR_ABI_VERSION: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version holds a NUL"),
};

/// Returns the ABI version of the loaded library. Never fails. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_abi_version() -> u32 {
    ELECTOR_ABI_VERSION
}

/// Returns the library's version, "MAJOR.MINOR.PATCH". The string is valid until the process ends. Any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn elector_version() -> *const c_char {
    VERSION.as_ptr()
}
