//! A table that the real nest-leader-election made, and its replicas beside ours on it.

use std::sync::Arc;
use std::time::Duration;

use elector::Elector;
use elector::core::Instant;
use elector::driver::clock;
use elector::driver::url::StoreUrl;
use serde_json::json;

use crate::candidate::Stand;
use crate::cluster::{Release, fresh_database};
use crate::field::{Field, Leader, SLACK, STEADY};
use crate::peer::Peer;
use crate::session::Session;
use crate::waiting::leading;

const SOON: Duration = Duration::from_secs(20);
/// What its rows last, whatever `leaseDuration` says.
const PEER_LEASE: Duration = Duration::from_secs(15);

crate::on_each_release! {
    its_table_is_adopted_with_its_rows_and_its_type_of_id
    a_table_that_typeorm_made_is_adopted_too
    an_election_that_is_no_number_is_refused_on_its_table
    its_lease_is_honoured_and_a_crashed_leader_of_its_is_followed_when_its_row_expires
    our_lease_is_honoured_by_it
    replicas_are_rolled_out_and_rolled_back
    a_stopped_leader_of_its_is_followed_and_steps_down_when_it_goes_on
    columns_that_typeorm_dropped_end_the_term_and_come_back
}

/// Quick polling, and a cleaner that runs often.
fn quick() -> serde_json::Value {
    json!({ "leaseDuration": 1_200, "renewalInterval": 300, "jitterRange": 100, "baseCleanInterval": 500 })
}

/// Ours for its lock 1.
fn ours(url: &str, candidates: usize) -> Field {
    Field::of(Stand { store: url.to_owned(), election: "1".to_owned(), lease: STEADY }, candidates)
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
    peer.elected(SOON);
    let before = session.one("SELECT created_at::text FROM leader_lease WHERE id = 1");
    let mut store = StoreUrl::parse(&url).unwrap().open(Arc::new(|_| {})).unwrap();
    is_adopted(&session);
    assert_eq!(session.one("SELECT created_at::text FROM leader_lease WHERE id = 1"), before);
    let rows = store.rows(None).unwrap();
    assert_eq!((rows.len(), rows[0].election.as_str()), (1, "1"));
    assert_eq!(rows[0].leader().map(|id| id.as_str().to_owned()), Some("theirs".to_owned()));
    assert!(rows[0].row.remaining > Duration::from_secs(12), "its lease is 15 s: {:?}", rows[0]);
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
    peer.elected(SOON);
    let mut field = ours(&url, 1);
    field.pass(Duration::from_secs(1));
    is_adopted(&Session::open(&url));
    peer.say("release");
    let released = peer.deposed(SOON);
    assert!(field.leader(SOON).since >= released);
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

fn an_election_that_is_no_number_is_refused_on_its_table(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "theirs", quick()));
    for name in ["nightly", "01", "2147483648", "1.0", " 1"] {
        let elector = Elector::builder(name).store(&*url).lease(STEADY).build().unwrap();
        elector.campaign();
        assert_eq!(elector.wait_until_leader(Duration::from_millis(700)), None);
        let asked = std::time::Instant::now();
        while elector.last_error().is_none() && asked.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(10));
        }
        let error = elector.last_error().expect("a refusal");
        assert!(error.is_permanent(), "{error}");
        let line = error.to_string();
        assert!(line.contains("integer") && line.contains(name) && !line.contains('\n'), "{line}");
    }
    // A refused election does no harm to the others of the process.
    leading(Elector::builder("2").store(&*url).lease(STEADY).build().unwrap(), SOON);
}

fn expiry(session: &Session) -> Duration {
    let left = "SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint FROM leader_lease";
    Duration::from_millis(session.number(left).max(0) as u64)
}

fn its_lease_is_honoured_and_a_crashed_leader_of_its_is_followed_when_its_row_expires(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut peer = Peer::start_nest(&url, "theirs", quick());
    peer.elected(SOON);
    let mut field = ours(&url, 2);
    field.pass(2 * STEADY);
    assert_eq!(field.terms(), 0, "its lease is honoured");
    peer.kill();
    let killed = clock::now();
    let left = expiry(&session);
    let leader = field.leader(PEER_LEASE + SLACK);
    let took = leader.since.saturating_since(killed);
    println!("its row had {left:?} left; ours leads {took:?} after the crash");
    assert!(took + Duration::from_millis(50) >= left, "not before its row expires: {took:?} of {left:?}");
    assert!(took <= left + SLACK, "{took:?} of {left:?}");
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

fn our_lease_is_honoured_by_it(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "first", quick()));
    Session::open(&url).run("DELETE FROM leader_lease");
    let mut field = ours(&url, 1);
    let leader = field.leader(SOON);
    let mut peers: Vec<Peer> = ["a", "b"].iter().map(|name| Peer::start(&url, name, quick())).collect();
    field.pass(Duration::from_secs(6));
    assert_eq!(field.leader(SOON), leader);
    assert!(peers.iter_mut().all(|peer| !peer.leads()));
    // Killed: its cleaner deletes our row 5 s after it expired; then it leads.
    let killed = field.kill(leader.candidate);
    let elected = first_elected(&mut peers, STEADY + Duration::from_secs(5) + SOON);
    let took = elected.saturating_since(killed);
    assert!(took >= STEADY / 3, "{took:?}");
}

fn first_elected(peers: &mut [Peer], within: Duration) -> Instant {
    let deadline = std::time::Instant::now() + within;
    loop {
        for peer in peers.iter_mut() {
            if let Some(turn) = peer.next(Duration::from_millis(5)).filter(|turn| turn.leads) {
                return turn.at;
            }
        }
        assert!(std::time::Instant::now() < deadline, "no peer leads within {within:?}");
    }
}

fn replicas_are_rolled_out_and_rolled_back(release: Release) {
    let url = fresh_database(release);
    let mut old = Peer::start(&url, "old", quick());
    let mut other = Peer::start(&url, "other", quick());
    old.elected(SOON);
    // Out: ours join, theirs leave one by one, the leader last and in order.
    let mut field = ours(&url, 2);
    field.pass(Duration::from_secs(1));
    other.say("release");
    other.kill();
    old.say("release");
    let released = old.deposed(SOON);
    let leader = field.leader(SOON);
    let took = leader.since.saturating_since(released);
    println!("roll-out: ours leads {took:?} after theirs released");
    assert!(took <= STEADY / 2 + SLACK, "looking finds it: {took:?}");
    assert!(leader.since >= released);
    drop(old);
    // Back: theirs join, ours leave in order.
    let mut peers = [Peer::start(&url, "back", quick())];
    field.pass(Duration::from_secs(1));
    assert!(!peers[0].leads());
    let Leader { candidate, token, .. } = field.leader(SOON);
    field.kill(1 - candidate);
    field.say(candidate, "release");
    let released = field.end_of(token, SOON);
    let elected = first_elected(&mut peers, Duration::from_secs(20));
    let took = elected.saturating_since(released);
    println!("roll-back: theirs leads {took:?} after ours released");
    assert!(elected >= released && took <= Duration::from_secs(3), "{took:?}");
    // Its attempts lock our row for a moment; a renewal that meets one is tried again.
    field.errors.retain(|error| !error.contains("another transaction holds the row"));
    assert_eq!(field.errors, [""; 0]);
    field.judge();
}

/// It does not watch the clock, so it believes for a while after it goes on; our side of the promise is that
/// ours leads only once its row has expired, and that it steps down at its next look.
fn a_stopped_leader_of_its_is_followed_and_steps_down_when_it_goes_on(release: Release) {
    let url = fresh_database(release);
    let session = Session::open(&url);
    let mut peer = Peer::start(&url, "theirs", quick());
    peer.elected(SOON);
    let mut field = ours(&url, 2);
    field.pass(Duration::from_millis(500));
    peer.signal(nix::sys::signal::Signal::SIGSTOP);
    let (stopped, left) = (clock::now(), expiry(&session));
    let leader = field.leader(PEER_LEASE + SLACK);
    assert!(leader.since.saturating_since(stopped) + Duration::from_millis(50) >= left);
    peer.signal(nix::sys::signal::Signal::SIGCONT);
    peer.deposed(Duration::from_secs(3));
    field.pass(STEADY);
    assert_eq!(field.leader(SOON), leader);
    field.judge();
}

/// An old replica that starts with TypeORM's `synchronize: true` takes our columns away. Nobody of ours leads
/// without tokens; the columns come back by themselves, and the election goes on.
fn columns_that_typeorm_dropped_end_the_term_and_come_back(release: Release) {
    let url = fresh_database(release);
    drop(Peer::start(&url, "first", quick()));
    Session::open(&url).run("DELETE FROM leader_lease");
    let mut field = ours(&url, 2);
    let leader = field.leader(SOON);
    let config = json!({ "lockId": 1, "instanceId": "theirs", "createTableOnInit": false });
    let mut peer = Peer::with(json!({ "url": url, "synchronize": true, "config": config }));
    let dropped = clock::now();
    let ended = field.end_of(leader.token, SOON);
    assert!(ended.saturating_since(dropped) <= STEADY, "no renewal without its token");
    let new = field.leader_after(Some(leader.token), Duration::from_secs(20));
    println!("leads again {:?} after its columns were dropped", new.since.saturating_since(dropped));
    is_adopted(&Session::open(&url));
    assert!(!peer.leads());
    field.judge();
}
