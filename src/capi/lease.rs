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

/// The kind of an input to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_input_kind {
    /// Campaign. No effect if the machine campaigns or leads already.
    Campaign = 1,
    /// Stand down at once.
    Release = 2,
    /// Stand down once the work in progress is done.
    Drain = 3,
    /// The work in progress of a drain is done.
    Drained = 4,
    /// Your program makes progress. Needed only with the progress gate.
    Alive = 5,
    /// Time passed. An early, late or repeated TIMEOUT is safe.
    Timeout = 6,
    /// The result of a request, or its failure: set `request_id`, `outcome` and the fields that the outcome
    /// needs. A late, repeated or missing reply is safe.
    Reply = 7,
    /// The election may have become free: the machine looks now rather than later. A wrong hint is safe.
    Hint = 8,
    /// The lease no longer excludes other candidates, as you know from elsewhere (its file is gone): the
    /// machine stops trusting it at once.
    Revoked = 9,
    /// DRAIN, but the lease is renewed for at most `drain_ms`. After that the work has the rest of the
    /// lease, until it expires.
    DrainFor = 10,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_outcome {
    /// LOOK: the row as it is. ACQUIRE: the row was not taken; this is how it is. Set `has_row` and, if there
    /// is a row, the `row_…` fields.
    Seen = 1,
    /// ACQUIRE: the row was taken. Set `token`.
    Granted = 2,
    /// RENEW: the lease was extended.
    Renewed = 3,
    /// RENEW: the lease has ended. The row has another holder or token, is gone, or has expired; this term
    /// cannot be renewed any more.
    Lost = 4,
    /// RELEASE: the row no longer has this holder and token.
    Released = 5,
    /// No answer, and the store certainly did not execute the request: it was not sent, or was rolled back.
    Unsent = 6,
    /// No answer, and the store may have executed the request or may do so later. If unsure, report this.
    Unknown = 7,
    /// The store refused, for a reason that lasts until an operator acts, such as a missing permission or
    /// table.
    Refused = 8,
}

/// One input. Initialise it with ELECTOR_INPUT_INIT and set the fields of its kind.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_input {
    /// Set it to sizeof this struct.
    pub struct_size: u32,
    /// One of `enum elector_input_kind`.
    pub kind: i32,
    /// REPLY: the request's id.
    pub request_id: u64,
    /// REPLY: one of `enum elector_outcome`.
    pub outcome: i32,
    /// REPLY: whether `store_now_us` and `timeline` are set.
    pub has_clock: bool,
    /// REPLY, SEEN: whether there is a row.
    pub has_row: bool,
    /// REPLY: the store's clock when it executed the request, in microseconds.
    pub store_now_us: i64,
    /// REPLY: the number of the store's timeline, which changes when a standby is promoted.
    pub timeline: u64,
    /// REPLY, GRANTED: the token of the new term.
    pub token: u64,
    /// REPLY, SEEN: the row's token; 0 in a row that another program wrote.
    pub row_token: u64,
    /// REPLY, SEEN: the row's holder; NULL or "" in a row that was released or revoked. Read during the call
    /// only.
    pub row_holder: *const c_char,
    /// REPLY, SEEN: the row's meta text, or NULL. Read during the call only.
    pub row_meta: *const c_char,
    /// REPLY, SEEN: the row's expiry on the store's clock, in microseconds.
    pub row_expires_us: i64,
    /// REPLY, SEEN: the time until the row expires, computed by the store, in microseconds; 0 if the row can
    /// be taken.
    pub row_remaining_us: u64,
    /// REPLY, SEEN: the length of the row's lease, or 0 if the store does not know it.
    pub row_lease_ms: u64,
    /// DRAIN_FOR: for how long the lease is still renewed.
    pub drain_ms: u64,
}

// SAFETY: `repr(C)` of numbers, pointers and flags that C wrote, and begins with its size.
unsafe impl Growing for elector_input {
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, drain_ms);
}

/// The kind of an output of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_output_kind {
    /// Nothing to do before `wait_earliest_ns`. Then input a TIMEOUT, by `wait_latest_ns`, unless another
    /// input comes first.
    Wait = 1,
    /// Send this request to the store, and input the REPLY.
    Send = 2,
    /// Something happened to the candidate: see `event`.
    Event = 3,
}

/// The operation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_op {
    /// No operation: the output is not a request.
    None = 0,
    /// Read the row.
    Look = 1,
    /// Take the row if it is absent or has expired by the store's clock, and if `unchanged` holds; otherwise
    /// only read it.
    Acquire = 2,
    /// Extend the lease if the row still names this holder and token and has not expired.
    Renew = 3,
    /// End the lease if the row still names this holder and token.
    Release = 4,
}

/// A further condition of ACQUIRE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum elector_unchanged {
    /// No further condition.
    Any = 0,
    /// There must be no row.
    Absent = 1,
    /// The row must still have `unchanged_token` and `unchanged_expires_us`.
    Same = 2,
}

/// One output. Initialise it with ELECTOR_OUTPUT_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_output {
    /// Set it to sizeof this struct.
    pub struct_size: u32,
    /// The kind; the comment of each field says with which kind it is set.
    pub kind: elector_output_kind,
    /// WAIT: a TIMEOUT before this instant has no effect.
    pub wait_earliest_ns: u64,
    /// WAIT: the TIMEOUT is due at this instant; UINT64_MAX: never.
    pub wait_latest_ns: u64,
    /// SEND: the id to repeat in the reply.
    pub request_id: u64,
    /// SEND: the machine stops waiting for the reply at this instant. Drop a request that was not sent by
    /// then.
    pub request_deadline_ns: u64,
    /// SEND: the operation.
    pub op: elector_op,
    /// SEND, ACQUIRE: the further condition.
    pub unchanged: elector_unchanged,
    /// SEND, RENEW and RELEASE: the token of the term. EVENT: the token of the event's term, or 0.
    pub token: u64,
    /// SEND, ACQUIRE and RENEW: the length of the lease, which the store counts from the execution of the
    /// request.
    pub lease_ms: u64,
    /// SEND, ACQUIRE, RENEW and RELEASE: the holder. Valid as long as the machine.
    pub holder: *const c_char,
    /// SEND, ACQUIRE: the holder's meta text, or NULL. Valid as long as the machine.
    pub meta: *const c_char,
    /// SEND, ACQUIRE with SAME: the token that the row must have; 0: no token.
    pub unchanged_token: u64,
    /// SEND, ACQUIRE with SAME: the expiry that the row must have.
    pub unchanged_expires_us: i64,
    /// EVENT: what happened.
    pub event: elector_event,
    /// EVENT, DEPOSED: why the term ended.
    pub reason: elector_reason,
    /// EVENT, LEADER_CHANGED: the name of the candidate that leads now, or NULL. Valid until the next call
    /// with this machine.
    pub leader: *const c_char,
    /// EVENT, LEADER_CHANGED: the leader's meta text, or NULL. Valid until the next call with this machine.
    pub leader_meta: *const c_char,
    /// EVENT, STORE_CLOCK_STEPPED: the size of the step in microseconds; positive: forward. EVENT,
    /// POISONED_ROW: the time until the row expires, in microseconds.
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

/// A lease machine: the state of one candidate of one election, without thread, socket or clock, for a
/// program with an event loop of its own. One thread at a time.
///
/// Give it an input, then poll until the output is WAIT. `now_ns` is the time on a clock of yours that also
/// counts the time for which the machine was suspended; it may start anywhere. A `now_ns` that is smaller
/// than an earlier one counts as that one.
///
/// A fork copies the machine, so that two processes have the same candidate. Continue with it in one of them
/// only: used in both, both may lead.
pub struct elector_lease {
    lease: Lease,
    holder: CString,
    meta: Option<CString>,
    leader: Option<CString>,
    leader_meta: Option<CString>,
    revision: u64,
}

/// Creates a machine, to be freed with `elector_lease_free`. It does not campaign before the input CAMPAIGN.
/// It needs the options `election` and `candidate`, and ignores the options about stores and callbacks.
///
/// `incarnation`: a random number, different for every machine that is ever created. A machine recognises its
/// own lease by it: with a number that is used twice, two machines may take each other's lease for their own,
/// and both lead. `seed`: the seed of the jitter; the same seed in all candidates makes them act at the same
/// time.
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

/// Frees a machine; accepts NULL. It releases nothing: a lease that it holds blocks the next leader until it
/// expires.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn elector_lease_free(lease: *mut elector_lease) {
    if !lease.is_null() {
        // SAFETY: it came from `elector_lease_new` and is not used any more.
        drop(unsafe { Box::from_raw(lease) });
    }
}

/// Tells the machine what happened at `now_ns`. Poll afterwards. INVALID_ARGUMENT: the input is invalid and
/// had no effect.
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

/// Fills in the next output. Poll until its kind is WAIT.
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

/// Fills in whether this candidate leads at `now_ns`. False from the hard deadline on, whether or not a
/// TIMEOUT was given. `revision` counts the events that were polled.
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
        return Err(Fault::argument(format!(
            "input kind {found} is not in enum elector_input_kind; use one of its values"
        )));
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
            Fault::argument(format!("outcome {found} is not in enum elector_outcome; use one of its values"))
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
