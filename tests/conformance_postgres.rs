//! What every store must do, run against PostgreSQL: the system's release and the newest, each property in a
//! database of its own. tests/setup-postgres.sh installs what is needed.
#![cfg(all(feature = "postgres", target_os = "linux"))]

#[macro_use]
#[path = "conformance/list.rs"]
mod list;
#[path = "conformance/place.rs"]
mod place;
#[path = "conformance/properties.rs"]
mod properties;

use elector_kit::cluster::{Release, fresh_database};
use place::Place;

macro_rules! conformance {
    ($($property:ident)*) => {
        mod system {
            use crate::{Release, fresh, properties};
            $(#[test] fn $property() { properties::$property(&fresh(Release::System)); })*
        }
        mod newest {
            use crate::{Release, fresh, properties};
            $(#[test] fn $property() { properties::$property(&fresh(Release::Newest)); })*
        }
    };
}

every_property!(conformance);

/// Bounds on real time. The modules have other names, so that what picks a release does not pick these.
mod timed {
    macro_rules! conformance {
        ($($property:ident)*) => {
            mod systems_release {
                use crate::{Release, fresh, properties};
                $(#[test] fn $property() { properties::$property(&fresh(Release::System)); })*
            }
            mod newest_release {
                use crate::{Release, fresh, properties};
                $(#[test] fn $property() { properties::$property(&fresh(Release::Newest)); })*
            }
        };
    }
    every_timed_property!(conformance);
}

fn fresh(release: Release) -> Place {
    Place::at(&fresh_database(release))
}
