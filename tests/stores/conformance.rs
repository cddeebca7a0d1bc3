//! What every store must do, [`elector::testing::conformance`], run against each of them, and against
//! PostgreSQL of the system's release and of the newest. A test's name is the property.

mod faulty;
mod fresh;

#[cfg(all(feature = "postgres", target_os = "linux"))]
use elector_kit::cluster::Release;
use fresh::Fresh;

mod memory {
    elector::conformance_tests!(super::Fresh::memory);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    elector::conformance_tests!(super::Fresh::sqlite);
}

#[cfg(all(feature = "postgres", target_os = "linux"))]
mod system {
    elector::conformance_tests!(|| super::Fresh::postgres(super::Release::System));
}

#[cfg(all(feature = "postgres", target_os = "linux"))]
mod newest {
    elector::conformance_tests!(|| super::Fresh::postgres(super::Release::Newest));
}

/// Bounds on real time.
mod timed {
    use std::time::Duration;

    use elector::testing::conformance;
    use elector_kit::witness::Witness;

    use super::Fresh;
    #[cfg(all(feature = "postgres", target_os = "linux"))]
    use super::Release;

    fn an_expired_lease_is_granted_within_a_second(place: &Fresh) {
        let witness = Witness::start(&[]);
        let late = conformance::take_over(place).unwrap();
        witness.at_most(late, Duration::from_secs(1), "a take-over after the expiry");
    }

    #[test]
    fn an_expired_lease_in_memory_is_granted_within_a_second() {
        an_expired_lease_is_granted_within_a_second(&Fresh::memory());
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_expired_lease_of_sqlite_is_granted_within_a_second() {
        an_expired_lease_is_granted_within_a_second(&Fresh::sqlite());
    }

    #[cfg(all(feature = "postgres", target_os = "linux"))]
    #[test]
    fn an_expired_lease_of_the_systems_postgres_is_granted_within_a_second() {
        an_expired_lease_is_granted_within_a_second(&Fresh::postgres(Release::System));
    }

    #[cfg(all(feature = "postgres", target_os = "linux"))]
    #[test]
    fn an_expired_lease_of_the_newest_postgres_is_granted_within_a_second() {
        an_expired_lease_is_granted_within_a_second(&Fresh::postgres(Release::Newest));
    }
}
