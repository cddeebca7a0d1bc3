//! The boundary between C and Rust: panics become a status, pointers are checked, structs may differ in size.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::status::{Fault, elector_error, elector_status};
use super::text;

/// Runs the body of a call. Returns its status, and fills in `error_out` if that is not NULL.
pub(super) unsafe fn call(
    error_out: *mut elector_error,
    body: impl FnOnce() -> Result<(), Fault>,
) -> elector_status {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)));
    let (status, message) = match &result {
        Ok(()) => (elector_status::Ok, ""),
        Err(fault) => (fault.status, &*fault.message),
    };
    // SAFETY: the caller gives NULL or a struct of its own.
    if let Some(error) = unsafe { error_out.as_mut() } {
        error.status = status;
        // SAFETY: the array is as long as it says.
        unsafe { text::write(error.message.as_mut_ptr(), error.message.len(), &[message]) };
    }
    status
}

/// Runs the body of a call that returns a value: `failed` if there is none or the body panics.
pub(super) fn value<T>(failed: T, body: impl FnOnce() -> Option<T>) -> T {
    catch_unwind(AssertUnwindSafe(body)).ok().flatten().unwrap_or(failed)
}

fn panicked(payload: &(dyn Any + Send)) -> Fault {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let found = text.unwrap_or("no message");
    Fault::bug(found)
}

/// The object that a pointer of the caller points to.
pub(super) unsafe fn reference<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, Fault> {
    // SAFETY: the conventions have the caller pass NULL or a live object.
    unsafe { pointer.as_ref() }.ok_or_else(|| Fault::null(what))
}

/// The object that a pointer of the caller points to, to be changed.
pub(super) unsafe fn exclusive<'a, T>(pointer: *mut T, what: &str) -> Result<&'a mut T, Fault> {
    // SAFETY: as above, and no other thread uses it.
    unsafe { pointer.as_mut() }.ok_or_else(|| Fault::null(what))
}

/// A struct that begins with its `struct_size: u32` and may grow at its end.
///
/// # Safety
/// `repr(C)`, the first field is that size, and every byte pattern that a caller may leave in it is valid.
pub(super) unsafe trait Growing: Copy {
    /// The size of the struct in the first version that had it: no caller has a smaller one. When fields are
    /// added at the end, this stays the offset of the first added field.
    const FIRST_SIZE: usize;
}

fn check_size<T: Growing>(size: usize, what: &str) -> Result<(), Fault> {
    if size < T::FIRST_SIZE {
        let found = format!("struct_size of {what} is {size}, below the minimum of {}", T::FIRST_SIZE);
        return Err(Fault::new(
            elector_status::InvalidStructSize,
            format!("{found}; set it to sizeof the struct"),
        ));
    }
    Ok(())
}

/// Checks that the caller's struct can be filled in.
pub(super) unsafe fn can_fill<T: Growing>(out: *mut T, what: &str) -> Result<(), Fault> {
    if out.is_null() {
        return Err(Fault::null(what));
    }
    // SAFETY: the struct begins with its size.
    check_size::<T>(unsafe { out.cast::<u32>().read() } as usize, what)
}

/// Fills in the fields of the caller's struct that both versions have. Its `struct_size` stays.
pub(super) unsafe fn fill<T: Growing>(out: *mut T, value: &T) {
    // SAFETY: `can_fill` was asked. No more is written than both structs hold, and not the first field.
    unsafe {
        let size = (out.cast::<u32>().read() as usize).min(size_of::<T>());
        let skip = size_of::<u32>();
        let source = std::ptr::from_ref(value).cast::<u8>();
        source.add(skip).copy_to_nonoverlapping(out.cast::<u8>().add(skip), size - skip);
    }
}

/// A copy of the caller's struct; fields that it does not have are those of `empty`.
pub(super) unsafe fn read<T: Growing>(given: *const T, empty: T, what: &str) -> Result<T, Fault> {
    if given.is_null() {
        return Err(Fault::null(what));
    }
    let mut copy = empty;
    // SAFETY: the struct begins with its size, and no more is read than both hold.
    unsafe {
        let size = given.cast::<u32>().read() as usize;
        check_size::<T>(size, what)?;
        let size = size.min(size_of::<T>());
        given.cast::<u8>().copy_to_nonoverlapping(std::ptr::from_mut(&mut copy).cast::<u8>(), size);
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn a_panic_becomes_a_status_with_its_message() {
        let mut error = elector_error { status: elector_status::Ok, message: [1; 1020] };
        // SAFETY: `error` is ours.
        let status = unsafe { call(&mut error, || panic!("planted")) };
        assert_eq!((status, error.status), (elector_status::Panic, elector_status::Panic));
        // SAFETY: it was just written.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
        assert_eq!(message, "a bug in Elector: planted; please report it");
        assert_eq!(value(7, || panic!("planted")), 7);
    }

    #[test]
    fn a_success_empties_the_error() {
        let mut error = elector_error { status: elector_status::Panic, message: [1; 1020] };
        // SAFETY: `error` is ours.
        let status = unsafe { call(&mut error, || Ok(())) };
        assert_eq!((status, error.status, error.message[0]), (elector_status::Ok, elector_status::Ok, 0));
    }
}
