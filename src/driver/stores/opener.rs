//! Detects the use of a store in a forked child.

use std::fmt;
use std::process;

use crate::core::lease::Failure;
use crate::driver::stores::StoreError;

/// The process that opened a store. A forked child shares the store's files and connections and must not use
/// them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opener(u32);

impl Opener {
    pub(super) fn this_process() -> Opener {
        Opener(process::id())
    }

    pub(super) fn is_this_process(self) -> bool {
        self.0 == process::id()
    }

    /// Fails in any process but the one that opened `what`.
    pub(super) fn check(self, what: impl fmt::Display) -> Result<(), StoreError> {
        if self.is_this_process() {
            return Ok(());
        }
        let message = format!(
            "{what} was opened by process {}, and this is its forked child {}; open it again in the child",
            self.0,
            process::id()
        );
        Err(StoreError::new(Failure::Refused, message))
    }
}
