//! Numbers as bytes: LEB128, seven bits a byte, the lowest first.

use alloc::vec::Vec;

/// Appends a number.
#[cfg_attr(not(target_family = "wasm"), inline)]
pub(super) fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
