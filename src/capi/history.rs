//! The latest changes of one elector, and waiting for the next one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::core::lease::Event;
use crate::driver::host::fork::PerProcess;
use crate::driver::hub::candidate::Delivery;
use crate::driver::hub::changes::{Change, Listener};

/// Maximum number of changes kept. A reader that is further behind misses the oldest, which it can tell from
/// the revisions.
const MAX_KEPT: usize = 1_000;

/// The latest changes of one elector, by their revisions.
#[derive(Default)]
pub(super) struct History {
    kept: Mutex<Kept>,
    grown: Condvar,
    /// For an elector with a callback: the first election for which it was not called yet.
    untold: Mutex<Option<u64>>,
}

#[derive(Default)]
struct Kept {
    changes: VecDeque<Change>,
    /// How often waiting threads were woken without a change.
    wakes: u64,
}

impl Kept {
    fn latest(&self) -> u64 {
        self.changes.back().map_or(0, |change| change.revision)
    }

    fn at(&self, revision: u64) -> Option<&Change> {
        let first = self.changes.front()?.revision;
        self.changes.get(usize::try_from(revision.checked_sub(first)?).ok()?)
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Changed,
    Woken,
    TimedOut,
}

impl Listener for History {
    fn push(&self, change: Change) -> Option<Waker> {
        let mut kept = self.lock();
        // A renewal without news has no revision of its own.
        if kept.latest() == change.revision {
            return None;
        }
        if kept.changes.len() == MAX_KEPT {
            kept.changes.pop_front();
        }
        if is_election(&change) {
            self.untold().get_or_insert(change.revision);
        }
        kept.changes.push_back(change);
        drop(kept);
        self.grown.notify_all();
        Notifier::notify();
        None
    }

    fn close(&self) {}
}

/// All histories of this process, for [`History::wake_all`].
static ALL: PerProcess<Mutex<Vec<Weak<History>>>> = PerProcess::new();

impl Delivery for History {
    fn is_up_to_date(&self) -> bool {
        self.untold().is_none()
    }
}

impl History {
    pub(super) fn new() -> Arc<History> {
        let made = Arc::new(History::default());
        let mut all = ALL.get().lock().unwrap_or_else(PoisonError::into_inner);
        // Only when the list is full, so that a new history takes constant time on average.
        if all.len() == all.capacity() {
            all.retain(|known| known.strong_count() > 0);
        }
        all.push(Arc::downgrade(&made));
        made
    }

    /// Records that the callback is called for this change. True if no election is left for which it was not
    /// called, and there was one.
    pub(super) fn tells(&self, revision: u64) -> bool {
        let kept = self.lock();
        let mut untold = self.untold();
        let was_untold = untold.is_some();
        if untold.is_some_and(|elected| elected <= revision) {
            let next = kept.changes.iter().find(|change| change.revision > revision && is_election(change));
            *untold = next.map(|change| change.revision);
        }
        was_untold && untold.is_none()
    }

    fn untold(&self) -> MutexGuard<'_, Option<u64>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every `elector_wait` that has begun, and every `elector_wait_any`.
    pub(super) fn wake_all() {
        let all = ALL.get().lock().unwrap_or_else(PoisonError::into_inner).clone();
        for history in all.iter().filter_map(Weak::upgrade) {
            history.wake();
        }
        Notifier::notify();
    }

    fn wake(&self) {
        self.lock().wakes += 1;
        self.grown.notify_all();
    }

    pub(super) fn latest(&self) -> u64 {
        self.lock().latest()
    }

    /// Waits until the latest revision is another than `seen`.
    pub(super) fn wait(&self, seen: u64, timeout: Option<Duration>) -> Waited {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut kept = self.lock();
        let wakes = kept.wakes;
        while kept.latest() == seen {
            if kept.wakes != wakes {
                return Waited::Woken;
            }
            let Some(left) = left(deadline) else { return Waited::TimedOut };
            kept = self.grown.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Waited::Changed
    }

    /// The change with this revision, unless it is too old or has not happened.
    pub(super) fn get(&self, revision: u64) -> Option<Change> {
        self.lock().at(revision).cloned()
    }

    /// The first change after `seen` that is kept.
    pub(super) fn after(&self, seen: u64) -> Option<Change> {
        let kept = self.lock();
        let first = kept.changes.front()?.revision;
        kept.at(first.max(seen + 1)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_election(change: &Change) -> bool {
    matches!(change.event, Event::Elected { .. })
}

/// How long to sleep at most; `None` when the deadline has passed.
fn left(deadline: Option<Instant>) -> Option<Duration> {
    let Some(deadline) = deadline else { return Some(Duration::from_secs(3_600)) };
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

/// Wakes the threads that wait for any elector of this process. Counts the notifications: changes, wake-ups,
/// log lines, and callbacks that were unregistered.
#[derive(Default)]
pub(super) struct Notifier {
    count: Mutex<u64>,
    changed: Condvar,
}

static NOTIFIER: PerProcess<Notifier> = PerProcess::new();

impl Notifier {
    pub(super) fn notify() {
        let notifier = NOTIFIER.get();
        *notifier.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        notifier.changed.notify_all();
    }

    /// Waits until the count is another than `seen`, or for `timeout`. Returns the count.
    pub(super) fn wait(seen: u64, timeout: Option<Duration>) -> u64 {
        let notifier = NOTIFIER.get();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut count = notifier.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count == seen {
            let Some(left) = left(deadline) else { break };
            count = notifier.changed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{FencingToken, Instant as Moment, Name};

    fn change(revision: u64) -> Change {
        Change {
            at_unix_ms: 0,
            election: Name::new("election", "e").unwrap(),
            candidate: Name::new("candidate", "c").unwrap(),
            event: Event::TimelineChanged,
            trusted_until: Moment::ZERO,
            work_until: Moment::ZERO,
            revision,
        }
    }

    #[test]
    fn the_latest_thousand_changes_are_known_by_their_numbers() {
        let history = History::default();
        assert!(history.get(1).is_none() && history.after(0).is_none());
        for revision in 1..=1_500 {
            let _ = history.push(change(revision));
            let _ = history.push(change(revision));
        }
        assert_eq!(history.latest(), 1_500);
        assert!(history.get(500).is_none() && history.get(1_501).is_none());
        assert_eq!(history.get(501).unwrap().revision, 501);
        assert_eq!(history.after(7).unwrap().revision, 501);
        assert_eq!(history.after(1_499).unwrap().revision, 1_500);
        assert!(history.after(1_500).is_none());
    }

    #[test]
    fn a_wait_ends_by_a_change_or_by_its_timeout() {
        let history = History::default();
        assert_eq!(history.wait(0, Some(Duration::from_millis(1))), Waited::TimedOut);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| history.wait(0, None));
            let _ = history.push(change(1));
            assert_eq!(waiting.join().unwrap(), Waited::Changed);
        });
        assert_eq!(history.wait(0, Some(Duration::ZERO)), Waited::Changed, "an earlier change ends it");
    }

    #[test]
    fn a_wake_ends_waits_in_progress_and_no_later_wait() {
        let history = History::new();
        History::wake_all();
        assert_eq!(history.wait(0, Some(Duration::ZERO)), Waited::TimedOut, "an earlier wake is forgotten");
        let (began, begun) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                began.send(()).unwrap();
                history.wait(0, None)
            });
            begun.recv().unwrap();
            // Until it has: it may not have begun to wait yet.
            while !waiting.is_finished() {
                History::wake_all();
                std::thread::yield_now();
            }
            assert_eq!(waiting.join().unwrap(), Waited::Woken);
        });
        let _ = history.push(change(1));
        history.wake();
        assert_eq!(history.wait(0, None), Waited::Changed, "a change comes first");
    }

    #[test]
    fn an_election_counts_as_untold_until_its_callback_is_called() {
        let history = History::new();
        let elected = Event::Elected { token: FencingToken::new(1).unwrap() };
        let _ = history.push(change(1));
        assert!(history.is_up_to_date(), "nothing but an election matters");
        let _ = history.push(Change { event: elected.clone(), ..change(2) });
        let _ = history.push(Change { event: elected, ..change(3) });
        assert!(!history.is_up_to_date() && !history.tells(1) && !history.is_up_to_date());
        assert!(!history.tells(2) && !history.is_up_to_date(), "the next election waits too");
        assert!(history.tells(3) && history.is_up_to_date(), "however long the callback takes");
        assert!(!history.tells(4), "nothing waited");
    }
}
