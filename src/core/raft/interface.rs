//! The vocabulary of the Raft machine: inputs, outputs, events, and what it knows of its leadership.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::change::{Change, ChangeRefused, Transition};
use super::durability::Ticket;
use super::id::{ClusterId, MemberId};
use super::message::{Refusal, Standing};
use super::record::Record;
use crate::core::lease::DeposedReason;
use crate::core::{FencingToken, Instant};

/// An input of the machine: something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time passed. May come early, late or twice.
    Timeout,
    /// Bytes came from another member. Read the clock for `now` after they arrived: the time at which a
    /// leader was heard must not lie before it.
    Received(Vec<u8>),
    /// Stand for election now rather than at the election time, unless a leader was heard lately.
    Campaign,
    /// Replace the replicated data. A member that does not lead forwards the proposal to the leader that it
    /// knows, once. Answered by [`Event::Answered`].
    Propose {
        /// A number of the host's choice, for the answer.
        request: u64,
        /// The proposal counts only if it replaces the record with this index.
        expected: Option<u64>,
        /// The new data.
        data: Arc<[u8]>,
    },
    /// Hand leadership over to a voter, once it has the newest record: no proposal is accepted meanwhile.
    /// Answered by [`Event::Answered`]: with the index of the newest record when this member has stopped
    /// leading, or with a refusal if the voter did not catch up within the minimum election time.
    Transfer {
        /// A number of the host's choice, for the answer.
        request: u64,
        /// The voter.
        to: MemberId,
    },
    /// Change the members. Answered by [`Event::Answered`] with the index of the record that has the change,
    /// or by [`Event::ChangeRefused`].
    ///
    /// A new voter is a learner until it has caught up, and then becomes a voter by itself. If more than one
    /// voter differs, the change goes through a joint configuration, which the leader leaves by itself.
    ChangeMembership {
        /// A number of the host's choice, for the answer.
        request: u64,
        /// The changes, in order.
        changes: Vec<Change>,
        /// Whether one step will do.
        transition: Transition,
    },
    /// A member that may belong to the cluster, or to the one that is to be founded: the host knows where to
    /// send to it. At most [`MAX_KNOWN`](super::MAX_KNOWN).
    Known(MemberId),
    /// The host counts on this member no more: it is forgotten, and removed from the cluster if this member
    /// leads and a quorum of the others answers.
    Gone(MemberId),
    /// Leave the cluster: the member asks to be removed until it is. [`Event::Left`] says when it is no
    /// member any more. It joins again when it is restored, not before. The only member of a cluster stays:
    /// the state would be lost with it. The only voter that may lead waits until another one may.
    ///
    /// A leader removes itself and then hands leadership over. If it hands over first (a
    /// [`Transfer`](Input::Transfer) to [`Raft::successor`](super::Raft::successor), then this), the next one
    /// leads a round trip and a write sooner, and removes it. A leader of two voters must not: if it ends
    /// before it was removed, the other one is no majority.
    Leave,
    /// The state of this ticket is durable.
    Persisted(Ticket),
    /// The state of this ticket could not be made durable. The machine stops voting and leading, and tries
    /// again.
    PersistFailed(Ticket),
}

/// An output of the machine: something for the driver to do. Poll
/// [`Raft::poll_output`](super::Raft::poll_output) until [`Output::WaitUntil`] comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make this state durable in place of the one before, then give [`Input::Persisted`]. At most one is
    /// unanswered at a time.
    Persist {
        /// The number of the write.
        ticket: Ticket,
        /// The whole state: see [`Durable`](super::Durable).
        bytes: Vec<u8>,
    },
    /// Send these bytes to a member. They may be lost, doubled, reordered or late. Whatever is given out to
    /// send is safe to send at once.
    Send {
        /// The receiver.
        to: MemberId,
        /// A [`Message`](super::Message).
        bytes: Vec<u8>,
    },
    /// Notify the host.
    Event(Event),
    /// Nothing more to do before then: give [`Input::Timeout`] at that time unless other input comes first.
    WaitUntil(Instant),
}

/// A notification of the host. Events come in order; all events of a term, from `Elected` to its one
/// `Deposed`, carry its token.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// This member leads: a quorum keeps a record of its term, and answered a heartbeat lately.
    Elected {
        /// The term.
        token: FencingToken,
    },
    /// The end of trust is near: start no new work. Comes a tenth of the minimum election time before it, if
    /// no quorum answered another heartbeat until then. A later [`Event::Renewed`] lifts it.
    StopNewWork {
        /// The term.
        token: FencingToken,
    },
    /// A quorum answered again after [`Event::StopNewWork`].
    Renewed {
        /// The term.
        token: FencingToken,
    },
    /// The term is over. Comes exactly once for each term, at or before the end of trust.
    Deposed {
        /// The term.
        token: FencingToken,
        /// Why.
        reason: DeposedReason,
    },
    /// The leader that this member knows is another one, or none.
    LeaderChanged {
        /// The leader.
        leader: Option<MemberId>,
        /// The member's term.
        term: u64,
    },
    /// A record is committed: it is never lost. Each member gets some of the records, in order.
    Committed(Record),
    /// A change of the members was refused. Nothing was changed.
    ChangeRefused {
        /// The number that the host chose.
        request: u64,
        /// Why.
        refused: ChangeRefused,
    },
    /// This member belongs to no cluster any more: a committed record removed it, or its host let it leave
    /// before it belonged to one.
    Left,
    /// The member founded or joined a cluster, gave one up, or left it; or its cluster became one that yields
    /// to no other.
    StandingChanged {
        /// Its relation to a cluster now.
        standing: Standing,
        /// The cluster; [`ClusterId::NONE`] if it belongs to none.
        cluster: ClusterId,
    },
    /// A member that this one knows belongs to another cluster, and neither yields: they stay two clusters
    /// for ever, unless an operator ends one of them. Comes once for each such member.
    OtherCluster {
        /// The member of the other cluster.
        member: MemberId,
        /// The other cluster.
        cluster: ClusterId,
    },
    /// The answer to a proposal or a hand-over: an index, or why it was refused.
    Answered {
        /// The number that the host chose.
        request: u64,
        /// The index, or the refusal.
        result: Result<u64, Refusal>,
    },
}

/// What a member does in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would be voted for.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Makes records. It may be trusted or not: see [`Leadership`].
    Leader,
}

/// One consistent answer to the question whether a member leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Whether this member leads, at the instant that was asked about. No other member of the cluster answers
    /// true at the same time.
    pub is_leader: bool,
    /// Its role in the protocol.
    pub role: Role,
    /// The term, as a fencing token, while it leads.
    pub token: Option<FencingToken>,
    /// When trust ends unless a quorum answers another heartbeat; [`Instant::ZERO`] without a term, and
    /// [`Instant::MAX`] for the only voter of a cluster.
    pub trusted_until: Instant,
    /// When new work must stop unless a quorum answers another heartbeat: a tenth of the minimum election
    /// time before `trusted_until`.
    pub work_until: Instant,
    /// Why the latest term ended.
    pub reason: Option<DeposedReason>,
}

/// How many messages a member refused, by reason. None took effect. But a member that looks for a cluster may
/// ask the sender of such a message which cluster the sender belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Damaged, foreign, or of another version.
    pub invalid: u64,
    /// From another cluster.
    pub cluster: u64,
    /// For another member, or for an earlier incarnation of this one, or from this member itself.
    pub address: u64,
    /// Against the protocol: no correct member sends it.
    pub protocol: u64,
}
