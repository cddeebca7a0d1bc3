//! Strings from C and to C.

use std::ffi::{CStr, c_char};

use super::status::{Fault, elector_status};

/// A string of the caller; NULL is a fault.
pub(super) unsafe fn required<'a>(text: *const c_char, what: &str) -> Result<&'a str, Fault> {
    // SAFETY: passed on.
    unsafe { optional(text, what) }?.ok_or_else(|| Fault::null(what))
}

/// A string of the caller, or `None` for NULL.
pub(super) unsafe fn optional<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Fault> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the conventions have the caller pass a NUL-terminated string.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    std::str::from_utf8(bytes).map(Some).map_err(|error| {
        let at = error.valid_up_to();
        let message = format!("{what} is not UTF-8 from byte {at} on; convert it to UTF-8");
        Fault::new(elector_status::InvalidUtf8, message)
    })
}

/// Writes strings, each with a NUL, one after the other. A string that does not fit is cut at a character,
/// and those after it are empty, so that the caller can read as many strings as there is room for NULs.
/// Returns the full length without the last NUL.
pub(super) unsafe fn write(buffer: *mut c_char, capacity: usize, texts: &[&str]) -> usize {
    let whole = texts.iter().map(|text| text.len() + 1).sum::<usize>().saturating_sub(1);
    if buffer.is_null() {
        return whole;
    }
    let (mut at, mut cut) = (0, false);
    for (number, text) in texts.iter().enumerate() {
        let left = capacity - at;
        if left == 0 {
            break;
        }
        let nuls = (texts.len() - number).min(left);
        let mut fits = if cut { 0 } else { text.len().min(left - nuls) };
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        // SAFETY: `at + fits < capacity`, which is what the caller's buffer has.
        unsafe {
            text.as_ptr().copy_to_nonoverlapping(buffer.add(at).cast::<u8>(), fits);
            *buffer.add(at + fits) = 0;
        }
        at += fits + 1;
        cut = cut || fits < text.len();
    }
    whole
}

/// Writes one string, or "" if it does not fit: a statement that is cut is another statement. Returns the
/// full length without the NUL.
pub(super) unsafe fn write_whole(buffer: *mut c_char, capacity: usize, text: &str) -> usize {
    let shown = if text.len() < capacity { text } else { "" };
    // SAFETY: passed on.
    unsafe { write(buffer, capacity, &[shown]) };
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(capacity: usize, texts: &[&str]) -> (usize, Vec<u8>) {
        let mut buffer = vec![b'#'; capacity];
        // SAFETY: the buffer is as long as it says.
        let length = unsafe { write(buffer.as_mut_ptr().cast(), capacity, texts) };
        (length, buffer)
    }

    #[test]
    fn a_string_that_does_not_fit_is_cut_at_a_character_and_terminated() {
        assert_eq!(written(4, &["abc"]), (3, b"abc\0".to_vec()));
        assert_eq!(written(3, &["abc"]), (3, b"ab\0".to_vec()));
        assert_eq!(written(1, &["abc"]), (3, b"\0".to_vec()));
        assert_eq!(written(0, &["abc"]), (3, vec![]));
        assert_eq!(written(4, &["a\u{e9}\u{e9}"]), (5, b"a\xc3\xa9\0".to_vec()));
        assert_eq!(written(3, &["a\u{e9}\u{e9}"]), (5, b"a\0#".to_vec()));
    }

    #[test]
    fn a_second_string_is_readable_after_any_cut() {
        assert_eq!(written(6, &["ab", "c"]), (4, b"ab\0c\0#".to_vec()));
        assert_eq!(written(5, &["ab", "cd"]), (5, b"ab\0c\0".to_vec()));
        assert_eq!(written(4, &["ab", "cd"]), (5, b"ab\0\0".to_vec()));
        assert_eq!(written(3, &["ab", "cd"]), (5, b"a\0\0".to_vec()));
        assert_eq!(written(2, &["ab", "cd"]), (5, b"\0\0".to_vec()));
        assert_eq!(written(1, &["ab", "cd"]), (5, b"\0".to_vec()));
    }

    #[test]
    fn a_null_buffer_returns_the_length_only() {
        // SAFETY: nothing is written.
        assert_eq!(unsafe { write(std::ptr::null_mut(), 99, &["name", "meta"]) }, 9);
    }
}
