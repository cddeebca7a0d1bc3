//! Which library this is.

use std::ffi::{CStr, c_char};

/// The version of this header's binary interface. A library serves a program if `elector_abi_version()`
/// equals the `ELECTOR_ABI_VERSION` that the program was compiled with.
pub const ELECTOR_ABI_VERSION: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("the version holds a NUL"),
};

/// The ABI version of the library that is loaded. Any thread; always works.
#[unsafe(no_mangle)]
pub extern "C" fn elector_abi_version() -> u32 {
    ELECTOR_ABI_VERSION
}

/// The library's version, "MAJOR.MINOR.PATCH". Any thread; the string lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn elector_version() -> *const c_char {
    VERSION.as_ptr()
}
