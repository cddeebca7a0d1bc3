//! The messages that members send each other.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::id::{ClusterId, Incarnation, KnownIds, MemberId};
use super::record::{Position, Record};

/// One message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender's cluster; [`ClusterId::NONE`] while it belongs to none. In a [`Body::Join`] the cluster
    /// that it wants to join.
    pub cluster: ClusterId,
    /// The sender.
    pub from: MemberId,
    /// The sender's incarnation.
    pub from_incarnation: Incarnation,
    /// The receiver.
    pub to: MemberId,
    /// The receiver's incarnation; [`Incarnation::UNKNOWN`] while the sender does not know it.
    pub to_incarnation: Incarnation,
    /// The sender's term; in a [`Body::PreVote`] and in the answer that grants it, that term plus one.
    pub term: u64,
    /// What the message says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Asks whether the receiver would grant its vote in this term. Changes nothing at the receiver.
    PreVote {
        /// The position of the candidate's newest record.
        last: Position,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteAnswer {
        /// Whether the voter would grant its vote.
        granted: bool,
        /// The voter's newest record; only from a witness that refuses because its record is newer.
        offer: Option<Record>,
    },
    /// Asks for the receiver's vote in this term.
    Vote {
        /// The position of the candidate's newest record.
        last: Position,
        /// The leader of this term has given leadership up for the candidate ([`Body::TimeoutNow`]), or is
        /// the candidate: no voter in that term withholds its vote because it heard that leader.
        given_up: Option<u64>,
    },
    /// The answer to [`Body::Vote`].
    VoteAnswer {
        /// Whether the voter granted its vote.
        granted: bool,
        /// The voter's newest record; only from a witness that refuses because its record is newer.
        offer: Option<Record>,
    },
    /// The leader's heartbeat, with its record if the receiver lacks it.
    Append {
        /// The position of the leader's newest record, made in its own term.
        last: Position,
        /// The record at `last`.
        record: Option<Record>,
        /// The newest record that the leader knows to be committed.
        committed: Position,
        /// The number of the heartbeat round, which the answer repeats; 0: no answer is expected.
        round: u64,
        /// The minimum time in milliseconds for which the receiver withholds its vote from others after this
        /// message: the leader's minimum election time, at most [`MAX_HOLD_MS`](super::MAX_HOLD_MS).
        hold_ms: u64,
    },
    /// The answer to [`Body::Append`].
    AppendAnswer {
        /// The index of the leader's record if the member stores it durably, else 0.
        matched: u64,
        /// The round that is answered.
        round: u64,
    },
    /// The leader has given up leadership: campaign at once.
    TimeoutNow,
    /// Asks which cluster the receiver belongs to, and introduces the sender. A founder waits until all that
    /// it knows have answered; only answers to questions of this wait count, for an older one may be late.
    Seek(Introduction),
    /// The answer to [`Body::Seek`].
    Here(Introduction),
    /// Admit me to your cluster, as a learner that becomes a voter once it has caught up; or, from a member,
    /// list me with this address and priority.
    Join {
        /// Where the transport finds the sender.
        address: Box<str>,
        /// The sender's priority as a voter.
        priority: u8,
        /// Whether the sender is a witness.
        is_witness: bool,
        /// The ids that the sender knows.
        known: KnownIds,
    },
    /// Remove me from the cluster.
    Leave,
    /// Replace the replicated data: a proposal that another member forwards to the leader.
    Propose {
        /// The number of the request, for the answer.
        request: u64,
        /// Refuse the proposal unless the record that it replaces has this index.
        expected: Option<u64>,
        /// The new data.
        data: Arc<[u8]>,
    },
    /// The answer to [`Body::Propose`].
    ProposeAnswer {
        /// The request that is answered.
        request: u64,
        /// The index of the committed record, or why the proposal was refused.
        result: Result<u64, Refusal>,
    },
}

/// A member's relation to a cluster and the ids that it knows: sent outside a common cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Introduction {
    /// The sender's relation to the cluster that the message names.
    pub standing: Standing,
    /// Whether the sender may found a cluster: it is no witness, and its host has not left.
    pub may_found: bool,
    /// The number of the asking member's present wait: see [`Body::Seek`]. The answer repeats it.
    pub wait: u64,
    /// The leader of the sender's cluster, if it knows it.
    pub leader: Option<MemberId>,
    /// The ids that the sender knows.
    pub known: KnownIds,
}

/// A member's relation to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Belongs to no cluster.
    Blank,
    /// Belongs to a cluster that has accepted no data and no member yet, and that may still yield to another.
    Founding,
    /// Belongs to a cluster for good.
    Bound,
    /// Has left the cluster, and only rejoins that one.
    Left,
}

/// Why a leader or a member refused a proposal. Except for [`Refusal::Unknown`], the proposal had no
/// effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The member does not lead. Names the leader, if it knows it.
    NotLeader(Option<MemberId>),
    /// The leader has not committed a record of its own term yet, or is handing leadership over. Try again.
    NotReady,
    /// Another change is in progress, or too many proposals wait. Try again.
    Busy,
    /// No quorum of the voters after the change answered the leader lately: with it the cluster could end.
    NoQuorum,
    /// The member to hand leadership to is not a voter that may lead.
    NotVoter,
    /// The data is longer than the limit. Names the limit in bytes.
    TooLarge(u64),
    /// The record that the proposal would replace has another index than expected. Names it.
    IndexMismatch(u64),
    /// Leadership was lost while the proposal was in flight, the member to which it was forwarded leads no
    /// more in that term, or nobody answered. The proposal may still take effect.
    Unknown,
}

impl Message {
    /// Whether the parts of the message agree with each other, as far as that needs no knowledge of the
    /// receiver.
    pub(super) fn is_sound(&self) -> bool {
        let is_own =
            |record: &Record| self.cluster.may_become(record.cluster) && record.position.term <= self.term;
        let is_between_two = self.from != self.to && self.from_incarnation != Incarnation::UNKNOWN;
        is_between_two
            && match &self.body {
                Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
                    offer.as_ref().is_none_or(|offer| !granted && is_own(offer))
                }
                Body::PreVote { last } => last.term < self.term,
                Body::Vote { last, given_up } => {
                    last.term < self.term && given_up.is_none_or(|given_up| given_up < self.term)
                }
                Body::Seek(introduction) | Body::Here(introduction) => {
                    (introduction.standing == Standing::Blank) == (self.cluster == ClusterId::NONE)
                }
                Body::Append { last, record, committed, .. } => {
                    let is_last = |record: &Record| is_own(record) && record.position == *last;
                    committed <= last && last.term <= self.term && record.as_ref().is_none_or(is_last)
                }
                _ => true,
            }
    }
}

impl Body {
    /// The message's type as it stands in logs, in JSON and in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Body::PreVote { .. } => "pre_vote",
            Body::PreVoteAnswer { .. } => "pre_vote_answer",
            Body::Vote { .. } => "vote",
            Body::VoteAnswer { .. } => "vote_answer",
            Body::Append { .. } => "append",
            Body::AppendAnswer { .. } => "append_answer",
            Body::TimeoutNow => "timeout_now",
            Body::Seek(_) => "seek",
            Body::Here(_) => "here",
            Body::Join { .. } => "join",
            Body::Leave => "leave",
            Body::Propose { .. } => "propose",
            Body::ProposeAnswer { .. } => "propose_answer",
        }
    }
}
