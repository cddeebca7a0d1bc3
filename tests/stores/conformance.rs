//! What every store must do, run against each of them, and against PostgreSQL of the system's release and of
//! the newest. A test's name is the property.

#[macro_use]
mod list;
mod place;
mod properties;

#[cfg(all(feature = "postgres", target_os = "linux"))]
use elector_kit::cluster::Release;
use place::Place;

/// One test per property and store.
macro_rules! conformance {
    ($($property:ident)*) => {
        mod memory {
            use super::{Place, properties};
            $(#[test] fn $property() { properties::$property(&Place::memory()); })*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            use super::{Place, properties};
            $(#[test] fn $property() { properties::$property(&Place::sqlite()); })*
        }
        #[cfg(all(feature = "postgres", target_os = "linux"))]
        mod system {
            use super::{Place, Release, properties};
            $(#[test] fn $property() { properties::$property(&Place::postgres(Release::System)); })*
        }
        #[cfg(all(feature = "postgres", target_os = "linux"))]
        mod newest {
            use super::{Place, Release, properties};
            $(#[test] fn $property() { properties::$property(&Place::postgres(Release::Newest)); })*
        }
    };
}

every_property!(conformance);

/// Bounds on real time.
mod timed {
    #[cfg(all(feature = "postgres", target_os = "linux"))]
    use super::Release;
    use super::{Place, properties};

    every_timed_property!(conformance);
}
