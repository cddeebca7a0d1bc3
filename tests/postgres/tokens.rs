//! Promise T where only this store can show it: the server's clock is behind what a row says.

use elector::Elector;

use crate::handle::Handle;
use elector_kit::cluster::{Release, fresh_database};
use elector_kit::session::Session;
use elector_kit::waiting::SOON;

elector_kit::on_each_release! {
    a_token_grows_although_the_clock_is_behind_it
    a_clean_up_keeps_what_the_clock_cannot_stand_in_for
}

const FAR: u64 = 4_102_444_800_000_000;

/// A row is left with a token of the year 2100, as a server whose clock was wrong would have left it.
fn a_token_grows_although_the_clock_is_behind_it(release: Release) {
    let url = fresh_database(release);
    let elector = Elector::builder("e").store(&url).build().unwrap();
    let lead = || {
        elector.campaign();
        let token = elector.wait_until_leader(SOON);
        elector.release_and_wait(SOON).unwrap();
        token.unwrap_or_else(|| panic!("{:?}", elector.last_error())).get()
    };
    lead();
    Session::open(&url).run(&format!("UPDATE leader_lease SET token = {FAR}"));
    assert_eq!(lead(), FAR + 1);
}

/// Of two rows that have been dead for long, only the one whose token is behind the clock may go.
fn a_clean_up_keeps_what_the_clock_cannot_stand_in_for(release: Release) {
    let url = fresh_database(release);
    let mut store = Handle::open(&url);
    for election in ["ahead", "behind"] {
        store.acquire(election, 1).unwrap();
    }
    let session = Session::open(&url);
    session.run(
        "UPDATE leader_lease SET created_at = clock_timestamp() - interval '2 hours', \
         expires_at = clock_timestamp() - interval '1 hour'",
    );
    session.run(&format!("UPDATE leader_lease SET token = {FAR} WHERE id = 'ahead'"));
    assert_eq!(store.store.clean_up().unwrap(), 1);
    assert_eq!(session.one("SELECT id FROM leader_lease"), "ahead");
    assert_eq!(store.acquire("ahead", 1).unwrap().get(), FAR + 1);
}
