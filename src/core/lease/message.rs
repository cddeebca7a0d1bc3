//! What goes into the lease machine and what comes out of it.

use ::core::fmt;
use ::core::time::Duration;
use alloc::format;
use alloc::sync::Arc;

use serde::ser::SerializeStruct;

use crate::core::{FencingToken, Instant, Name, StoreTime};

/// Something that happened outside, told to the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The host wants to lead. Heard again while it already stands: no effect.
    Campaign,
    /// The host gives up at once: not leader from this call on, and no candidate until the next `Campaign`.
    Release,
    /// The host gives up once its work in progress is done. Not leader for new work from this call on,
    /// but the lease is kept until [`Input::Drained`] or until it can be kept no longer.
    Drain,
    /// [`Input::Drain`], renewed for at most this long: work that takes longer keeps what is left of the
    /// lease then, which ends by itself. While it drains already, the earlier end counts.
    DrainFor(Duration),
    /// The work in progress of a draining host is done.
    Drained,
    /// The host makes progress. Only needed with the progress gate.
    Alive,
    /// Time passed. May come early, late or twice.
    Timeout,
    /// The store answered, or the driver knows that it will not. May come late, twice or never.
    Reply(Reply),
    /// The election may have become free: look now rather than later.
    Hint,
    /// The driver knows that the lease protects nothing any more (its file was lost, the process was
    /// forked): stop trusting it at once.
    Revoked,
}

/// Something for the driver to do. Drain [`Lease::poll_output`](super::Lease::poll_output) until
/// [`Output::WaitUntil`] comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this to the store and answer with [`Input::Reply`].
    Send(Request),
    /// Tell the host.
    Event(Event),
    /// Nothing more to do before then: give [`Input::Timeout`] in this window unless other input comes first.
    WaitUntil(Wait),
}

/// A window of time for the next [`Input::Timeout`].
///
/// From `earliest` on it does its work; by `latest` it must come. The slack lets one driver fire the
/// timers of many elections together, so that their operations travel as one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Before this a timeout does nothing.
    pub earliest: Instant,
    /// The timeout is due now.
    pub latest: Instant,
}

impl Wait {
    /// Nothing is due ever.
    pub const NEVER: Wait = Wait { earliest: Instant::MAX, latest: Instant::MAX };

    /// Due at `at` precisely.
    #[must_use]
    pub const fn at(at: Instant) -> Wait {
        Wait { earliest: at, latest: at }
    }

    /// The window in which the first of both is served.
    #[must_use]
    pub fn or(self, other: Wait) -> Wait {
        Wait { earliest: self.earliest.min(other.earliest), latest: self.latest.min(other.latest) }
    }
}

/// Names one request of one machine; never used twice by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One operation on the machine's election.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// To be repeated in the [`Reply`].
    pub id: RequestId,
    /// After this instant of the driver's clock the machine goes on without the answer. A driver that has not
    /// sent the request by then should drop it.
    pub deadline: Instant,
    /// What to do.
    pub op: Op,
}

/// The operations of a store (DESIGN: look, acquire, renew, release).
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
        /// Who holds it.
        holder: LeaderId,
        /// The length of the lease, counted by the store from now.
        lease: Duration,
    },
    /// End the lease now if the row still names this holder and token; otherwise change nothing.
    /// The row keeps its token, so that the next one is larger.
    Release {
        /// The term to end.
        token: FencingToken,
        /// Who held it.
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

/// What an acquire asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Acquire {
    /// Who asks.
    pub holder: LeaderId,
    /// A text that others read beside the holder's name, an address for instance.
    pub meta: Option<Arc<str>>,
    /// The length of the lease, counted by the store from now.
    pub lease: Duration,
    /// Take the row only if it still is as it was seen. Set after a full lease of waiting (`strict`, or a
    /// store clock that was stepped).
    pub unchanged: Option<Version>,
}

/// What tells one state of a row from the next.
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

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's id.
    pub id: RequestId,
    /// The store's clock when it executed the operation; `None` if it did not answer.
    pub clock: Option<StoreClock>,
    /// What became of it.
    pub outcome: Outcome,
}

/// A reading of the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreClock {
    /// The time.
    pub now: StoreTime,
    /// Which history the store is on; another number after a standby was promoted.
    pub timeline: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Look: the row as it stands. Acquire: not taken, and this is the row as it stands.
    Seen(Option<Row>),
    /// Acquire: taken, with this token.
    Granted {
        /// The new term's token.
        token: FencingToken,
    },
    /// Renew: extended.
    Renewed,
    /// Renew: the row is no longer this holder's, and never will be again under this token.
    Lost,
    /// Release: the row is not this holder's any more.
    Released,
    /// No answer.
    Failed(Failure),
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

/// A row as a store shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Who holds it; `None` in a row that was released or revoked.
    pub holder: Option<LeaderId>,
    /// The row's token; `None` in a row that another program wrote.
    pub token: Option<FencingToken>,
    /// The row's expiry on the store's clock.
    pub expires_at: StoreTime,
    /// What is left of the lease, computed by the store; zero if it may be taken now.
    pub remaining: Duration,
    /// The length of the lease that the holder asked for, where the store knows it.
    pub lease: Option<Duration>,
    /// The holder's text.
    pub meta: Option<Arc<str>>,
}

impl Row {
    /// What tells this state of the row from the next.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::Row { token: self.token, expires_at: self.expires_at }
    }
}

/// A candidate's name with the random number of this one run of it, as the store keeps it: `name#16 hex
/// digits`.
///
/// The number makes sure that nobody adopts a lease of an earlier process with the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct LeaderId(Arc<str>);

impl LeaderId {
    /// The id of this run of `candidate`.
    #[must_use]
    pub fn new(candidate: &Name, incarnation: u64) -> LeaderId {
        LeaderId(format!("{candidate}#{incarnation:016x}").into())
    }

    /// An id as a store gave it; other programs' ids have no number. An empty one is nobody's.
    #[must_use]
    pub fn from_store(text: &str) -> Option<LeaderId> {
        (!text.is_empty()).then(|| LeaderId(text.into()))
    }

    /// The id as the store keeps it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The candidate's name without the number.
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

/// What the host is told, in order. Between `Elected` and its one `Deposed` all events carry the same token.
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
    /// The soft deadline, or a drain: start no new work. A later `Renewed` lifts it, unless draining. While
    /// draining it is told again at the soft deadline: end the work in progress.
    StopNewWork {
        /// The term.
        token: FencingToken,
    },
    /// The term is over; said exactly once, at or before the end of trust.
    Deposed {
        /// The term.
        token: FencingToken,
        /// Why.
        reason: DeposedReason,
    },
    /// The leader changed: it is this candidate, another candidate, or none. As JSON it has the leader's
    /// token beside the others' too.
    LeaderChanged {
        /// Who leads now, as far as is known.
        #[serde(flatten, serialize_with = "with_token")]
        leader: Option<Leader>,
    },
    /// The store's clock jumped against ours. Before it takes over a lease from before the jump, this
    /// candidate waits one full lease by its own clock.
    StoreClockStepped {
        /// Microseconds; forward is positive.
        by_us: i64,
    },
    /// The store continues on another timeline: a standby was promoted, and commits may be lost.
    /// Handled like a stepped clock.
    TimelineChanged,
    /// The row's expiry is further ahead than its lease could have set it. Nobody can take it over before;
    /// `elector break` clears it.
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
    /// No renewal succeeded before trust ended, or before the host gave up past the soft deadline.
    Expired,
    /// The store says that the row is not ours: it was taken over, revoked or deleted.
    Lost,
    /// The progress gate withheld renewals, or the work of a drain took longer than its bound.
    Stalled,
    /// The driver said that the lease protects nothing any more.
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

/// Every event about a term has its token in the same place.
fn with_token<S: serde::Serializer>(leader: &Option<Leader>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Fields<'a> {
        leader: &'a Option<Leader>,
        token: Option<FencingToken>,
    }
    let token = leader.as_ref().and_then(|leader| leader.token);
    serde::Serialize::serialize(&Fields { leader, token }, serializer)
}

/// Who leads. As JSON it has the candidate's name too.
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

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Does not want to lead.
    Standby,
    /// Wants to lead and does not.
    Candidate,
    /// Leads.
    Leader,
    /// Holds the lease for work in progress only; not leader for new work.
    Draining,
}

/// One consistent answer to "do I lead?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this candidate leads, at the instant that was asked about.
    pub is_leader: bool,
    /// Where the machine stands.
    pub phase: Phase,
    /// The term's token while the lease is trusted, draining included.
    pub token: Option<FencingToken>,
    /// When trust ends unless it is renewed, on the driver's clock; [`Instant::ZERO`] without a term.
    pub trusted_until: Instant,
    /// When new work must stop unless it is renewed (the soft deadline); [`Instant::ZERO`] without a term.
    pub stop_new_work_at: Instant,
    /// Why the latest term ended.
    pub reason: Option<DeposedReason>,
}
