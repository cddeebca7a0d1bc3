//! Where the store under test keeps its leases.

use std::time::Duration;

use crate::driver::stores::{Notifier, Store, StoreError};

/// A place where the store under test keeps leases: a file, a table, a server. Each property gets a fresh
/// one, without rows, and opens several connections to it, from several threads.
pub trait Place: Sync {
    /// Opens a connection. It gives its hints to `notifier`.
    ///
    /// # Errors When it cannot be opened. Unless the error [is permanent](StoreError::is_permanent), the
    /// suite tries again, for up to a minute.
    fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError>;

    /// How far the store's wall clock may be from this machine's. Tokens and the starts of terms are compared
    /// with it. Zero unless you say more, as for a store on this machine.
    fn clock_tolerance(&self) -> Duration {
        Duration::ZERO
    }
}
