//! A fresh place for one test.

use std::sync::atomic::{AtomicU64, Ordering};

use elector::driver::stores::url::StoreUrl;
use elector::driver::stores::{Notifier, Store, StoreError};
use elector::testing::conformance::Place;
#[cfg(all(feature = "postgres", target_os = "linux"))]
use elector_kit::cluster::{Release, fresh_database};

/// One place where leases are kept, gone with the test.
pub struct Fresh {
    url: StoreUrl,
    _directory: Option<tempfile::TempDir>,
}

impl Fresh {
    pub fn memory() -> Fresh {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        let url = format!("memory:conformance-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        Fresh { url: StoreUrl::parse(&url).unwrap(), _directory: None }
    }

    #[cfg(feature = "sqlite")]
    pub fn sqlite() -> Fresh {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("leases.db").display());
        Fresh { url: StoreUrl::parse(&url).unwrap(), _directory: Some(directory) }
    }

    /// A fresh database.
    #[cfg(all(feature = "postgres", target_os = "linux"))]
    pub fn postgres(release: Release) -> Fresh {
        Fresh { url: StoreUrl::parse(&fresh_database(release)).unwrap(), _directory: None }
    }
}

impl Place for Fresh {
    fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
        self.url.open(notifier)
    }
}
