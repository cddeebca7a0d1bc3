//! Rows that other boots, other lock files, poisoned clocks or people have left.

use std::time::Duration;

use elector::core::lease::{Outcome, Version};
use elector::core::{FencingToken, StoreTime};
use elector::driver::clock;
use elector::driver::stores::Store;

use super::site::{LEASE, Site, acquire, election, renew};

const HOUR_US: i64 = 3_600_000_000;

/// The store's clock.
fn now() -> StoreTime {
    StoreTime::from_micros(i64::try_from(clock::now().as_nanos() / 1_000).unwrap())
}

fn update(site: &Site, set: &str) {
    let changed = site.foreign().execute(&format!("UPDATE leader_lease SET {set}"), []).unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn a_row_of_another_boot_ends_by_the_wall_clock() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    // Its boot clock says long over; that is another clock than ours.
    update(&site, "boot_id = 'another', process_lock = NULL, expires_at = 1");
    let row = handle.look().unwrap();
    assert!(row.remaining > LEASE / 2 && row.remaining <= LEASE, "{:?}", row.remaining);
    assert_eq!(row.version(), handle.look().unwrap().version());
    assert_eq!(handle.acquire(LEASE), None);
    update(&site, &format!("expires_at = {HOUR_US}000, expires_wall = {}", clock::unix_micros()));
    assert!(handle.look().unwrap().remaining.is_zero());
    assert!(handle.acquire(LEASE).is_some());
}

#[test]
fn a_row_that_names_a_byte_of_another_lock_file_ends_by_time_alone() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    // The same file, a free byte: the process is gone. With another tag this cannot be known.
    update(&site, "process_lock = process_lock + 1");
    assert!(handle.look().unwrap().remaining.is_zero());
    update(&site, "process_lock = process_lock + (1 << 32)");
    assert!(handle.look().unwrap().remaining > LEASE / 2);
    assert_eq!(handle.acquire(LEASE), None);
}

#[test]
fn a_poisoned_expiry_is_brought_back_to_one_lease() {
    let site = Site::new();
    let mut handle = site.open();
    let lease_ms = LEASE.as_millis().to_string();
    for (lease_ms, expected) in [(&*lease_ms, LEASE), ("NULL", Duration::from_secs(15))] {
        let token = handle.acquire(LEASE).unwrap();
        let far = format!("expires_at = expires_at + {HOUR_US}, lease_ms = {lease_ms}");
        update(&site, &far);
        assert!(handle.look().unwrap().remaining > LEASE);
        let before = now();
        let told = handle.store.revoke(&election(), None).unwrap().unwrap();
        let after = now();
        let row = handle.look().unwrap();
        assert_eq!((told.token, told.expires_at), (Some(token), row.expires_at));
        assert_eq!(told.remaining, expected);
        let one_lease = before.saturating_add(expected)..=after.saturating_add(expected);
        assert!(one_lease.contains(&row.expires_at), "{:?} is not within {one_lease:?}", row.expires_at);
        assert!(row.remaining <= expected, "{:?}", row.remaining);
        assert!(handle.one(renew(token, LEASE)) == Ok(Outcome::Lost));
        update(&site, "expires_at = 1");
    }
}

#[test]
fn clean_up_deletes_what_is_long_dead_and_tokens_still_grow() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    // A token from the future, as if the wall clock had been set back since.
    let future = clock::unix_micros() + HOUR_US;
    let dead = (LEASE + Duration::from_secs(61)).as_micros();
    update(&site, &format!("expires_at = expires_at - {dead}, token = {future}"));
    assert_eq!(handle.store.clean_up().unwrap(), 1);
    assert_eq!(handle.store.clean_up().unwrap(), 0);
    assert_eq!(handle.look(), None);
    assert!(handle.store.rows(None).unwrap().is_empty());
    assert_eq!(handle.acquire(LEASE).unwrap().get(), future as u64 + 1);
}

#[test]
fn tokens_end_at_their_limit_with_a_clear_line() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    update(&site, &format!("expires_at = 1, token = {}", FencingToken::MAX));
    let line = handle.one(acquire(LEASE)).unwrap_err();
    assert!(line.is_permanent() && line.to_string().contains("9007199254740991"), "{line}");
}

#[test]
fn numbers_that_no_elector_wrote_do_no_harm() {
    let site = Site::new();
    let mut handle = site.open();
    handle.acquire(LEASE).unwrap();
    update(&site, "token = -5, expires_at = -9223372036854775808, lease_ms = -1, process_lock = -1");
    let row = handle.look().unwrap();
    let expires_at = StoreTime::from_micros(i64::MIN);
    assert_eq!((row.version(), row.lease), (Version::Row { token: None, expires_at }, None));
    assert!(row.remaining.is_zero());
    update(&site, "expires_at = 9223372036854775807");
    assert!(handle.look().unwrap().remaining > LEASE);
    assert!(handle.store.revoke(&election(), None).unwrap().is_some());
    update(&site, "expires_at = 0");
    assert!(handle.acquire(LEASE).is_some());
}
