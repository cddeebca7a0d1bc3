//! One hub serves every elector of a process that uses the same store: one thread for time and machines, one
//! connection (on a thread of its own, `worker.rs`) for the store, however many elections there are.
//!
//! The two threads are apart so that a store that hangs delays nothing but its own answers: deadlines pass,
//! `StopNewWork` and `Deposed` are said, and `am_i_leader()` needs neither of them.

mod atomic;
pub(crate) mod candidate;
pub(crate) mod changes;
mod telemetry;
pub(crate) mod view;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::worker::Connection;
use crate::core::lease::{Config, Input, Reply, Request, Wait};
use crate::core::{Instant, Name};
use crate::driver::host::fork::PerProcess;
use crate::driver::host::{clock, contained, threads};
use crate::driver::hub::candidate::{Seat, SeatId};
use crate::driver::stores::url::StoreUrl;
use crate::driver::stores::{Hint, Job, StoreError};
use crate::elector::error::Error;

/// The hub's thread looks at the clock at least so often, since the system's timers stand still while the
/// machine is suspended and the lease does not.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The hubs of this process. A forked child does not see its parent's.
static HUBS: PerProcess<Mutex<HashMap<StoreUrl, Arc<Hub>>>> = PerProcess::new();

/// A hub: the board that its two threads and the electors' callers share.
pub(crate) struct Hub {
    pub(crate) url: StoreUrl,
    board: Mutex<Board>,
    /// Wakes the hub's own thread.
    hub_wake: Condvar,
    /// Wakes the store's thread.
    pub(crate) store_wake: Condvar,
    /// Tells that the store was opened, or could not be.
    pub(crate) connection_changed: Condvar,
}

/// What is to be done.
#[derive(Default)]
pub(crate) struct Board {
    seats: HashMap<SeatId, Slot>,
    by_election: HashMap<Name, Vec<SeatId>>,
    last_id: SeatId,
    /// The latest instant of each seat's timer, with the earliest.
    timers: BTreeMap<(Instant, SeatId), Instant>,
    /// No timer that was ever set has more slack than this.
    most_slack: Duration,
    /// Seats whose elector is gone, to be removed once nothing is left to tell the store.
    retired: Vec<SeatId>,
    /// The hub's thread sleeps until then.
    sleeps_until: Instant,
    /// The hub's thread is stepping machines: the store's thread waits, so that all they ask for is one
    /// batch.
    stepping: bool,
    pub(crate) jobs: Vec<(SeatId, Job)>,
    pub(crate) replies: Vec<(SeatId, Reply)>,
    hints: Vec<Hint>,
    pub(crate) connection: Connection,
    pub(crate) closed: bool,
}

struct Slot {
    seat: Arc<Seat>,
    wait: Wait,
}

impl Hub {
    /// Makes a seat at the hub of this store, which is started if there is none.
    pub(crate) fn join(url: &StoreUrl, config: Config) -> Result<Arc<Seat>, Error> {
        let mut hubs = lock(HUBS.get());
        if let Some(hub) = hubs.get(url) {
            return Ok(Hub::seat(hub, config));
        }
        let hub = Arc::new(Hub {
            url: url.clone(),
            board: Mutex::default(),
            hub_wake: Condvar::new(),
            store_wake: Condvar::new(),
            connection_changed: Condvar::new(),
        });
        let seat = Hub::seat(&hub, config);
        if let Err(error) = Hub::start(&hub) {
            // The two hold each other.
            hub.lock().remove(&seat);
            return Err(Error::threads(error));
        }
        hubs.insert(url.clone(), hub);
        Ok(seat)
    }

    fn start(self: &Arc<Hub>) -> std::io::Result<()> {
        let (hub, store) = (Arc::clone(self), Arc::clone(self));
        threads::spawn("elector-store", move || worker::run(&store))?;
        let started = threads::spawn("elector-hub", move || hub.run());
        if started.is_err() {
            self.lock().closed = true;
            self.store_wake.notify_all();
        }
        started.map(|_| ())
    }

    fn seat(hub: &Arc<Hub>, config: Config) -> Arc<Seat> {
        let mut board = hub.lock();
        board.last_id += 1;
        let seat = Arc::new(Seat::new(board.last_id, Arc::clone(hub), config));
        board.by_election.entry(seat.election.clone()).or_default().push(seat.id);
        board.seats.insert(seat.id, Slot { seat: Arc::clone(&seat), wait: Wait::NEVER });
        seat
    }

    /// The elector of this seat is gone, and its lease is left to end by itself.
    #[cfg(feature = "capi")]
    pub(crate) fn abandon(&self, seat: &Seat) {
        self.lock().remove(seat);
        self.hub_wake.notify_one();
    }

    /// The elector of this seat is gone: the seat goes too once its release is confirmed or pointless.
    pub(crate) fn retire(&self, id: SeatId) {
        self.lock().retired.push(id);
        self.hub_wake.notify_one();
    }

    /// A machine said what it wants. Called under that machine's lock.
    pub(crate) fn planned(&self, id: SeatId, election: &Name, request: Option<Request>, wait: Wait) {
        let mut board = self.lock();
        let wake_hub = board.set_timer(id, wait);
        let request = request.filter(|_| board.seats.contains_key(&id));
        let wake_store = request.is_some() && !board.stepping;
        if let Some(request) = request {
            board.jobs.push((id, Job { election: election.clone(), request }));
        }
        drop(board);
        if wake_hub {
            self.hub_wake.notify_one();
        }
        if wake_store {
            self.store_wake.notify_one();
        }
    }

    /// The store told something by itself, on whatever thread.
    pub(crate) fn ring(&self, hint: Hint) {
        let mut board = self.lock();
        if !board.hints.contains(&hint) {
            board.hints.push(hint);
        }
        drop(board);
        self.hub_wake.notify_one();
    }

    /// The store answered.
    pub(crate) fn answered(&self, replies: impl IntoIterator<Item = (SeatId, Reply)>) {
        self.lock().replies.extend(replies);
        self.hub_wake.notify_one();
    }

    /// The latest error of the store, if its latest operation failed.
    pub(crate) fn last_error(&self) -> Option<StoreError> {
        self.lock().connection.error.clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    // ---- The hub's thread ----

    fn run(&self) {
        loop {
            let Some(work) = self.next_work() else { return };
            work.step();
            let mut board = self.lock();
            board.stepping = false;
            let wake_store = board.has_store_work();
            drop(board);
            if wake_store {
                self.store_wake.notify_one();
            }
        }
    }

    /// Waits until there is something to do; `None` when the hub is no longer needed.
    fn next_work(&self) -> Option<Work> {
        let mut board = self.lock();
        loop {
            if !board.retired.is_empty() {
                board = self.remove_retired(board);
            }
            let now = clock::now();
            let work = board.take_work(now);
            if !work.is_empty() {
                board.stepping = true;
                return Some(work);
            }
            if board.seats.is_empty() {
                drop(board);
                if self.close() {
                    return None;
                }
                board = self.lock();
                continue;
            }
            let due = board.timers.keys().next().map_or(Instant::MAX, |&(latest, _)| latest);
            board.sleeps_until = due;
            let sleep = due.saturating_since(now).min(LONGEST_SLEEP);
            board = self.hub_wake.wait_timeout(board, sleep).unwrap_or_else(PoisonError::into_inner).0;
            board.sleeps_until = Instant::ZERO;
        }
    }

    /// Removes the retired seats that are settled. A machine's lock may not be taken under the board's.
    fn remove_retired<'a>(&'a self, mut board: MutexGuard<'a, Board>) -> MutexGuard<'a, Board> {
        let retired = std::mem::take(&mut board.retired);
        let seats: Vec<_> =
            retired.iter().filter_map(|id| board.seats.get(id)).map(|slot| Arc::clone(&slot.seat)).collect();
        drop(board);
        let (settled, unsettled): (Vec<_>, Vec<_>) = seats.into_iter().partition(|seat| seat.is_settled());
        let mut board = self.lock();
        for seat in &settled {
            board.remove(seat);
        }
        // The end of a seat wakes those who listened to it, which must not be done under the board's lock.
        drop(board);
        for seat in settled {
            contained::run(|| drop(seat));
        }
        let mut board = self.lock();
        // Asked again whenever something happens, for as long as the store has not answered.
        board.retired.extend(unsettled.iter().map(|seat| seat.id));
        board
    }

    /// Leaves the registry if nobody took a seat meanwhile.
    fn close(&self) -> bool {
        let mut hubs = lock(HUBS.get());
        let mut board = self.lock();
        if !board.seats.is_empty() {
            return false;
        }
        board.closed = true;
        hubs.remove(&self.url);
        drop(board);
        self.store_wake.notify_all();
        true
    }
}

impl Board {
    /// Sets the seat's timer; whether the hub's thread sleeps too long for it.
    fn set_timer(&mut self, id: SeatId, wait: Wait) -> bool {
        let Some(slot) = self.seats.get_mut(&id) else { return false };
        let old = std::mem::replace(&mut slot.wait, wait);
        if old == wait {
            return false;
        }
        self.timers.remove(&(old.latest, id));
        if wait.latest < Instant::MAX {
            self.timers.insert((wait.latest, id), wait.earliest);
            self.most_slack = self.most_slack.max(wait.latest.saturating_since(wait.earliest));
        }
        wait.latest < self.sleeps_until
    }

    fn take_work(&mut self, now: Instant) -> Work {
        let mut work = Work { replies: Vec::new(), hinted: Vec::new(), revoked: Vec::new(), due: Vec::new() };
        for (id, reply) in std::mem::take(&mut self.replies) {
            if let Some(slot) = self.seats.get(&id) {
                work.replies.push((Arc::clone(&slot.seat), reply));
            }
        }
        for hint in std::mem::take(&mut self.hints) {
            match hint {
                Hint::Election(election) => {
                    let ids = self.by_election.get(&election).into_iter().flatten();
                    work.hinted
                        .extend(ids.filter_map(|id| self.seats.get(id)).map(|slot| Arc::clone(&slot.seat)));
                }
                Hint::Any => work.hinted.extend(self.all()),
                Hint::Gone => {
                    self.connection.gone = true;
                    work.revoked.extend(self.all());
                }
            }
        }
        self.take_due(now, &mut work.due);
        work
    }

    fn all(&self) -> impl Iterator<Item = Arc<Seat>> {
        self.seats.values().map(|slot| Arc::clone(&slot.seat))
    }

    /// Once one timer must fire, all fire that may: what their machines ask for then travels as one batch.
    fn take_due(&self, now: Instant, due: &mut Vec<Arc<Seat>>) {
        if self.timers.keys().next().is_none_or(|&(latest, _)| latest > now) {
            return;
        }
        let last = now.saturating_add(self.most_slack);
        let timers = self.timers.range(..=(last, SeatId::MAX)).filter(|&(_, &earliest)| earliest <= now);
        due.extend(timers.filter_map(|((_, id), _)| self.seats.get(id)).map(|slot| Arc::clone(&slot.seat)));
    }

    fn remove(&mut self, seat: &Seat) {
        if let Some(slot) = self.seats.remove(&seat.id) {
            self.timers.remove(&(slot.wait.latest, seat.id));
        }
        if let Some(ids) = self.by_election.get_mut(&seat.election) {
            ids.retain(|&id| id != seat.id);
            if ids.is_empty() {
                self.by_election.remove(&seat.election);
            }
        }
    }

    /// Whether the store's thread has something to do.
    pub(crate) fn has_store_work(&self) -> bool {
        self.closed || self.connection.is_wanted() || (!self.jobs.is_empty() && !self.stepping)
    }
}

/// What the hub's thread took from the board.
struct Work {
    replies: Vec<(Arc<Seat>, Reply)>,
    hinted: Vec<Arc<Seat>>,
    revoked: Vec<Arc<Seat>>,
    due: Vec<Arc<Seat>>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.replies.is_empty() && self.hinted.is_empty() && self.revoked.is_empty() && self.due.is_empty()
    }

    fn step(self) {
        let revoked = self.revoked.into_iter().map(|seat| (seat, Input::Revoked));
        let answered = self.replies.into_iter().map(|(seat, reply)| (seat, Input::Reply(reply)));
        let due = self.due.into_iter().map(|seat| (seat, Input::Timeout));
        let hinted = self.hinted.into_iter().map(|seat| (seat, Input::Hint));
        for (seat, input) in revoked.chain(answered).chain(due).chain(hinted) {
            // Whatever goes wrong with one seat, the others are to hear their news.
            contained::run(|| seat.input(input));
        }
    }
}

/// A panic under one of these locks leaves nothing half done that matters more than going on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
