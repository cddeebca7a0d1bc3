//! One candidate of one election, served by a hub: its lease machine, and the queries about it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

#[cfg(feature = "postgres")]
use crate::core::lease::LeaderId;
use crate::core::lease::{
    Config, DeposedReason, Event, Input, Leader, Leadership, Lease, Output, Phase, Request, Wait,
};
use crate::core::{FencingToken, Instant, Name};
use crate::driver::host::{clock, contained, fork};
use crate::driver::hub::changes::{Change, Listener, Queue};
use crate::driver::hub::telemetry;
use crate::driver::hub::view::View;
use crate::driver::stores::CandidateText;

/// A candidate's number, unique within its hub.
pub(crate) type CandidateId = u64;

/// Receives the requests and timers of lease machines. Called under the lock of the machine, so that they
/// arrive in order.
pub(crate) trait Planner: Send + Sync {
    /// The machine of candidate `id` asks to have `request` sent and to be stepped again at `wait`.
    fn planned(&self, id: CandidateId, election: &Name, request: Option<Request>, wait: Wait);
}

/// The delivery of changes to a host by callbacks.
pub(crate) trait Delivery: Send + Sync {
    /// Whether the host has received every change so far.
    fn is_up_to_date(&self) -> bool;
}

/// The evidence of progress that a host with callbacks must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "only the C ABI has callbacks"))]
pub(crate) enum Progress {
    /// Its callbacks are up to date.
    Callbacks,
    /// Its callbacks are up to date, and it calls `alive`.
    CallbacksAndAlive,
}

/// One candidate. Its machine is stepped under a lock: on the host's thread for the inputs of the host, so
/// that `campaign` and `release` take effect before they return, and on the hub's thread for all other
/// inputs.
pub(crate) struct Candidate {
    pub(crate) id: CandidateId,
    pub(crate) election: Name,
    pub(crate) name: Name,
    planner: Arc<dyn Planner>,
    shown: Shown,
    machine: Mutex<Machine>,
    settled: Condvar,
    gate: OnceLock<DeliveryGate>,
}

/// Keeps the machine's progress gate closed while the host has not received all changes.
struct DeliveryGate {
    delivery: Arc<dyn Delivery>,
    progress: Progress,
    /// `alive` was called while the callbacks were not up to date. The call counts once they are.
    alive_outstanding: AtomicBool,
}

/// The fields of a candidate that may be read from memory without a function call. The layout is part of the
/// C ABI (`elector_view`).
#[repr(C)]
pub(crate) struct Shown {
    pub(crate) view: View,
    /// The fork generation of the reading process, and that of the process that made the candidate.
    pub(crate) forks: &'static AtomicU32,
    pub(crate) forks_then: u32,
}

struct Machine {
    lease: Lease,
    listeners: Vec<Arc<dyn Listener>>,
    /// Listeners were notified that the term is at risk, so the next renewal counts as a change.
    at_risk: bool,
    /// The term of which listeners know the start but not yet the end.
    open_term: Option<FencingToken>,
    /// The machine panicked. Its state cannot be trusted, so it gets no further input and never leads.
    has_panicked: bool,
    /// Wakers of tasks that wait for a release to be confirmed.
    waiting: Vec<Waker>,
}

impl Machine {
    fn new(lease: Lease) -> Machine {
        let (listeners, waiting) = (Vec::new(), Vec::new());
        Machine { lease, listeners, at_risk: false, open_term: None, has_panicked: false, waiting }
    }

    fn has_released(&self, before: u64) -> bool {
        self.has_panicked || self.lease.settlements() > before
    }
}

impl Candidate {
    pub(crate) fn new(id: CandidateId, planner: Arc<dyn Planner>, config: Config) -> Candidate {
        let lease = Lease::new(config, clock::now());
        let config = lease.config();
        Candidate {
            id,
            election: config.election.clone(),
            name: config.candidate.clone(),
            planner,
            shown: Shown { view: View::default(), forks: fork::counter(), forks_then: fork::generation() },
            machine: Mutex::new(Machine::new(lease)),
            settled: Condvar::new(),
            gate: OnceLock::new(),
        }
    }

    /// Keeps the machine's progress gate closed while `delivery` is not up to date. The first call counts.
    #[cfg(feature = "capi")]
    pub(crate) fn gate_by(&self, delivery: Arc<dyn Delivery>, progress: Progress) {
        let _ = self.gate.set(DeliveryGate { delivery, progress, alive_outstanding: AtomicBool::new(false) });
    }

    /// Whether this process is a forked child of the process that made the candidate.
    pub(crate) fn is_forked(&self) -> bool {
        fork::generation() != self.shown.forks_then
    }

    /// Whether a panic of its machine, which is a bug, has ended this candidate.
    #[cfg(feature = "capi")]
    pub(crate) fn has_panicked(&self) -> bool {
        self.lock().has_panicked
    }

    // ---- Questions ----

    /// This candidate's id in the form that the store keeps.
    #[cfg(feature = "postgres")]
    pub(crate) fn leader_id(&self) -> LeaderId {
        self.lock().lease.leader_id().clone()
    }

    /// The texts that the store must keep for this candidate, each with its kind.
    pub(crate) fn texts(&self) -> Vec<CandidateText> {
        let meta = self.lock().lease.config().meta.clone();
        let names = [("election", &self.election), ("candidate", &self.name)];
        let names = names.map(|(what, name)| (what, Arc::from(name.as_str())));
        names.into_iter().chain(meta.map(|meta| ("meta text", meta))).collect()
    }

    /// Whether this candidate leads now: one atomic load, then one clock read.
    pub(crate) fn am_i_leader(&self) -> bool {
        self.shown.view.leads(|| clock::now().as_nanos()) && !self.is_forked()
    }

    pub(crate) fn token(&self) -> Option<FencingToken> {
        let token = self.shown.view.token(|| clock::now().as_nanos());
        FencingToken::new(token).filter(|_| !self.is_forked())
    }

    /// The fields that may be read without a lock. They live as long as the candidate.
    #[cfg(feature = "capi")]
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    pub(crate) fn leadership(&self) -> Leadership {
        self.observe().0
    }

    /// The leadership at one instant, with the revision of the latest change before it and that instant.
    pub(crate) fn observe(&self) -> (Leadership, u64, Instant) {
        if self.is_forked() {
            let not_leader = Leadership {
                is_leader: false,
                phase: Phase::Standby,
                token: None,
                trusted_until: Instant::ZERO,
                work_until: Instant::ZERO,
                reason: None,
            };
            return (not_leader, 0, Instant::ZERO);
        }
        let machine = self.lock();
        let now = clock::now();
        (machine.lease.leadership(now), self.shown.view.revision(), now)
    }

    pub(crate) fn leader(&self) -> Option<Leader> {
        if self.is_forked() { None } else { self.lock().lease.leader().cloned() }
    }

    /// A queue that receives every later change.
    pub(crate) fn subscribe(&self) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        match self.is_forked() {
            true => queue.close(),
            false => self.add_listener(queue.clone()),
        }
        queue
    }

    /// Notifies `listener` of every later change, for as long as the caller or another owner holds it too.
    pub(crate) fn add_listener(&self, listener: Arc<dyn Listener>) {
        self.lock().listeners.push(listener);
    }

    // ---- News ----

    /// Gives the machine an input and carries out its outputs. When this returns, every query shows the
    /// effect. Returns [`Lease::settlements`] from before the input, for [`Candidate::wait_released`].
    pub(crate) fn input(&self, input: Input) -> u64 {
        if self.is_forked() {
            return 0;
        }
        catch_unwind(AssertUnwindSafe(|| self.step_for_host(input))).unwrap_or_else(|panic| {
            self.end_after_panic();
            resume_unwind(panic)
        })
    }

    fn step_for_host(&self, input: Input) -> u64 {
        let Some(gate) = self.gate.get() else { return self.step(input) };
        match (gate.delivery.is_up_to_date(), input) {
            (false, Input::Alive) => {
                gate.alive_outstanding.store(true, Ordering::Relaxed);
                self.step(Input::Timeout)
            }
            (false, input) => self.step(input),
            (true, input) => {
                if gate.progress == Progress::Callbacks
                    || gate.alive_outstanding.swap(false, Ordering::Relaxed)
                {
                    self.step(Input::Alive);
                }
                self.step(input)
            }
        }
    }

    fn step(&self, input: Input) -> u64 {
        if input == Input::Campaign {
            contained::run(|| telemetry::campaign(&self.election));
        }
        let mut woken = Vec::new();
        let mut machine = self.lock();
        if machine.has_panicked {
            return 0;
        }
        let now = clock::now();
        let before = machine.lease.settlements();
        machine.lease.handle_input(now, input);
        let (request, wait) = self.drain(&mut machine, now, &mut woken);
        self.planner.planned(self.id, &self.election, request, wait);
        if machine.lease.is_settled() || machine.lease.settlements() > before {
            self.settled.notify_all();
            woken.append(&mut machine.waiting);
        }
        drop(machine);
        wake(woken);
        before
    }

    /// Ends the candidate after its machine has panicked, which is a bug. A lease that it holds expires.
    fn end_after_panic(&self) {
        tracing::error!(
            election = self.election.as_str(),
            candidate = self.name.as_str(),
            "a bug in Elector ended this elector, which never leads again; please report it"
        );
        let mut machine = self.lock();
        let now = clock::now();
        self.shown.view.withdraw();
        machine.has_panicked = true;
        machine.lease = Lease::new(machine.lease.config().clone(), now);
        let mut woken = std::mem::take(&mut machine.waiting);
        if let Some(token) = machine.open_term {
            let event = Event::Deposed { token, reason: DeposedReason::Revoked };
            let leadership = machine.lease.leadership(now);
            let notified = contained::run(|| self.notify_listeners(&mut machine, event, leadership, now));
            woken.extend(notified.unwrap_or_default());
        }
        self.planner.planned(self.id, &self.election, None, Wait::NEVER);
        self.settled.notify_all();
        drop(machine);
        wake(woken);
    }

    /// Carries out the machine's outputs. Returns its request, of which there is at most one since a machine
    /// has at most one outstanding, and its next timer.
    fn drain(&self, machine: &mut Machine, now: Instant, woken: &mut Vec<Waker>) -> (Option<Request>, Wait) {
        let mut request = None;
        let leadership = machine.lease.leadership(now);
        // Published before listeners are notified: a listener that receives `Deposed` and then queries must
        // get "not leader".
        match leadership.token.filter(|_| leadership.is_leader) {
            Some(token) => self.shown.view.publish(token.get(), leadership.trusted_until.as_nanos()),
            None => self.shown.view.withdraw(),
        }
        loop {
            match machine.lease.poll_output() {
                Output::Send(wanted) => request = Some(wanted),
                Output::Event(event) => woken.extend(self.notify_listeners(machine, event, leadership, now)),
                Output::WaitUntil(wait) => return (request, wait),
            }
        }
    }

    /// Notifies all listeners. Returns the wakers to call once no lock is held.
    fn notify_listeners(
        &self,
        machine: &mut Machine,
        event: Event,
        leadership: Leadership,
        now: Instant,
    ) -> Vec<Waker> {
        contained::run(|| telemetry::event(&self.election, &self.name, &event, leadership, now));
        let is_renewal = matches!(event, Event::Renewed { .. });
        if !is_renewal || machine.at_risk {
            self.shown.view.count_change();
        }
        machine.at_risk = match event {
            Event::AtRisk { .. } | Event::StopNewWork { .. } => true,
            Event::Elected { .. } | Event::Renewed { .. } | Event::Deposed { .. } => false,
            _ => machine.at_risk,
        };
        match event {
            Event::Elected { token } => machine.open_term = Some(token),
            Event::Deposed { .. } => machine.open_term = None,
            _ => {}
        }
        if machine.listeners.is_empty() {
            return Vec::new();
        }
        let revision = self.shown.view.revision();
        let change = Change::new(self.election.clone(), self.name.clone(), event, leadership, revision);
        machine.listeners.retain(|listener| Arc::strong_count(listener) > 1);
        machine.listeners.iter().filter_map(|listener| listener.push(change.clone())).collect()
    }

    // ---- Waiting for a release ----

    /// Whether the machine holds no lease, does not campaign and has no request outstanding.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_forked() || self.lock().lease.is_settled()
    }

    /// [`Candidate::is_settled`]; if not, `waker` is called once that is true.
    pub(crate) fn poll_settled(&self, waker: &Waker) -> bool {
        self.poll(waker, |machine| machine.lease.is_settled())
    }

    /// Whether the lease that was held when [`Candidate::input`] returned `before` has been released or has
    /// expired; if not, `waker` is called once that is true.
    pub(crate) fn poll_released(&self, before: u64, waker: &Waker) -> bool {
        self.poll(waker, |machine| machine.has_released(before))
    }

    fn poll(&self, waker: &Waker, done: impl Fn(&Machine) -> bool) -> bool {
        if self.is_forked() {
            return true;
        }
        let mut machine = self.lock();
        if !done(&machine) {
            if !machine.waiting.iter().any(|known| known.will_wake(waker)) {
                machine.waiting.push(waker.clone());
            }
            return false;
        }
        true
    }

    /// Like [`Candidate::poll_released`], but blocks for up to `timeout`.
    pub(crate) fn wait_released(&self, before: u64, timeout: Duration) -> bool {
        if self.is_forked() {
            return true;
        }
        let (machine, _) = self
            .settled
            .wait_timeout_while(self.lock(), timeout, |machine| !machine.has_released(before))
            .unwrap_or_else(PoisonError::into_inner);
        machine.has_released(before)
    }

    /// Of foreign code only `tracing` and `metrics` subscribers run under this lock, so they may not call any
    /// method that takes it.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls wakers. Must run without the machine's lock: a waker may call this elector or drop its last handle.
fn wake(woken: Vec<Waker>) {
    for waker in woken {
        contained::run(|| waker.wake());
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.is_forked() {
            for listener in &self.lock().listeners {
                listener.close();
            }
        }
    }
}
