//! A table that the real nest-leader-election made, and its replicas beside ours on it.

use std::sync::Arc;
use std::time::Duration;

use elector::Elector;
use elector::driver::stores::url::StoreUrl;
use serde_json::json;

use crate::leading::leading;
use crate::watch::{SLACK, watch};
use elector_kit::candidate::Stand;
use elector_kit::clock::{self, Instant};
use elector_kit::cluster::{Release, fresh_database, shared_pid};
use elector_kit::field::{Field, Leader, STEADY, stand};
use elector_kit::peer::Peer;
use elector_kit::session::Session;
use elector_kit::waiting::wait_until;

/// How far two clocks of one machine may part while a row of the peer lasts; what is left is rounded, too.
const CLOCKS: Duration = Duration::from_millis(20);

elector_kit::on_each_release! {
    its_table_is_adopted_with_its_rows_and_its_type_of_id
    a_table_that_typeorm_made_is_adopted_too
    an_election_that_is_no_number_is_refused_on_its_table
    its_lease_is_honoured_and_a_crashed_leader_of_its_is_followed_when_its_row_expires
    our_lease_is_honoured_by_it
    replicas_are_rolled_out_and_rolled_back
    a_stopped_leader_of_its_is_followed_and_steps_down_when_it_goes_on
    columns_that_typeorm_dropped_end_the_term_and_come_back
    a_release_under_an_open_guard_holds_up_no_other_election_on_its_table
}

/// Quick polling, and a cleaner that runs often.
fn quick() -> serde_json::Value {
    json!({ "leaseDuration": 1_200, "renewalInterval": 300, "jitterRange": 100, "baseCleanInterval": 500 })
}

/// Candidates of Elector for lock 1 of nest-leader-election.
fn ours(url: &str, candidates: usize) -> Field {
    Field::of(Stand { election: "1".to_owned(), ..stand(url, STEADY) }, candidates)
}

fn is_adopted(session: &Session) {
    let types = session.columns();
    for column in ["id integer", "token bigint", "meta text", "leader_id text"] {
        assert!(types.contains(column), "{types}");
    }
}

fn its_table_is_adopted_with_its_rows_and_its_type_of_id(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut peer = Peer::start(&url, "theirs", quick());
    peer.elected();
    let before = session.one("SELECT created_at::text FROM leader_lease WHERE id = 1");
    let mut store = StoreUrl::parse(&url).unwrap().open(Arc::new(|_| {})).unwrap();
    is_adopted(&session);
    assert_eq!(session.one("SELECT created_at::text FROM leader_lease WHERE id = 1"), before);
    let rows = store.rows(None).unwrap();
    assert_eq!((rows.len(), rows[0].election.as_str()), (1, "1"));
    assert_eq!(rows[0].leader().map(|id| id.as_str().to_owned()), Some("theirs".to_owned()));
    // It has renewed just now, by `leaseDuration` for 1.2 s.
    assert!(rows[0].row.remaining > Duration::from_secs(5), "its lease is 15 s: {:?}", rows[0]);
    // Its check and its index stay, and it goes on.
    let kept = "SELECT count(*) FROM pg_indexes WHERE indexname = 'leader_lease_expires'";
    assert_eq!(session.number(kept), 1);
    assert!(session.query("INSERT INTO leader_lease VALUES (7, 'x', now(), now())").is_err());
    std::thread::sleep(Duration::from_secs(1));
    assert!(peer.leads());
}

/// Its migration, and TypeORM's `synchronize`, name things in another way and make no index.
fn a_table_that_typeorm_made_is_adopted_too(release: Release) {
    let url = fresh_database(release);
    let config = json!({ "lockId": 1, "instanceId": "theirs", "createTableOnInit": false });
    let mut peer = Peer::with(json!({ "url": url, "synchronize": true, "config": config }));
    peer.elected();
    let mut field = ours(&url, 1);
    let session = Session::open(&url);
    wait_until("the candidate adopts the table", || session.columns().contains("token"));
    is_adopted(&session);
    peer.say("release");
    let released = peer.deposed();
    assert!(field.leader().since >= released);
    field.assert_no_complaint();
    field.judge();
}

fn an_election_that_is_no_number_is_refused_on_its_table(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "theirs", quick()));
    for name in ["nightly", "01", "2147483648", "1.0", " 1"] {
        let elector = Elector::builder(name).store(&*url).lease(STEADY).build().unwrap();
        elector.campaign();
        assert_eq!(elector.wait_until_leader(Duration::from_millis(700)), None);
        wait_until("a refusal", || elector.last_error().is_some());
        let error = elector.last_error().unwrap();
        assert!(error.is_permanent(), "{error}");
        let line = error.to_string();
        assert!(line.contains("integer") && line.contains(name) && !line.contains('\n'), "{line}");
    }
    // A refused election does no harm to the others of the process.
    leading(Elector::builder("2").store(&*url).lease(STEADY).build().unwrap());
}

/// What is left of the row of a process that was killed or stopped, and when that was asked.
fn left(session: &Session) -> (Instant, Duration) {
    // What it had sent has arrived by then.
    std::thread::sleep(Duration::from_millis(100));
    let left = "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint FROM leader_lease";
    let asked = clock::now();
    (asked, Duration::from_millis(session.number(left).max(0) as u64))
}

fn its_lease_is_honoured_and_a_crashed_leader_of_its_is_followed_when_its_row_expires(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut peer = Peer::start_nest(&url, "theirs", quick());
    peer.elected();
    let mut field = ours(&url, 2);
    field.pass(2 * STEADY);
    assert_eq!(field.terms(), 0, "its lease is honoured");
    peer.kill();
    let witness = watch(&field, shared_pid(release));
    let (asked, left) = left(&session);
    let leader = field.leader();
    let took = leader.since.saturating_since(asked);
    println!("its row had {left:?} left; ours leads {took:?} after that");
    assert!(took + CLOCKS >= left, "not before its row expires: {took:?} of {left:?}");
    witness.at_most(took, left + SLACK, "the fail-over");
    field.assert_no_complaint();
    field.judge();
}

/// A killed leader of ours is followed too: its cleaner deletes our row some seconds after it has expired.
fn our_lease_is_honoured_by_it(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "first", quick()));
    let session = Session::open(&url);
    session.run("DELETE FROM leader_lease");
    let mut field = ours(&url, 1);
    let leader = field.leader();
    let mut peers: Vec<Peer> = ["a", "b"].iter().map(|name| Peer::start(&url, name, quick())).collect();
    field.pass(STEADY + STEADY / 3);
    assert_eq!(field.leader(), leader);
    assert!(peers.iter_mut().all(|peer| !peer.leads()));
    field.kill(leader.candidate);
    let (asked, left) = left(&session);
    let took = first_elected(&mut peers).saturating_since(asked);
    println!("our row had {left:?} left; theirs leads {took:?} after that");
    assert!(took + CLOCKS >= left, "not before our row expires: {took:?} of {left:?}");
}

fn first_elected(peers: &mut [Peer]) -> Instant {
    let mut elected = None;
    wait_until("a peer leads", || {
        let turns = peers.iter_mut().filter_map(|peer| peer.next(Duration::from_millis(5)));
        elected = turns.filter(|turn| turn.leads).map(|turn| turn.at).min();
        elected.is_some()
    });
    elected.unwrap()
}

fn replicas_are_rolled_out_and_rolled_back(release: Release) {
    let url = fresh_database(release);
    let mut old = Peer::start(&url, "old", quick());
    let mut other = Peer::start(&url, "other", quick());
    old.elected();
    // Out: ours join, theirs leave one by one, the leader last and in order.
    let mut field = ours(&url, 2);
    field.pass(Duration::from_secs(1));
    other.say("release");
    other.kill();
    let witness = watch(&field, shared_pid(release));
    old.say("release");
    let released = old.deposed();
    let leader = field.leader();
    let took = leader.since.saturating_since(released);
    println!("roll-out: ours leads {took:?} after theirs released");
    assert!(leader.since >= released);
    witness.at_most(took, STEADY / 3 + SLACK, "looking for a release of theirs");
    drop(old);
    // Back: theirs join, ours leave in order.
    let mut peers = [Peer::start(&url, "back", quick())];
    field.pass(Duration::from_secs(1));
    assert!(!peers[0].leads());
    let Leader { candidate, token, .. } = field.leader();
    field.kill(1 - candidate);
    let witness = watch(&field, shared_pid(release));
    witness.watch(peers[0].pid());
    field.say(candidate, "release");
    let released = field.end_of(token);
    let elected = first_elected(&mut peers);
    let took = elected.saturating_since(released);
    println!("roll-back: theirs leads {took:?} after ours released");
    assert!(elected >= released);
    witness.at_most(took, Duration::from_secs(3), "their looking for a release of ours");
    // Its attempts lock our row for a moment; a renewal that meets one is tried again.
    field.errors.retain(|error| !error.contains("another transaction holds the row"));
    field.assert_no_complaint();
    field.judge();
}

/// It does not watch the clock, so it believes for a while after it goes on; our side of the promise is that
/// ours leads only once its row has expired, and that it steps down at its next look.
fn a_stopped_leader_of_its_is_followed_and_steps_down_when_it_goes_on(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut peer = Peer::start(&url, "theirs", quick());
    peer.elected();
    let mut field = ours(&url, 2);
    field.pass(Duration::from_millis(500));
    peer.signal(nix::sys::signal::Signal::SIGSTOP);
    let witness = watch(&field, shared_pid(release));
    let (asked, left) = left(&session);
    let leader = field.leader();
    let took = leader.since.saturating_since(asked);
    assert!(took + CLOCKS >= left, "not before its row expires: {took:?} of {left:?}");
    witness.at_most(took, left + SLACK, "the fail-over");
    let witness = watch(&field, shared_pid(release));
    witness.watch(peer.pid());
    let going_on = clock::now();
    peer.signal(nix::sys::signal::Signal::SIGCONT);
    let took = peer.deposed().saturating_since(going_on);
    witness.at_most(took, Duration::from_secs(3), "their look at the row");
    field.pass(STEADY);
    assert_eq!(field.leader(), leader);
    field.judge();
}

/// An old replica that starts with TypeORM's `synchronize: true` takes our columns away. No candidate of
/// Elector leads without tokens; Elector adds the columns again, and the election goes on.
fn columns_that_typeorm_dropped_end_the_term_and_come_back(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "first", quick()));
    Session::open(&url).run("DELETE FROM leader_lease");
    let mut field = ours(&url, 2);
    let leader = field.leader();
    let config = json!({ "lockId": 1, "instanceId": "theirs", "createTableOnInit": false });
    let mut peer = Peer::with(json!({ "url": url, "synchronize": true, "config": config }));
    let dropped = clock::now();
    let ended = field.end_of(leader.token);
    assert!(ended.saturating_since(dropped) <= STEADY, "no renewal without its token");
    let new = field.leader_after(leader.token);
    println!("leads again {:?} after its columns were dropped", new.since.saturating_since(dropped));
    is_adopted(&Session::open(&url));
    assert!(!peer.leads());
    field.judge();
}

fn a_release_under_an_open_guard_holds_up_no_other_election_on_its_table(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "theirs", json!({ "lockId": 7 })));
    crate::guard::released_under_a_guard(&url);
}
