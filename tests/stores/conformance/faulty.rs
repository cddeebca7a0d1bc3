//! The suite itself: a store with one fault fails the property that names it, and the report says how.

use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, Op, Outcome, Row};
use elector::core::{FencingToken, Name};
use elector::driver::stores::{Answer, ElectionRow, Job, Notifier, Store, StoreError};
use elector::testing::conformance::{self, PROPERTIES, Place};

use super::Fresh;

/// What is wrong with a store: what it does to the jobs before it executes them, and to the answers after.
#[derive(Clone, Copy)]
struct Fault {
    jobs: fn(&mut Vec<Job>),
    answers: fn(&mut Vec<Answer>),
    is_silent: bool,
}

const SOUND: Fault = Fault { jobs: |_| {}, answers: |_| {}, is_silent: false };

/// A store in memory with a fault.
struct Faulty(Box<dyn Store>, Fault);

impl Store for Faulty {
    fn execute(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let mut jobs = jobs.to_vec();
        (self.1.jobs)(&mut jobs);
        let mut answers = self.0.execute(&jobs);
        (self.1.answers)(&mut answers);
        answers
    }

    fn rows(&mut self, election: Option<&Name>) -> Result<Vec<ElectionRow>, StoreError> {
        self.0.rows(election)
    }

    fn revoke(&mut self, election: &Name, token: Option<FencingToken>) -> Result<Option<Row>, StoreError> {
        self.0.revoke(election, token)
    }

    fn clean_up(&mut self) -> Result<u64, StoreError> {
        self.0.clean_up()
    }
}

struct FaultyPlace(Fresh, Fault);

impl Place for FaultyPlace {
    fn open(&self, notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
        let notifier = if self.1.is_silent { Arc::new(|_| {}) as Notifier } else { notifier };
        Ok(Box::new(Faulty(self.0.open(notifier)?, self.1)))
    }
}

/// What one property reports of a store with this fault.
fn report(property: &str, fault: Fault) -> Option<String> {
    let place = FaultyPlace(Fresh::memory(), fault);
    conformance::check_property(property, &place).err().map(|violation| violation.to_string())
}

fn each_acquire(jobs: &mut [Job], change: fn(&mut Acquire)) {
    for job in jobs {
        if let Op::Acquire(acquire) = &mut job.request.op {
            change(acquire);
        }
    }
}

fn each_loss(answers: &mut [Answer], reported: &Outcome) {
    let outcomes = answers.iter_mut().map(|answer| &mut answer.reply.outcome);
    outcomes.filter(|outcome| **outcome == Outcome::Lost).for_each(|outcome| *outcome = reported.clone());
}

#[test]
fn a_sound_store_has_every_property() {
    let mut places = 0;
    let fresh = || {
        places += 1;
        FaultyPlace(Fresh::memory(), SOUND)
    };
    assert_eq!(conformance::check(fresh), Ok(()));
    assert_eq!(places, PROPERTIES.len());
}

#[test]
fn a_fault_is_reported_by_its_property_with_what_was_asked_and_found() {
    let faults: [(&str, Fault, &[&str]); 6] = [
        (
            "a_held_lease_is_shown_and_not_granted",
            Fault { jobs: |jobs| each_acquire(jobs, |acquire| acquire.lease = Duration::ZERO), ..SOUND },
            &[
                "expected the row as it stands, found Granted",
                "connection 1: acquire \"e\" for b, lease 240s: Granted",
            ],
        ),
        (
            "only_the_holder_renews",
            Fault { answers: |answers| each_loss(answers, &Outcome::Renewed), ..SOUND },
            &["a renewal by another candidate: expected Lost, found Renewed", "renew \"e\" by b, token"],
        ),
        (
            "an_acquire_of_an_unchanged_row_is_refused_if_it_changed",
            Fault { jobs: |jobs| each_acquire(jobs, |acquire| acquire.unchanged = None), ..SOUND },
            &["an acquire if there is no row: expected Seen", "found Granted"],
        ),
        (
            "a_batch_is_answered_in_order",
            Fault { answers: |answers| answers.reverse(), ..SOUND },
            &["renew \"held\" by a", "the answer in its place names another request"],
        ),
        (
            "ten_thousand_jobs_are_one_batch",
            Fault { answers: |answers| answers.truncate(1_000), ..SOUND },
            &["answers to a batch: expected 10000, found 1000"],
        ),
        (
            "replies_carry_one_clock_that_goes_forward",
            Fault { answers: |answers| answers[0].reply.clock = None, ..SOUND },
            &["the reply carries no clock", "connection 1: look \"e\": Seen(None)"],
        ),
    ];
    for (property, fault, parts) in faults {
        let report = report(property, fault).unwrap_or_else(|| panic!("{property} holds for a faulty store"));
        assert!(report.starts_with(&format!("{property}: ")), "{report}");
        parts.iter().for_each(|part| assert!(report.contains(part), "no {part:?} in: {report}"));
    }
}

#[test]
fn a_store_without_hints_lacks_the_two_properties_of_hints_only() {
    // Not by way of `check`: each of the two waits a minute for a hint.
    let silent = Fault { is_silent: true, ..SOUND };
    let others = PROPERTIES.iter().filter(|property| !property.name().ends_with("_connection"));
    assert_eq!(others.clone().count(), PROPERTIES.len() - 2);
    for property in others {
        assert_eq!(property.check(&FaultyPlace(Fresh::memory(), silent)), Ok(()));
    }
}

#[test]
fn a_property_that_there_is_not_is_reported() {
    let report = report("a_store_is_fast", SOUND).expect("an unknown property");
    assert_eq!(report, "a_store_is_fast: there is no such property; see PROPERTIES");
}

#[test]
fn a_place_that_cannot_be_opened_is_reported_with_the_reason() {
    struct Closed;
    impl Place for Closed {
        fn open(&self, _notifier: Notifier) -> Result<Box<dyn Store>, StoreError> {
            Err(StoreError::new(elector::core::lease::Failure::Refused, "closed on Sundays"))
        }
    }
    let violations = conformance::check(|| Closed).unwrap_err();
    assert_eq!(violations.iter().count(), PROPERTIES.len());
    let report = violations.to_string();
    let head = format!("{0} of {0} properties do not hold", PROPERTIES.len());
    assert!(report.starts_with(&head), "{report}");
    assert!(
        report.contains("only_the_holder_renews: cannot open a connection: closed on Sundays"),
        "{report}"
    );
}
