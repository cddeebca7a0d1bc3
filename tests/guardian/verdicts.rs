//! What the witness of timed tests makes of samples and of a bound, on made-up numbers.

use std::time::Duration;

use elector_kit::witness::{Verdict, Waits, verdict};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn waits_of_all_threads_add_up_from_when_they_were_met() {
    let mut waits = Waits::default();
    waits.meet((1, 1), ms(500));
    waits.note((1, 1), ms(510));
    // A thread that began later, and one of another process with the same number.
    waits.note((1, 2), ms(7));
    waits.note((2, 2), ms(1));
    waits.note((1, 1), ms(515));
    assert_eq!(waits.sum(), ms(15 + 7 + 1));
}

#[test]
fn a_thread_that_was_met_before_is_not_met_again() {
    let mut waits = Waits::default();
    waits.note((1, 1), ms(5));
    waits.meet((1, 1), ms(90));
    waits.note((1, 1), ms(100));
    assert_eq!(waits.sum(), ms(100));
}

#[test]
fn a_counter_that_shrank_is_a_new_threads() {
    let mut waits = Waits::default();
    waits.meet((1, 1), ms(500));
    waits.note((1, 1), ms(3));
    assert_eq!(waits.sum(), ms(3));
}

#[test]
fn what_was_forgotten_does_not_count_again() {
    let mut waits = Waits::default();
    waits.note((1, 1), ms(40));
    waits.forget();
    waits.note((1, 1), ms(42));
    assert_eq!(waits.sum(), ms(2));
}

#[test]
fn a_missed_bound_is_inconclusive_only_beside_a_wait_of_more_than_a_quarter_of_it() {
    assert_eq!(verdict(ms(100), ms(100), ms(9_000)), Verdict::Kept);
    assert_eq!(verdict(ms(101), ms(100), ms(25)), Verdict::Missed);
    assert_eq!(verdict(ms(101), ms(100), ms(26)), Verdict::Inconclusive);
}
