//! Changes are numbered from 1 on, without gaps, and a renewal has a number of its own only if it follows
//! `AtRisk` or `StopNewWork`: a thread that waits for changes of many elections is not woken by each renewal.

use std::time::{Duration, Instant};

use elector::core::lease::{Event, Failure};
use elector::driver::stores::StoreError;
use elector::driver::stores::memory::MemoryStore;
use elector::{Change, Elector};

/// How long the test waits for an expected change. The lease is twice as long.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn changes_are_numbered_without_gaps_and_renewals_only_when_they_tell_something() {
    let builder = Elector::builder("nightly").store("memory:revisions").lease(2 * SOON);
    let elector = builder.renew(SOON / 300).retry(SOON / 600).build().unwrap();
    let mut changes = elector.changes();
    let mut seen: Vec<Change> = Vec::new();
    let mut until = |wanted: fn(&Event) -> bool| {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = changes.next_timeout(left).expect("the wanted change in time");
            let event = change.event.clone();
            seen.push(change);
            if wanted(&event) {
                return;
            }
        }
    };
    let renewed = |event: &Event| matches!(event, Event::Renewed { .. });
    elector.campaign();
    until(|event| matches!(event, Event::LeaderChanged { .. }));
    until(renewed);
    let store = MemoryStore::named("revisions");
    store.fail_with(Some(StoreError::new(Failure::Unsent, "the test says that the store is down")));
    until(|event| matches!(event, Event::AtRisk { .. }));
    // The store that answers again is another than before: that is news of its own, and not that all is well.
    store.set_timeline(7);
    store.fail_with(None);
    until(|event| matches!(event, Event::TimelineChanged));
    until(renewed);
    until(renewed);
    elector.release();
    until(|event| matches!(event, Event::LeaderChanged { leader: None }));

    let (mut last, mut worried) = (0, false);
    for change in &seen {
        let tells_something = !renewed(&change.event) || worried;
        let expected = if tells_something { last + 1 } else { last };
        assert_eq!(change.revision, expected, "{seen:#?}");
        last = change.revision;
        worried = match change.event {
            Event::AtRisk { .. } | Event::StopNewWork { .. } => true,
            Event::Elected { .. } | Event::Renewed { .. } | Event::Deposed { .. } => false,
            _ => worried,
        };
    }
}
