//! What every store must do, run against each of them. A test's name is the property.

#[macro_use]
#[path = "conformance/list.rs"]
mod list;
#[path = "conformance/place.rs"]
mod place;
#[path = "conformance/properties.rs"]
mod properties;

/// One test per property and store.
macro_rules! conformance {
    ($($property:ident)*) => {
        mod memory {
            $(#[test] fn $property() { crate::properties::$property(&crate::place::Place::memory()); })*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[test] fn $property() { crate::properties::$property(&crate::place::Place::sqlite()); })*
        }
    };
}

every_property!(conformance);

/// Bounds on real time.
mod timed {
    every_timed_property!(conformance);
}
