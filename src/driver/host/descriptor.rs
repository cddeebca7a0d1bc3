//! File descriptors that are closed only while they still lead to the file that was opened.
//!
//! A program may close descriptors that it did not open (`closefrom`, `close_range`, a second `close` of one
//! number). The kernel gives the freed numbers to the files that are opened next, so a number alone does not
//! identify a file.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Device and inode: the identity of a file.
pub(crate) type FileId = (u64, u64);

/// The file to which a descriptor number leads now; `None` if the number is closed.
pub(crate) fn file_of(number: RawFd) -> Option<FileId> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills in the struct, or fails for a number that is closed.
    let found = unsafe {
        if libc::fstat(number, found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    #[allow(clippy::unnecessary_cast, reason = "the types differ from platform to platform")]
    Some((found.st_dev as u64, found.st_ino as u64))
}

/// An open file. Dropping it closes the descriptor, unless its number leads to another file by then.
#[derive(Debug)]
pub struct Descriptor {
    open: ManuallyDrop<OwnedFd>,
    file: Option<FileId>,
    is_disowned: AtomicBool,
}

impl Descriptor {
    /// Takes ownership of the open file.
    #[must_use]
    pub fn new(open: impl Into<OwnedFd>) -> Descriptor {
        let open = ManuallyDrop::new(open.into());
        let file = file_of(open.as_raw_fd());
        Descriptor { open, file, is_disowned: AtomicBool::new(false) }
    }

    /// Gives up ownership: the number is never closed. Once the program has closed descriptors of the store,
    /// this number may belong to the program or to another store even if it leads to the same file, since
    /// they may have opened that file too.
    #[cfg(feature = "sqlite")]
    pub(crate) fn disown(&self) {
        self.is_disowned.store(true, Ordering::Release);
    }

    /// Whether the number still leads to the file that was opened.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        !self.is_disowned.load(Ordering::Acquire)
            && self.file.is_some()
            && self.file == file_of(self.as_raw_fd())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the descriptor is not used again.
            unsafe { ManuallyDrop::drop(&mut self.open) };
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.open.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_whose_number_leads_to_another_file_is_not_closed() {
        let (near, far) = UnixStream::pair().unwrap();
        let descriptor = Descriptor::new(near);
        assert!(descriptor.is_ours());
        let number = descriptor.as_raw_fd();
        let (mut other, foreign) = UnixStream::pair().unwrap();
        // SAFETY: both numbers are open. A program that closes a foreign descriptor and opens a file has this
        // effect.
        assert_eq!(unsafe { libc::dup2(foreign.as_raw_fd(), number) }, number);
        assert!(!descriptor.is_ours());
        drop(descriptor);
        drop((far, foreign));
        other.write_all(b"a").unwrap();
        // SAFETY: the number is open, and nothing else owns it.
        let mut kept = unsafe { File::from_raw_fd(number) };
        let mut read = [0];
        kept.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"a");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_disowned_descriptor_is_not_closed_even_if_its_number_leads_to_the_same_file() {
        let directory = File::open("/").unwrap();
        let descriptor = Descriptor::new(directory);
        let number = descriptor.as_raw_fd();
        let own = File::open("/").unwrap();
        // SAFETY: both numbers are open.
        assert_eq!(unsafe { libc::dup2(own.as_raw_fd(), number) }, number);
        descriptor.disown();
        drop(descriptor);
        assert_eq!(file_of(number), file_of(own.as_raw_fd()));
        // SAFETY: the number is open, and nothing else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }

    #[test]
    fn a_dropped_descriptor_is_closed() {
        let (near, mut far) = UnixStream::pair().unwrap();
        drop(Descriptor::new(near));
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }
}
