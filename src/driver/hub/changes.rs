//! The stream of what happens to an elector.

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
    /// When, in milliseconds since 1970 on this machine's wall clock. For people.
    #[serde(rename = "at_ms")]
    pub at_unix_ms: u64,
    /// The election.
    pub election: Name,
    /// This elector's name.
    pub candidate: Name,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// When trust ends now, on the clock of [`crate::driver::clock::now`]; zero without a term.
    #[serde(skip)]
    pub trusted_until: Instant,
    /// When new work must stop now, on the same clock; zero without a term.
    #[serde(skip)]
    pub stop_new_work_at: Instant,
    /// Numbers this elector's changes from 1 on, without gaps. A renewal has a number of its own only if it
    /// follows an `AtRisk` or a `StopNewWork`, and so tells something new; else that of the change before it.
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
            stop_new_work_at: leadership.stop_new_work_at,
            revision,
        }
    }
}

/// What happens to an elector from the moment on at which this was made: in order, and none left out, except
/// that of several `Renewed` in a row that were not read yet only the last is kept, and that a reader who is
/// more than 1 000 changes behind loses the oldest.
///
/// It is a [`Stream`] for any runtime, and has blocking methods for callers that have none. It ends when the
/// elector is dropped, and at once in a forked child.
///
/// ```
/// use elector::{Elector, core::lease::Event};
/// use std::time::Duration;
///
/// let elector = Elector::builder("nightly").store("memory:changes-example").build()?;
/// let mut changes = elector.changes();
/// elector.campaign();
/// let first = changes.next_timeout(Duration::from_secs(60)).expect("nobody else stands");
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

    /// The next change, or `None` when `timeout` passed without one or the elector is gone.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Change> {
        self.queue.wait(timeout)
    }

    /// The next change if there is one already.
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
        // To drop a waker may drop a whole task, which may hold the elector.
        drop(old);
        Poll::Pending
    }
}

/// The blocking form: waits for each change, and ends when the elector is gone.
impl Iterator for Changes {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        self.queue.wait(Duration::MAX)
    }
}

/// Who is told of each change, under the lock of the machine that it happened to: it must not wait, nor call
/// code of others.
pub(crate) trait Listener: Send + Sync {
    /// Tells of a change. Returns who is to be woken, once the caller holds no lock.
    #[must_use]
    fn push(&self, change: Change) -> Option<Waker>;
    /// There will be no more. Called without any lock.
    fn close(&self);
}

/// A reader who is so far behind loses the oldest: who never reads must not fill the memory.
const MOST_UNREAD: usize = 1_000;

/// One subscriber's changes that it has not read yet.
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
        // Renewals come for as long as a term lasts, and one tells as much as many.
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
    /// The reader is gone. Its waker must not be left for somebody to drop under a lock.
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

    /// `None` in a forked child: a thread of the parent may have held the lock when it forked, and nothing
    /// would ever come.
    fn lock(&self) -> Option<MutexGuard<'_, Inner>> {
        let same_process = fork::generation() == self.generation;
        same_process.then(|| self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
