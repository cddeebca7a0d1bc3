//! What the tests of several suites share, one of each.
//!
//! Nothing here knows the crate under test.

#[cfg(target_os = "linux")]
pub mod answers;
#[cfg(target_os = "linux")]
pub mod candidate;
#[cfg(target_os = "linux")]
pub mod clock;
#[cfg(unix)]
pub mod cluster;
#[cfg(target_os = "linux")]
pub mod field;
#[cfg(target_os = "linux")]
pub mod peer;
#[cfg(unix)]
pub mod pgbouncer;
pub mod pooler;
pub mod ports;
#[cfg(unix)]
pub mod programs;
pub mod proxy;
pub mod seeds;
pub mod session;
#[cfg(unix)]
pub mod site;
pub mod waiting;
pub mod witness;

/// One test per property and release of PostgreSQL.
#[macro_export]
macro_rules! on_each_release {
    ($($property:ident)*) => {
        mod system {
            $(#[test] fn $property() { super::$property($crate::cluster::Release::System) })*
        }
        mod newest {
            $(#[test] fn $property() { super::$property($crate::cluster::Release::Newest) })*
        }
    };
}
