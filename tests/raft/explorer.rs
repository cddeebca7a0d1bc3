//! All that a few Raft members can do within bounds: see [`elector::testing::raft::Explorer`].
//!
//! ```text
//! export ELECTOR_EXPLORER_STATES=600000
//! cargo test --release --no-default-features --features testing --test raft explorer:: -- --nocapture
//! ```
//!
//! `ELECTOR_EXPLORER_STATES` is how many states a bounded search visits at most, and walks take as many
//! steps; unset, both are what takes a moment without optimisation.

use std::time::Duration;

use elector::core::raft::Protection;
use elector::testing::raft::{Begin, Explored, Explorer, Scope, Walked};

/// The clock goes on by so much that all trust has ended, and no vote is withheld any more.
const LONG: Duration = Duration::from_millis(201);

/// One message from a member to another at a time, the clock goes on by a maximum election time.
fn coarse() -> Scope {
    Scope { in_flight: 1, pause: LONG, ..Scope::default() }
}

/// The most states of a search, and the steps of walks.
fn effort() -> Option<usize> {
    let states = std::env::var("ELECTOR_EXPLORER_STATES").ok()?;
    Some(states.parse().expect("ELECTOR_EXPLORER_STATES is a number"))
}

/// Whether bounded searches visit so many states that they get beyond what they begin with.
fn is_deep() -> bool {
    effort().is_some_and(|states| states >= 600_000)
}

/// What a search found that visits at most so many states.
fn explore(what: &str, scope: &Scope, most: usize) -> Explored {
    let explored = Explorer::new(scope.clone()).search(most).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{what}: {explored}");
    explored
}

/// A bounded search. A deep one gets beyond what it begins with: to a commit in a later term.
fn search(what: &str, scope: &Scope, quick: usize) -> Explored {
    let explored = explore(what, scope, effort().unwrap_or(quick));
    let begun = u64::from(scope.begins == Begin::Led);
    let is_far = explored.elected > begun && explored.committed > begun;
    assert!(is_far || !is_deep(), "{explored}");
    explored
}

/// A search that leaves no state out, if there is time, and else is bounded.
fn exhaust(what: &str, scope: &Scope, quick: usize) {
    if effort().is_some() { exhaust_now(what, scope) } else { _ = explore(what, scope, quick) }
}

/// A search that leaves no state out.
fn exhaust_now(what: &str, scope: &Scope) {
    let explored = explore(what, scope, 5_000_000);
    assert!(explored.is_exhausted && !explored.is_up_to_symmetry, "{explored}");
    assert!(explored.elected == scope.terms && explored.committed >= scope.terms, "{explored}");
}

fn walk(what: &str, scope: &Scope) -> Walked {
    const STEPS: usize = 150;
    let scope = Scope { in_flight: 6, ..scope.clone() };
    let walks = (effort().unwrap_or(4_000) / STEPS) as u64;
    let walked = Explorer::new(scope).walk(1, walks, STEPS).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{what}: {walked}");
    assert!(walked.elected > walks / 8 && walked.committed >= walked.elected, "{walked}");
    walked
}

#[test]
fn two_members_keep_the_promises_in_all_that_three_terms_allow() {
    exhaust_now("two members, three terms", &coarse());
    exhaust("two members, three messages each way", &Scope { in_flight: 3, ..coarse() }, 200);
    exhaust("two members, a finer clock", &Scope { in_flight: 2, ..Scope::default() }, 200);
    exhaust("two members, proposals, a hand-over", &Scope { proposals: 2, transfers: 1, ..coarse() }, 500);
}

#[test]
fn two_members_keep_the_promises_where_disks_are_slow_and_fail_and_members_crash() {
    let scope = Scope { crashes: 1, failures: 1, has_slow_disks: true, ..coarse() };
    exhaust("two members, slow disks, a crash, a failure", &scope, 1_500);
}

#[test]
fn three_members_keep_the_promises() {
    let scope = Scope { voters: 3, terms: 2, proposals: 1, crashes: 1, ..coarse() };
    search("three members from the start", &scope, 1_000);
    let led = Scope { begins: Begin::Led, transfers: 1, in_flight: 2, ..scope };
    search("three members, one leads", &Scope { pause: Scope::default().pause, ..led.clone() }, 1_000);
    let rivals = Scope { begins: Begin::Rivals, terms: 4, proposals: 0, crashes: 0, transfers: 0, ..led };
    search("three members, two rivals' records", &rivals, 1_000);
    walk(
        "three members",
        &Scope {
            terms: 8,
            proposals: 3,
            crashes: 2,
            transfers: 2,
            ..Scope { voters: 3, ..Scope::default() }
        },
    );
}

#[test]
fn two_voters_and_a_witness_keep_the_promises() {
    let scope = Scope { voters: 3, witnesses: 1, begins: Begin::Led, proposals: 1, crashes: 1, ..coarse() };
    search("two voters and a witness", &scope, 1_000);
    let scope =
        Scope { terms: 8, proposals: 3, crashes: 2, transfers: 1, pause: Scope::default().pause, ..scope };
    walk("two voters and a witness", &scope);
}

#[test]
fn clusters_that_grow_and_shrink_keep_the_promises() {
    let scope = Scope { voters: 1, spares: 1, begins: Begin::Led, changes: 3, ..coarse() };
    exhaust("one voter and two, and back", &scope, 1_000);
    // With few choices the search gets to three voters soon.
    let growing = Scope { spares: 2, changes: 1, pauses: 0, terms: 1, ..scope.clone() };
    let explored = explore("one voter to three", &growing, effort().unwrap_or(3_000));
    assert_eq!(explored.voters, (1, 3), "{explored}");
    let shrinking = Scope { voters: 3, spares: 0, changes: 2, pauses: 1, terms: 2, ..scope.clone() };
    let explored = search("three voters to one", &shrinking, 300);
    assert!(explored.voters == (1, 3) || !is_deep(), "{explored}");
    let scope = Scope { spares: 2, leaves: 1, ..scope };
    let leaving = Scope { changes: 2, pauses: 1, terms: 2, ..scope.clone() };
    search("one voter to three, one leaves", &leaving, 300);
    let scope = Scope { changes: 6, crashes: 2, proposals: 2, terms: 9, ..scope };
    let walked = walk("one voter to three", &Scope { pause: Scope::default().pause, ..scope.clone() });
    assert!(walked.most_voters == 3 || !is_deep(), "{walked}");
    let scope = Scope { voters: 3, ..scope };
    walk("three voters of five", &Scope { pause: Scope::default().pause, ..scope });
}

/// Members without state whose hosts name others: who knows whom. Too little time passes for one that is
/// silent to count as absent, so one cluster is established, whatever is lost.
fn blank(voters: usize, knows: &[(usize, usize)]) -> Scope {
    let (begins, knows) = (Begin::Blank, knows.to_vec());
    Scope { voters, begins, knows, pause: Duration::from_millis(200), pauses: 4, ..coarse() }
}

#[test]
fn two_blank_members_establish_one_cluster() {
    for knows in [&[(0, 1)][..], &[(1, 0)], &[(0, 1), (1, 0)]] {
        let what = format!("two blank members, known {knows:?}");
        let scope = blank(2, knows);
        exhaust(&what, &Scope { proposals: 1, crashes: 1, ..scope.clone() }, 700);
        exhaust(&format!("{what}, one leaves"), &Scope { leaves: 1, ..scope }, 300);
    }
}

#[test]
fn three_blank_members_establish_one_cluster() {
    let path = [(0, 1), (1, 2)];
    for knows in [&path[..], &[(0, 2), (1, 2)], &[(2, 0), (2, 1)], &[(0, 1), (1, 2), (2, 0)]] {
        let scope = Scope { proposals: 1, terms: 4, ..blank(3, knows) };
        search(&format!("three blank members, known {knows:?}"), &scope, 400);
        // Where a silent one may count as absent there can be two clusters, and the other promises hold.
        for pauses in [4, u8::MAX] {
            let scope = Scope { in_flight: 6, crashes: 2, leaves: 1, terms: 12, pauses, ..scope.clone() };
            let walked = Explorer::new(scope).walk(1, (effort().unwrap_or(1_500) / 100) as u64, 100);
            let walked = walked.unwrap_or_else(|broken| panic!("{broken}"));
            println!("three blank members, known {knows:?}, {pauses} pauses: {walked}");
            assert!(walked.elected > 0 && walked.committed > 0, "{walked}");
        }
    }
}

#[test]
fn a_founding_list_begins_one_cluster() {
    let scope = Scope { begins: Begin::List, pauses: 4, ..coarse() };
    exhaust("a list of two", &scope, 1_500);
    search("a list of three", &Scope { voters: 3, ..scope.clone() }, 500);
    walk(
        "a list of three",
        &Scope { voters: 3, terms: 8, crashes: 2, proposals: 2, pauses: u8::MAX, ..scope },
    );
}

/// What is broken where members lack a rule. Searched breadth first too if there is time.
fn broken_without(protection: Protection, scope: Scope) -> String {
    // No promise needs the pre-vote. Without it traces are shorter.
    let sound = Scope { voters: 3, terms: 4, without: vec![Protection::PreVote], ..scope };
    let unsound = Scope { without: vec![Protection::PreVote, protection], ..sound.clone() };
    walk("three members without the pre-vote", &Scope { terms: 30, ..sound.clone() });
    if let Some(states) = effort() {
        let broken = Explorer::new(unsound.clone()).search(states).expect_err("no promise was broken");
        println!("without {protection:?} too, a shortest trace: {broken}");
    }
    let unsound = Scope { terms: 6, in_flight: 6, ..unsound };
    Explorer::new(unsound).walk(4, 20_000, 60).expect_err("no promise was broken").to_string()
}

#[test]
fn two_lead_at_once_where_no_leader_checks_for_a_quorum() {
    let scope = Scope { begins: Begin::Led, ..coarse() };
    let broken = broken_without(Protection::CheckQuorum, scope);
    assert!(broken.contains("lead at once"), "{broken}");
}

#[test]
fn two_lead_at_once_where_no_vote_is_withheld() {
    let scope = Scope { begins: Begin::Led, ..coarse() };
    let broken = broken_without(Protection::Withholding, scope);
    assert!(broken.contains("lead at once"), "{broken}");
}

#[test]
fn committed_data_is_lost_where_a_leader_commits_records_of_earlier_terms() {
    let scope = Scope { begins: Begin::Rivals, ..coarse() };
    let broken = broken_without(Protection::OwnTerm, scope);
    let is_lost =
        ["two records are committed", "without the committed"].iter().any(|lost| broken.contains(lost));
    assert!(is_lost, "{broken}");
}
