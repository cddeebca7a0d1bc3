//! The stream of an elector's changes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

use crate::core::lease::{Event, Leadership};
use crate::core::{Instant, Name};
use crate::driver::host::{clock, fork};

/// One event of one elector. As JSON it is the line that `elector run --events` writes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Change {
    /// When it happened, in milliseconds since 1970 on this machine's wall clock. For display only: steps of
    /// that clock change it.
    #[serde(rename = "at_ms")]
    pub at_unix_ms: u64,
    /// The election.
    pub election: Name,
    /// This elector's name.
    pub candidate: Name,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// When trust ends as of this change (the hard deadline), on the clock of [`crate::driver::clock::now`];
    /// zero without a term.
    #[serde(skip)]
    pub trusted_until: Instant,
    /// When new work must stop as of this change (the soft deadline), on the same clock; zero without a term.
    #[serde(skip)]
    pub work_until: Instant,
    /// The number of the change: this elector's changes are numbered from 1 without gaps. A renewal gets a
    /// new number only if it follows an `AtRisk` or a `StopNewWork`, since only then does it report anything
    /// new; other renewals repeat the number of the change before them.
    #[serde(skip)]
    pub revision: u64,
}

impl Change {
    pub(crate) fn new(
        election: Name,
        candidate: Name,
        event: Event,
        leadership: Leadership,
        revision: u64,
    ) -> Change {
        Change {
            at_unix_ms: u64::try_from(clock::unix_micros() / 1_000).unwrap_or(0),
            election,
            candidate,
            event,
            trusted_until: leadership.trusted_until,
            work_until: leadership.work_until,
            revision,
        }
    }
}

/// All changes of an elector since this stream was made, in order.
///
/// Two kinds are left out: of several unread `Renewed` in a row only the last is kept, and a reader that is
/// more than 1 000 changes behind loses the oldest ones.
///
/// It is a [`Stream`] for any async runtime, and has blocking methods for callers without one. It ends when
/// the last handle of the elector is dropped, and at once in a forked child.
///
/// ```
/// use elector::{Elector, core::lease::Event};
/// use std::time::Duration;
///
/// let elector = Elector::builder("nightly").store("memory:changes-example").build()?;
/// let mut changes = elector.changes();
/// elector.campaign();
/// let first = changes.next_timeout(Duration::from_secs(60)).expect("no other candidate campaigns");
/// assert!(matches!(first.event, Event::Elected { .. }));
/// # Ok::<(), elector::Error>(())
/// ```
#[derive(Debug)]
pub struct Changes {
    queue: Arc<Queue>,
}

impl Changes {
    pub(crate) fn new(queue: Arc<Queue>) -> Changes {
        Changes { queue }
    }

    /// Waits for the next change. Returns `None` when `timeout` has passed without one or the elector was
    /// dropped.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Change> {
        self.queue.wait(timeout)
    }

    /// The next change if one is unread; does not wait.
    pub fn try_next(&mut self) -> Option<Change> {
        self.queue.lock()?.changes.pop_front()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        let Some(mut inner) = self.queue.lock() else { return Poll::Ready(None) };
        if let Some(change) = inner.changes.pop_front() {
            return Poll::Ready(Some(change));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        let old = inner.waker.replace(context.waker().clone());
        drop(inner);
        // Dropped without the lock: dropping a waker may drop a whole task, and with it the elector.
        drop(old);
        Poll::Pending
    }
}

/// The blocking form: waits for each change, and ends when the elector is dropped.
impl Iterator for Changes {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        self.queue.wait(Duration::MAX)
    }
}

/// A receiver of each change. It is called under the lock of the machine, so it must neither block nor call
/// foreign code.
pub(crate) trait Listener: Send + Sync {
    /// Receives a change. Returns a waker that the caller calls once it holds no lock.
    #[must_use]
    fn push(&self, change: Change) -> Option<Waker>;
    /// No further change will come. Called without any lock.
    fn close(&self);
}

/// Maximum number of unread changes; beyond it the oldest are dropped, so that a subscriber that never reads
/// does not fill the memory.
const MOST_UNREAD: usize = 1_000;

/// The changes that one subscriber has not read yet.
#[derive(Debug)]
pub(crate) struct Queue {
    generation: u32,
    inner: Mutex<Inner>,
    filled: Condvar,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { generation: fork::generation(), inner: Mutex::default(), filled: Condvar::new() }
    }
}

#[derive(Debug, Default)]
struct Inner {
    changes: VecDeque<Change>,
    waker: Option<Waker>,
    closed: bool,
}

impl Listener for Queue {
    fn push(&self, change: Change) -> Option<Waker> {
        let mut inner = self.lock()?;
        // Renewals come for as long as a term lasts, and the last one makes the earlier ones obsolete.
        let is_renewal = |change: &Change| matches!(change.event, Event::Renewed { .. });
        if is_renewal(&change) && inner.changes.back().is_some_and(is_renewal) {
            inner.changes.pop_back();
        }
        if inner.changes.len() == MOST_UNREAD {
            inner.changes.pop_front();
        }
        inner.changes.push_back(change);
        let waker = inner.waker.take();
        drop(inner);
        self.filled.notify_all();
        waker
    }

    fn close(&self) {
        let Some(mut inner) = self.lock() else { return };
        inner.closed = true;
        let waker = inner.waker.take();
        drop(inner);
        self.filled.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Queue {
    /// Forgets all changes and the waker when the reader is dropped: the waker must not be dropped later
    /// under a lock.
    fn abandon(&self) {
        let Some(mut inner) = self.lock() else { return };
        let left = (std::mem::take(&mut inner.changes), inner.waker.take());
        drop(inner);
        drop(left);
    }

    fn wait(&self, timeout: Duration) -> Option<Change> {
        let deadline = std::time::Instant::now().checked_add(timeout);
        let mut inner = self.lock()?;
        loop {
            if let Some(change) = inner.changes.pop_front() {
                return Some(change);
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(std::time::Instant::now()),
                None => Duration::from_secs(3_600),
            };
            if inner.closed || left.is_zero() {
                return None;
            }
            inner = self.filled.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// `None` in a forked child: a thread of the parent may have held the lock when the process forked, and
    /// no change would ever come.
    fn lock(&self) -> Option<MutexGuard<'_, Inner>> {
        let same_process = fork::generation() == self.generation;
        same_process.then(|| self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
