//! The vocabulary of the lease machine: inputs, outputs, requests, replies, rows and events.

use ::core::fmt;
use ::core::time::Duration;
use alloc::format;
use alloc::sync::Arc;

use serde::ser::SerializeStruct;

use crate::core::{FencingToken, Instant, Name, StoreTime};

/// An input of the machine: something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The host wants to lead. No effect on a machine that campaigns or leads already.
    Campaign,
    /// The host stands down at once: not leader from this call on, and no candidate until the next
    /// `Campaign`.
    Release,
    /// The host stands down once its work in progress is done. Not leader for new work from this call on,
    /// but the lease is renewed until [`Input::Drained`] or until it cannot be renewed any more.
    Drain,
    /// [`Input::Drain`], with the lease renewed for at most this long. Work that takes longer can use the
    /// remaining time of the lease, until it expires. If the machine drains already, the earlier end counts.
    DrainFor(Duration),
    /// The work in progress of a draining host is done.
    Drained,
    /// The host makes progress. Needed only with the progress gate.
    Alive,
    /// Time passed. May come early, late or twice.
    Timeout,
    /// The store answered, or the driver knows that it will not. A reply may come late, twice or never.
    Reply(Reply),
    /// The election may have become free: look now rather than later.
    Hint,
    /// The driver knows that the lease protects nothing any more (its file was lost, or the process was
    /// forked). The machine stops trusting it at once.
    Revoked,
}

/// An output of the machine: something for the driver to do. Poll
/// [`Lease::poll_output`](super::Lease::poll_output) until
/// [`Output::WaitUntil`] comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this to the store and answer with [`Input::Reply`].
    Send(Request),
    /// Notify the host.
    Event(Event),
    /// Nothing more to do before then: give [`Input::Timeout`] in this window unless other input comes first.
    WaitUntil(Wait),
}

/// A window of time for the next [`Input::Timeout`].
///
/// The timeout has its effect from `earliest` on, and is due by `latest`. The slack lets one driver fire the
/// timers of many elections together, so that their operations travel as one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Before this a timeout does nothing.
    pub earliest: Instant,
    /// The timeout is due now.
    pub latest: Instant,
}

impl Wait {
    /// Nothing is due.
    pub const NEVER: Wait = Wait { earliest: Instant::MAX, latest: Instant::MAX };

    /// Due at `at` precisely.
    #[must_use]
    pub const fn at(at: Instant) -> Wait {
        Wait { earliest: at, latest: at }
    }

    /// The earlier start and the earlier end of both windows.
    #[must_use]
    pub fn or(self, other: Wait) -> Wait {
        Wait { earliest: self.earliest.min(other.earliest), latest: self.latest.min(other.latest) }
    }
}

/// The id of one request of one machine, which never uses it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One operation on the machine's election.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The id that the [`Reply`] must repeat.
    pub id: RequestId,
    /// After this instant of the driver's clock the machine goes on without the reply. A driver that has not
    /// sent the request by then should drop it.
    pub deadline: Instant,
    /// The operation.
    pub op: Op,
}

/// A request that was sent, as the machine remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: RequestId,
    pub(crate) kind: Kind,
    pub(crate) at: Instant,
    pub(crate) deadline: Instant,
}

/// The operation of a request that was sent, and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Look,
    Acquire,
    Renew(FencingToken),
    Release(FencingToken),
}

/// The four operations of a store.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Read the row. Writes nothing.
    Look,
    /// Take the row if it is absent or has expired by the store's clock; otherwise only read it.
    Acquire(Acquire),
    /// Extend the lease if the row still names this holder and token and has not expired.
    Renew {
        /// The term to extend.
        token: FencingToken,
        /// Its holder.
        holder: LeaderId,
        /// The length of the lease, counted by the store from now.
        lease: Duration,
    },
    /// End the lease now if the row still names this holder and token; otherwise change nothing.
    /// The row keeps its token, so that the next one is larger.
    Release {
        /// The term to end.
        token: FencingToken,
        /// Its holder.
        holder: LeaderId,
    },
}

impl Op {
    /// The operation's name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Op::Look => "look",
            Op::Acquire(_) => "acquire",
            Op::Renew { .. } => "renew",
            Op::Release { .. } => "release",
        }
    }
}

/// The arguments of an acquire.
#[derive(Clone, Debug, PartialEq)]
pub struct Acquire {
    /// The candidate that takes the row.
    pub holder: LeaderId,
    /// A text that is published beside the holder's name, for example an address.
    pub meta: Option<Arc<str>>,
    /// The length of the lease, counted by the store from now.
    pub lease: Duration,
    /// Take the row only if it still has this version. Set by a cautious take-over, after a full lease of
    /// waiting (`strict`, or after a clock step of the store was seen).
    pub unchanged: Option<Version>,
}

/// The version of a row, by which a candidate sees whether the row was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// There is no row.
    Absent,
    /// The row's token and expiry.
    Row {
        /// The row's token; `None` in a row that another program wrote.
        token: Option<FencingToken>,
        /// The row's expiry on the store's clock.
        expires_at: StoreTime,
    },
}

/// The reply to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's id.
    pub id: RequestId,
    /// The store's clock when it executed the operation; `None` if the store did not answer.
    pub clock: Option<StoreClock>,
    /// The result.
    pub outcome: Outcome,
}

/// A reading of the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreClock {
    /// The time.
    pub now: StoreTime,
    /// The store's timeline; its number changes when a standby is promoted.
    pub timeline: u64,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Look: the present row. Acquire: the row was not taken, and this is the present row.
    Seen(Option<Row>),
    /// Acquire: taken, with this token.
    Granted {
        /// The new term's token.
        token: FencingToken,
    },
    /// Renew: extended.
    Renewed,
    /// Renew: the row is not this holder's any more, and never will be again under this token.
    Lost,
    /// Release: the row is not this holder's any more.
    Released,
    /// No answer.
    Failed(Failure),
}

impl Outcome {
    /// The outcome's name in metrics and in JavaScript; that of its failure if there is no answer.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Seen(_) => "seen",
            Outcome::Granted { .. } => "granted",
            Outcome::Renewed => "renewed",
            Outcome::Lost => "lost",
            Outcome::Released => "released",
            Outcome::Failed(failure) => failure.name(),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store certainly did not execute the request (it was never sent, or was rolled back).
    Unsent,
    /// The store may have executed the request, may do so later, or never.
    Unknown,
    /// The store refused for a reason that will not go away by itself (a missing permission or table).
    Refused,
}

impl Failure {
    /// The failure's name in metrics and in JavaScript.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Failure::Unsent => "unsent",
            Failure::Unknown => "unknown",
            Failure::Refused => "refused",
        }
    }
}

/// A row as a store shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its holder; `None` in a row that was released or revoked.
    pub holder: Option<LeaderId>,
    /// The row's token; `None` in a row that another program wrote.
    pub token: Option<FencingToken>,
    /// The row's expiry on the store's clock.
    pub expires_at: StoreTime,
    /// The remaining time of the lease, computed by the store; zero if the row may be taken now.
    pub remaining: Duration,
    /// The length of the lease that the holder requested; `None` if the row does not record it.
    pub lease: Option<Duration>,
    /// The holder's text.
    pub meta: Option<Arc<str>>,
}

impl Row {
    /// The row's version.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::Row { token: self.token, expires_at: self.expires_at }
    }
}

/// A candidate's name with its incarnation, as the store keeps it: `name#16 hex digits`.
///
/// The incarnation keeps a process from adopting the lease of an earlier process with the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct LeaderId(Arc<str>);

impl LeaderId {
    /// The id of `candidate` with this incarnation.
    #[must_use]
    pub fn new(candidate: &Name, incarnation: u64) -> LeaderId {
        LeaderId(format!("{candidate}#{incarnation:016x}").into())
    }

    /// The id that a store returned; ids of other programs have no incarnation. `None` if it is empty: the
    /// row has no holder.
    #[must_use]
    pub fn from_store(text: &str) -> Option<LeaderId> {
        (!text.is_empty()).then(|| LeaderId(text.into()))
    }

    /// The id as the store keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The candidate's name without the incarnation.
    #[must_use]
    pub fn candidate(&self) -> &str {
        match self.0.rsplit_once('#') {
            Some((name, number)) if number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit()) => {
                name
            }
            _ => &self.0,
        }
    }
}

impl fmt::Display for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A notification of the host. Events come in order. All events of a term, from `Elected` to its one
/// `Deposed`, carry the token of the term.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A term begins.
    Elected {
        /// The term.
        token: FencingToken,
    },
    /// The term was extended.
    Renewed {
        /// The term.
        token: FencingToken,
    },
    /// A renewal failed, was not answered in time, or was withheld by the progress gate or past
    /// the bound of a drain. The term goes on.
    AtRisk {
        /// The term.
        token: FencingToken,
    },
    /// The soft deadline has come, or a drain has begun: start no new work. A later `Renewed` lifts it,
    /// except in a drain. A drain that reaches the soft deadline gets the event again: end the work in
    /// progress.
    StopNewWork {
        /// The term.
        token: FencingToken,
    },
    /// The term is over. Comes exactly once for each term, at or before the hard deadline.
    Deposed {
        /// The term.
        token: FencingToken,
        /// Why.
        reason: DeposedReason,
    },
    /// The leader changed: it is this candidate, another candidate, or none. In JSON the leader's token also
    /// stands where every other event has its token.
    LeaderChanged {
        /// The leader, as far as this candidate knows.
        #[serde(flatten, serialize_with = "with_token")]
        leader: Option<Leader>,
    },
    /// The store's clock stepped, compared with this candidate's. For one full lease of its own clock the
    /// candidate takes nothing over.
    StoreClockStepped {
        /// The step in microseconds; forward is positive.
        by_us: i64,
    },
    /// The store continues on another timeline: a standby was promoted, and commits may be lost.
    /// Handled like a clock step.
    TimelineChanged,
    /// The row's expiry is further ahead than its lease could have set it. No candidate can take the row over
    /// before; `elector break` clears it.
    PoisonedRow {
        /// Milliseconds until it expires.
        remaining_ms: u64,
    },
}

/// Why a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeposedReason {
    /// The host released it before its soft deadline, or after a drain.
    Released,
    /// No renewal succeeded before the hard deadline, or before the host released after the soft deadline.
    Expired,
    /// The row is not this candidate's any more: it was taken over, revoked or deleted.
    Lost,
    /// The progress gate withheld renewals, or the work of a drain took longer than its bound.
    Stalled,
    /// The driver reported that the lease protects nothing any more ([`Input::Revoked`]).
    Revoked,
}

impl DeposedReason {
    /// The reason's name in events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeposedReason::Released => "released",
            DeposedReason::Expired => "expired",
            DeposedReason::Lost => "lost",
            DeposedReason::Stalled => "stalled",
            DeposedReason::Revoked => "revoked",
        }
    }
}

/// Puts the leader's token where every event about a term has its token.
fn with_token<S: serde::Serializer>(leader: &Option<Leader>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Fields<'a> {
        leader: &'a Option<Leader>,
        token: Option<FencingToken>,
    }
    let token = leader.as_ref().and_then(|leader| leader.token);
    serde::Serialize::serialize(&Fields { leader, token }, serializer)
}

/// The leader of an election. Its JSON also has the candidate's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The candidate with its incarnation.
    pub id: LeaderId,
    /// The term; `None` where another program wrote the row.
    pub token: Option<FencingToken>,
    /// The text that the leader published.
    pub meta: Option<Arc<str>>,
}

impl serde::Serialize for Leader {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Leader", 4)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("candidate", self.id.candidate())?;
        fields.serialize_field("token", &self.token)?;
        fields.serialize_field("meta", &self.meta)?;
        fields.end()
    }
}

/// The phase of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Does not campaign.
    Standby,
    /// Campaigns and does not lead.
    Candidate,
    /// Leads.
    Leader,
    /// Holds the lease for work in progress only; not leader for new work.
    Draining,
}

/// One consistent answer to the question whether a candidate leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this candidate leads, at the instant that was asked about.
    pub is_leader: bool,
    /// The machine's phase.
    pub phase: Phase,
    /// The term's token while the lease is trusted, draining included.
    pub token: Option<FencingToken>,
    /// The hard deadline: when trust ends unless a renewal extends it, on the driver's clock;
    /// [`Instant::ZERO`] without a term. See [`Leadership::trusted_for`].
    pub trusted_until: Instant,
    /// The soft deadline: `grace` before the hard one, on the same clock; [`Instant::ZERO`] without a term.
    /// See [`Leadership::work_for`].
    pub work_until: Instant,
    /// Why the latest term ended.
    pub reason: Option<DeposedReason>,
}

impl Leadership {
    /// The time from `now` until the hard deadline; zero without a term. A renewal extends it.
    ///
    /// Everything that only the leader may do must have ended by then: another candidate can lead from that
    /// instant on. `now` is read from the driver's clock after this answer was given.
    #[must_use]
    pub fn trusted_for(&self, now: Instant) -> Duration {
        self.trusted_until.saturating_since(now)
    }

    /// The time from `now` until the soft deadline; zero without a term and past that deadline. A renewal
    /// extends it.
    ///
    /// Start nothing new by then, which leaves `grace` to work in progress. In a drain start nothing new at
    /// all: then this is the time for which the work in progress may still run.
    #[must_use]
    pub fn work_for(&self, now: Instant) -> Duration {
        self.work_until.saturating_since(now)
    }
}
