//! Keeps an open file, and its locks, open after its descriptor was closed.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use crate::driver::stores::opener::Opener;

/// The mapped length in bytes. The mapping is never read, so the file may be shorter or empty.
const LENGTH: usize = 1;

/// A private mapping of a file (mmap(2)). It refers to the open file, so the locks of the open file last as
/// long as the mapping, even if the descriptor is closed.
///
/// A forked child does not inherit it (`MADV_DONTFORK`), and `exec` ends it. So a child keeps a lock only
/// through a descriptor, which is inherited on purpose.
pub(super) struct Mapping {
    address: *mut c_void,
    opener: Opener,
}

// SAFETY: the address is only used to unmap it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn of(file: &impl AsRawFd) -> io::Result<Mapping> {
        let mapping = Mapping { address: map(file.as_raw_fd())?, opener: Opener::this_process() };
        #[cfg(target_os = "linux")]
        // SAFETY: the address and the length are those of the mapping.
        if unsafe { libc::madvise(mapping.address, LENGTH, libc::MADV_DONTFORK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }
}

fn map(number: RawFd) -> io::Result<*mut c_void> {
    // SAFETY: the kernel chooses a free address.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), LENGTH, libc::PROT_READ, libc::MAP_PRIVATE, number, 0) };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address) }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child another mapping may be at the address.
        if self.opener.is_this_process() {
            // SAFETY: nothing refers to it.
            unsafe { libc::munmap(self.address, LENGTH) };
        }
    }
}
