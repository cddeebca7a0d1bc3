//! The pure lease machine, for hosts with an event loop of their own. No thread, no socket, no clock.

use std::ffi::{CString, c_char};
use std::ptr::null;
use std::time::Duration;

use super::boundary::{Growing, call, can_fill, exclusive, fill, read, reference};
use super::leadership::{elector_event, elector_leadership, elector_reason};
use super::options::elector_options;
use super::status::{Fault, elector_error, elector_status};
use super::text;
use crate::core::lease::{
    Event, Failure, Input, LeaderId, Lease, Op, Outcome, Output, Reply, Request, RequestId, Row, StoreClock,
    Version,
};
use crate::core::{FencingToken, Instant, StoreTime};

/// What to tell a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_input_kind {
    /// The host wants to lead.
    Campaign = 1,
    /// The host gives up at once.
    Release = 2,
    /// The host gives up once its work in progress is done.
    Drain = 3,
    /// The work in progress of a draining host is done.
    Drained = 4,
    /// The host makes progress.
    Alive = 5,
    /// Time passed. May come early, late or twice.
    Timeout = 6,
    /// The store answered, or the host knows that it will not: `request_id` and what follows it are set.
    Reply = 7,
    /// The election may have become free.
    Hint = 8,
    /// The lease protects nothing any more.
    Revoked = 9,
    /// DRAIN, renewed for `drain_ms` at most: what is left of the lease then ends by itself.
    DrainFor = 10,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_outcome {
    /// Look, or acquire that did not take the row: `has_row` and `row_…` say how it stands.
    Seen = 1,
    /// Acquire: taken, under `token`.
    Granted = 2,
    /// Renew: extended.
    Renewed = 3,
    /// Renew: the row is not this holder's any more, and never will be again under this token.
    Lost = 4,
    /// Release: the row is not this holder's any more.
    Released = 5,
    /// No answer: certainly not executed.
    Unsent = 6,
    /// No answer: perhaps executed, now or later.
    Unknown = 7,
    /// The store refused for a reason that will not go away by itself.
    Refused = 8,
}

/// One input. Begin with ELECTOR_INPUT_INIT and set what its kind needs.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_input {
    /// sizeof this struct.
    pub struct_size: u32,
    /// One of `enum elector_input_kind`.
    pub kind: i32,
    /// Reply: the request's id.
    pub request_id: u64,
    /// Reply: one of `enum elector_outcome`.
    pub outcome: i32,
    /// Reply: whether the store told its clock.
    pub has_clock: bool,
    /// Reply: whether there is a row (SEEN).
    pub has_row: bool,
    /// The store's clock when it executed the request, in microseconds.
    pub store_now_us: i64,
    /// Which history the store is on: another number after a standby was promoted.
    pub timeline: u64,
    /// Granted: the new term's token.
    pub token: u64,
    /// The row's token; 0 in a row that another program wrote.
    pub row_token: u64,
    /// The row's holder; NULL or "" in a row that was released. Read during the call only.
    pub row_holder: *const c_char,
    /// The row's meta text, or NULL. Read during the call only.
    pub row_meta: *const c_char,
    /// The row's expiry on the store's clock, in microseconds.
    pub row_expires_us: i64,
    /// What is left of the row's lease, computed by the store; 0 if it may be taken.
    pub row_remaining_us: u64,
    /// The row's whole lease, or 0 if the store does not know it.
    pub row_lease_ms: u64,
    /// DRAIN_FOR: for how long the lease is still renewed.
    pub drain_ms: u64,
}

// SAFETY: `repr(C)` of numbers, pointers and flags that C wrote, and begins with its size.
unsafe impl Growing for elector_input {
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, drain_ms);
}

/// What a machine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_output_kind {
    /// Nothing more to do before `wait_earliest_ns`; give a TIMEOUT by `wait_latest_ns`.
    Wait = 1,
    /// Send the request to the store.
    Send = 2,
    /// Something happened.
    Event = 3,
}

/// What a request asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_op {
    /// Nothing: this is no request.
    None = 0,
    /// Read the row.
    Look = 1,
    /// Take the row if it is absent or has expired by the store's clock; else only read it.
    Acquire = 2,
    /// Extend the lease if the row still names this holder and token and has not expired.
    Renew = 3,
    /// End the lease if the row still names this holder and token.
    Release = 4,
}

/// What an acquire demands beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_unchanged {
    /// Nothing.
    Any = 0,
    /// That there is no row.
    Absent = 1,
    /// That the row still has `unchanged_token` and `unchanged_expires_us`.
    Same = 2,
}

/// One output. Begin with ELECTOR_OUTPUT_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_output {
    /// In: sizeof this struct.
    pub struct_size: u32,
    /// What this is, and so which of the rest means something.
    pub kind: elector_output_kind,
    /// Wait: before this a timeout does nothing.
    pub wait_earliest_ns: u64,
    /// Wait: the timeout is due; UINT64_MAX: never.
    pub wait_latest_ns: u64,
    /// Send: to be repeated in the reply.
    pub request_id: u64,
    /// Send: after this the machine goes on without the answer.
    pub request_deadline_ns: u64,
    /// Send: what to do.
    pub op: elector_op,
    /// Send, acquire: what the row must be like.
    pub unchanged: elector_unchanged,
    /// Renew and release: the term. Event: the term that it is about, or 0.
    pub token: u64,
    /// Acquire and renew: how long the lease lasts, counted by the store.
    pub lease_ms: u64,
    /// Acquire, renew and release: who asks. Lives as long as the machine.
    pub holder: *const c_char,
    /// Acquire: the holder's meta text, or NULL. Lives as long as the machine.
    pub meta: *const c_char,
    /// Acquire that demands SAME: the row's token; 0 for none.
    pub unchanged_token: u64,
    /// Acquire that demands SAME: the row's expiry.
    pub unchanged_expires_us: i64,
    /// Event: what happened.
    pub event: elector_event,
    /// Event DEPOSED: why.
    pub reason: elector_reason,
    /// Event LEADER_CHANGED: who leads now, or NULL. Lives until the next call with this machine.
    pub leader: *const c_char,
    /// Event LEADER_CHANGED: the leader's meta text, or NULL. Lives as long as `leader`.
    pub leader_meta: *const c_char,
    /// Event STORE_CLOCK_STEPPED: by so many microseconds, forward if positive. Event POISONED_ROW: it
    /// expires in so many.
    pub by_us: i64,
}

// SAFETY: `repr(C)`, begins with its size, only ever read by us where we filled it.
unsafe impl Growing for elector_output {
    const FIRST_SIZE: usize = size_of::<Self>();
}

const EMPTY_OUTPUT: elector_output = elector_output {
    struct_size: 0,
    kind: elector_output_kind::Wait,
    wait_earliest_ns: 0,
    wait_latest_ns: 0,
    request_id: 0,
    request_deadline_ns: 0,
    op: elector_op::None,
    unchanged: elector_unchanged::Any,
    token: 0,
    lease_ms: 0,
    holder: null(),
    meta: null(),
    unchanged_token: 0,
    unchanged_expires_us: 0,
    event: elector_event::None,
    reason: elector_reason::None,
    leader: null(),
    leader_meta: null(),
    by_us: 0,
};

/// A lease machine: one candidate of one election as a value. One thread at a time.
///
/// Give it an input, then poll until it says WAIT. Time only grows: an earlier `now_ns` counts as the latest
/// seen. Its clock must also count the time for which the machine was suspended; its origin is yours.
///
/// A fork copies it, and then two processes have one candidate: go on with it in one of them only.
pub struct elector_lease {
    lease: Lease,
    holder: CString,
    meta: Option<CString>,
    leader: Option<CString>,
    leader_meta: Option<CString>,
    revision: u64,
}

/// Makes a machine that stands by, to be freed with `elector_lease_free`. It needs the options `election` and
/// `candidate`, and ignores those about stores and callbacks.
///
/// `incarnation`: a random number, another one for each machine ever made: a lease is recognised as one's own
/// only by it. `seed`: seeds the jitter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_new(
    options: *const elector_options,
    incarnation: u64,
    seed: u64,
    now_ns: u64,
    lease_out: *mut *mut elector_lease,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let out = lease_out.as_mut().ok_or_else(|| Fault::null("lease_out"))?;
            *out = std::ptr::null_mut();
            let config = reference(options, "options")?.config(incarnation, seed)?;
            let meta = config.meta.as_deref().and_then(|meta| CString::new(meta).ok());
            let lease = Lease::new(config, Instant::from_nanos(now_ns));
            let holder = c_string(lease.leader_id().as_str());
            let made = elector_lease { lease, holder, meta, leader: None, leader_meta: None, revision: 0 };
            *out = Box::into_raw(Box::new(made));
            Ok(())
        })
    }
}

/// Frees a machine; NULL is fine. What it holds in the store ends by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_free(lease: *mut elector_lease) {
    if !lease.is_null() {
        // SAFETY: it came from `elector_lease_new` and is not used any more.
        drop(unsafe { Box::from_raw(lease) });
    }
}

/// Tells the machine what happened at `now_ns`. Afterwards poll. INVALID_ARGUMENT: the input makes no sense,
/// and the machine was told nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_input(
    lease: *mut elector_lease,
    now_ns: u64,
    input: *const elector_input,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let lease = exclusive(lease, "lease")?;
            let input = parse_input(&read(input, EMPTY_INPUT, "input")?)?;
            lease.lease.handle_input(Instant::from_nanos(now_ns), input);
            Ok(())
        })
    }
}

/// Fills in the next thing to do. Poll until it says WAIT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_poll(
    lease: *mut elector_lease,
    output_out: *mut elector_output,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let lease = exclusive(lease, "lease")?;
            can_fill(output_out, "output_out")?;
            let output = match lease.lease.poll_output() {
                Output::Send(request) => lease.request(&request),
                Output::Event(event) => lease.event(&event),
                Output::WaitUntil(wait) => elector_output {
                    wait_earliest_ns: wait.earliest.as_nanos(),
                    wait_latest_ns: wait.latest.as_nanos(),
                    ..EMPTY_OUTPUT
                },
            };
            fill(output_out, &output);
            Ok(())
        })
    }
}

/// Fills in whether this candidate leads at `now_ns`: false from the instant on at which trust ends,
/// whether or not a TIMEOUT was given. `revision` counts the events that were polled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_leadership(
    lease: *const elector_lease,
    now_ns: u64,
    leadership_out: *mut elector_leadership,
    error_out: *mut elector_error,
) -> elector_status {
    // SAFETY: the caller keeps the conventions.
    unsafe {
        call(error_out, || {
            let lease = reference(lease, "lease")?;
            can_fill(leadership_out, "leadership_out")?;
            let now = Instant::from_nanos(now_ns).max(lease.lease.now());
            let answer = elector_leadership::of(lease.lease.leadership(now), lease.revision, now);
            fill(leadership_out, &answer);
            Ok(())
        })
    }
}

const EMPTY_INPUT: elector_input = elector_input {
    struct_size: 0,
    kind: 0,
    request_id: 0,
    outcome: 0,
    has_clock: false,
    has_row: false,
    store_now_us: 0,
    timeline: 0,
    token: 0,
    row_token: 0,
    row_holder: null(),
    row_meta: null(),
    row_expires_us: 0,
    row_remaining_us: 0,
    row_lease_ms: 0,
    drain_ms: 0,
};

/// The input that a struct means.
unsafe fn parse_input(given: &elector_input) -> Result<Input, Fault> {
    use elector_input_kind as Kind;
    let plain = [
        (Kind::Campaign, Input::Campaign),
        (Kind::Release, Input::Release),
        (Kind::Drain, Input::Drain),
        (Kind::Drained, Input::Drained),
        (Kind::Alive, Input::Alive),
        (Kind::Timeout, Input::Timeout),
        (Kind::Hint, Input::Hint),
        (Kind::Revoked, Input::Revoked),
    ];
    if let Some((_, input)) = plain.into_iter().find(|(kind, _)| *kind as i32 == given.kind) {
        return Ok(input);
    }
    if given.kind == Kind::DrainFor as i32 {
        return Ok(Input::DrainFor(Duration::from_millis(given.drain_ms)));
    }
    if given.kind != Kind::Reply as i32 {
        let found = given.kind;
        return Err(Fault::argument(format!("input kind {found} is none of enum elector_input_kind")));
    }
    let clock = given
        .has_clock
        .then_some(StoreClock { now: StoreTime::from_micros(given.store_now_us), timeline: given.timeline });
    // SAFETY: the caller keeps the conventions.
    let outcome = unsafe { outcome(given) }?;
    Ok(Input::Reply(Reply { id: RequestId(given.request_id), clock, outcome }))
}

unsafe fn outcome(given: &elector_input) -> Result<Outcome, Fault> {
    use elector_outcome as Of;
    if given.outcome == Of::Granted as i32 {
        return Ok(Outcome::Granted { token: token(given.token)? });
    }
    if given.outcome == Of::Seen as i32 {
        // SAFETY: the caller keeps the conventions.
        let row = if given.has_row { Some(unsafe { row(given) }?) } else { None };
        return Ok(Outcome::Seen(row));
    }
    let plain = [
        (Of::Renewed, Outcome::Renewed),
        (Of::Lost, Outcome::Lost),
        (Of::Released, Outcome::Released),
        (Of::Unsent, Outcome::Failed(Failure::Unsent)),
        (Of::Unknown, Outcome::Failed(Failure::Unknown)),
        (Of::Refused, Outcome::Failed(Failure::Refused)),
    ];
    plain.into_iter().find(|(of, _)| *of as i32 == given.outcome).map(|(_, outcome)| outcome).ok_or_else(
        || {
            let found = given.outcome;
            Fault::argument(format!("outcome {found} is none of enum elector_outcome"))
        },
    )
}

unsafe fn row(given: &elector_input) -> Result<Row, Fault> {
    // SAFETY: the caller keeps the conventions.
    let (holder, meta) = unsafe {
        (text::optional(given.row_holder, "row_holder")?, text::optional(given.row_meta, "row_meta")?)
    };
    Ok(Row {
        holder: holder.and_then(LeaderId::from_store),
        token: if given.row_token == 0 { None } else { Some(token(given.row_token)?) },
        expires_at: StoreTime::from_micros(given.row_expires_us),
        remaining: Duration::from_micros(given.row_remaining_us),
        lease: (given.row_lease_ms != 0).then(|| Duration::from_millis(given.row_lease_ms)),
        meta: meta.map(Into::into),
    })
}

fn token(number: u64) -> Result<FencingToken, Fault> {
    FencingToken::try_from(number).map_err(Fault::argument)
}

/// A string that holds no NUL; names are checked for it.
fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

impl elector_lease {
    fn request(&self, request: &Request) -> elector_output {
        let mut output = elector_output {
            kind: elector_output_kind::Send,
            request_id: request.id.0,
            request_deadline_ns: request.deadline.as_nanos(),
            ..EMPTY_OUTPUT
        };
        if !matches!(request.op, Op::Look) {
            output.holder = self.holder.as_ptr();
        }
        let millis = |lease: Duration| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        match &request.op {
            Op::Look => output.op = elector_op::Look,
            Op::Acquire(acquire) => {
                output.op = elector_op::Acquire;
                output.lease_ms = millis(acquire.lease);
                output.meta = self.meta.as_ref().map_or(null(), |meta| meta.as_ptr());
                match acquire.unchanged {
                    None => {}
                    Some(Version::Absent) => output.unchanged = elector_unchanged::Absent,
                    Some(Version::Row { token, expires_at }) => {
                        output.unchanged = elector_unchanged::Same;
                        output.unchanged_token = token.map_or(0, FencingToken::get);
                        output.unchanged_expires_us = expires_at.as_micros();
                    }
                }
            }
            Op::Renew { token, lease, .. } => {
                (output.op, output.token, output.lease_ms) = (elector_op::Renew, token.get(), millis(*lease));
            }
            Op::Release { token, .. } => (output.op, output.token) = (elector_op::Release, token.get()),
        }
        output
    }

    fn event(&mut self, event: &Event) -> elector_output {
        self.revision += 1;
        let mut output = elector_output {
            kind: elector_output_kind::Event,
            event: elector_event::of(event),
            token: elector_event::token(event),
            reason: elector_event::reason(event),
            ..EMPTY_OUTPUT
        };
        match event {
            Event::LeaderChanged { leader } => {
                self.leader = leader.as_ref().map(|leader| c_string(leader.id.candidate()));
                let meta = leader.as_ref().and_then(|leader| leader.meta.as_deref());
                self.leader_meta = meta.map(c_string);
                output.leader = self.leader.as_ref().map_or(null(), |leader| leader.as_ptr());
                output.leader_meta = self.leader_meta.as_ref().map_or(null(), |meta| meta.as_ptr());
            }
            Event::StoreClockStepped { by_us } => output.by_us = *by_us,
            Event::PoisonedRow { remaining_ms } => {
                output.by_us = i64::try_from(remaining_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
            }
            _ => {}
        }
        output
    }
}
