//! The properties that a store must have, for those who write one: what
//! [`Store`](crate::driver::stores::Store) says, as checks.
//!
//! [`check`] runs all of them in one test, and reports what a property expected, what it found, and the
//! latest calls before that:
//!
//! ```
//! use elector::driver::stores::memory::MemoryStore;
//! use elector::driver::stores::{Notifier, Store, StoreError};
//! use elector::testing::conformance::{self, Place};
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! /// Your store in place of this one: here a store in memory, with a name that no other test has.
//! struct Fresh(MemoryStore);
//!
//! impl Place for Fresh {
//!     fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
//!         Ok(self.0.open(notifier))
//!     }
//! }
//!
//! fn fresh() -> Fresh {
//!     static PLACES: AtomicU64 = AtomicU64::new(0);
//!     Fresh(MemoryStore::named(&format!("fresh {}", PLACES.fetch_add(1, Ordering::Relaxed))))
//! }
//!
//! // In a test:
//! # fn main() -> Result<(), conformance::Violations> {
//! conformance::check(fresh)
//! # }
//! ```
//!
//! [`conformance_tests!`](crate::conformance_tests) makes one test of each property instead.
//!
//! No property has an upper bound on real time below a minute, so that a busy machine cannot fail it;
//! together they take a few seconds. Each waits up to a minute for what must come, and tries again what a
//! store reports as [`Failure::Unsent`](crate::core::lease::Failure::Unsent). The suite reports what is
//! broken and does not panic; a store that panics does.
//!
//! By the contract hints may be late or missing. A store without them is safe and slower, and lacks the two
//! properties of hints; leave these out:
//!
//! ```
//! # use elector::driver::stores::{Notifier, Store, StoreError, memory::MemoryStore};
//! # use elector::testing::conformance::{Place, PROPERTIES, Violation};
//! # struct Fresh(MemoryStore);
//! # impl Place for Fresh {
//! #     fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
//! #         Ok(self.0.open(notifier))
//! #     }
//! # }
//! # fn fresh(name: &str) -> Fresh {
//! #     Fresh(MemoryStore::named(name))
//! # }
//! # fn main() -> Result<(), Violation> {
//! for property in PROPERTIES {
//!     if !property.name().ends_with("notifies_every_connection")
//!         && !property.name().ends_with("notifies_no_connection")
//!     {
//!         property.check(&fresh(property.name()))?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Not checked, since it takes faults that only you can cause: that a call returns soon after its deadline
//! when the store hangs, and that what was answered survives a crash.

mod batches;
mod connection;
mod place;
mod terms;

pub use place::Place;

use std::fmt;
use std::time::Duration;

use connection::{Checked, Trial};

/// A property of a store.
#[derive(Clone, Copy)]
pub struct Property {
    name: &'static str,
    proof: fn(&Trial<'_>) -> Checked,
}

impl Property {
    /// The property in words: `only_the_holder_renews`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks the property on a fresh place.
    ///
    /// # Errors
    /// When the store does not have it, cannot be opened or fails.
    pub fn check(&self, place: &dyn Place) -> Result<(), Violation> {
        judged(self.name, place, self.proof)
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A property that a store does not have. Both of its texts say what was expected and found, and end in the
/// latest calls, the oldest first.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    property: String,
    what: String,
    calls: Vec<String>,
}

impl Violation {
    /// The property's name.
    #[must_use]
    pub fn property(&self) -> &str {
        &self.property
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.what)?;
        self.calls.iter().try_for_each(|call| write!(f, "\n    {call}"))
    }
}

// A test that returns it is reported by this.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violation {}

/// All properties that a store does not have.
#[derive(Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// One by one, in the order of [`PROPERTIES`].
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} properties do not hold", self.0.len(), PROPERTIES.len())?;
        self.0.iter().try_for_each(|violation| write!(f, "\n{violation}"))
    }
}

// A test that returns it is reported by this.
impl fmt::Debug for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Violations {}

/// Checks every property, each on a place that `fresh` makes.
///
/// # Errors
/// When the store lacks some of them: these.
pub fn check<P: Place>(mut fresh: impl FnMut() -> P) -> Result<(), Violations> {
    let failed = PROPERTIES.iter().filter_map(|property| property.check(&fresh()).err());
    let failed: Vec<Violation> = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(Violations(failed)) }
}

/// Checks the property of this name on a fresh place: what each test of
/// [`conformance_tests!`](crate::conformance_tests) does.
///
/// # Errors
/// As [`Property::check`], and when there is no property of this name.
pub fn check_property(name: &str, place: &dyn Place) -> Result<(), Violation> {
    match PROPERTIES.iter().find(|property| property.name == name) {
        Some(property) => property.check(place),
        None => {
            let what = "there is no such property; see PROPERTIES".to_owned();
            Err(Violation { property: name.to_owned(), what, calls: Vec::new() })
        }
    }
}

/// How long after its expiry a lease of 120 ms is granted to another candidate that asks every millisecond.
/// For bounds on real time, which a busy machine can miss.
///
/// # Errors
/// When it is not granted, or the store fails.
pub fn take_over(place: &dyn Place) -> Result<Duration, Violation> {
    judged("take_over", place, terms::take_over)
}

fn judged<T>(
    name: &str,
    place: &dyn Place,
    proof: impl FnOnce(&Trial<'_>) -> Checked<T>,
) -> Result<T, Violation> {
    let trial = Trial::new(place);
    let result = proof(&trial);
    result.map_err(|broken| Violation { property: name.to_owned(), what: broken.0, calls: trial.calls() })
}

/// Makes one test of each property of [`testing::conformance`](crate::testing::conformance), named by it. The
/// argument is a function or closure that makes a fresh [`Place`](crate::testing::conformance::Place).
///
/// ```
/// # use elector::driver::stores::{Notifier, Store, StoreError, memory::MemoryStore};
/// # use elector::testing::conformance::Place;
/// # struct Fresh(MemoryStore);
/// # impl Place for Fresh {
/// #     fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
/// #         Ok(self.0.open(notifier))
/// #     }
/// # }
/// # fn fresh() -> Fresh {
/// #     Fresh(MemoryStore::named("fresh"))
/// # }
/// mod my_store {
///     elector::conformance_tests!(super::fresh);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:expr) => {
        $crate::conformance_properties! { [$crate::conformance_tests] ($fresh) }
    };
    (@ ($fresh:expr) $($file:ident: $($property:ident)*;)*) => {
        $($(
            #[test]
            fn $property() -> ::std::result::Result<(), $crate::testing::conformance::Violation> {
                $crate::testing::conformance::check_property(::std::stringify!($property), &($fresh)())
            }
        )*)*
    };
}

/// Passes the names of all properties, grouped by the file that contains them, to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_properties {
    ([$($with:tt)*] ($($given:tt)*)) => {
        $($with)*! { @ ($($given)*)
            batches:
                one_of_eight_racing_candidates_is_granted_the_lease
                every_name_is_kept_exactly
                a_batch_is_answered_in_order
                a_batch_grants_an_election_once
                ten_thousand_jobs_are_one_batch
                a_clean_up_spares_rows_that_may_still_matter
                rows_are_listed_by_name_with_the_start_of_their_term
                a_release_notifies_every_connection
                a_renewal_notifies_no_connection
                replies_carry_one_clock_that_goes_forward;
            terms:
                a_held_lease_is_shown_and_not_granted
                an_expired_lease_is_granted_and_not_before
                a_lease_counts_from_the_execution_of_the_acquire
                only_the_holder_renews
                an_expired_lease_cannot_be_renewed
                only_the_holder_releases
                a_released_row_keeps_its_token_and_is_free_at_once
                a_late_release_does_not_end_the_next_term
                tokens_grow_through_every_end_of_a_term
                tokens_are_not_below_the_microseconds_since_1970
                a_revoked_holder_fails_its_renewal_and_keeps_others_out
                a_revoked_lease_is_granted_when_it_ends_and_not_before
                only_the_named_term_is_revoked
                a_vacant_row_has_nothing_to_revoke
                an_acquire_of_an_unchanged_row_is_refused_if_it_changed
                a_look_changes_nothing
                meta_is_shown_while_the_term_lasts;
        }
    };
}

macro_rules! list {
    (@ () $($file:ident: $($property:ident)*;)*) => {
        &[$($(Property { name: stringify!($property), proof: $file::$property },)*)*]
    };
}

/// Every property of a store, by its name.
pub static PROPERTIES: &[Property] = conformance_properties! { [list] () };
