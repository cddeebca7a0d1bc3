//! The messages that members send each other.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::id::{ClusterId, Incarnation, MemberId};
use super::record::{Position, Record};

/// One message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender's cluster; [`ClusterId::NONE`] while it belongs to none.
    pub cluster: ClusterId,
    /// The sender.
    pub from: MemberId,
    /// The sender's incarnation.
    pub from_incarnation: Incarnation,
    /// The receiver.
    pub to: MemberId,
    /// The receiver's incarnation; [`Incarnation::UNKNOWN`] while the sender does not know it.
    pub to_incarnation: Incarnation,
    /// The sender's term; in a [`Body::PreVote`] and its granting answer the term after it, for which the
    /// candidate would stand.
    pub term: u64,
    /// What the message says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Would you vote for me, if I stood in this term? Changes nothing at the receiver.
    PreVote {
        /// The position of the candidate's newest record.
        last: Position,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteAnswer {
        /// Whether the voter would grant its vote.
        granted: bool,
        /// From a witness that refuses because its record is newer: that record.
        offer: Option<Record>,
    },
    /// Vote for me in this term.
    Vote {
        /// The position of the candidate's newest record.
        last: Position,
        /// The leader asked this candidate to stand ([`Body::TimeoutNow`]), so no voter withholds its vote
        /// because it heard a leader lately.
        forced: bool,
    },
    /// The answer to [`Body::Vote`].
    VoteAnswer {
        /// Whether the voter granted its vote.
        granted: bool,
        /// From a witness that refuses because its record is newer: that record.
        offer: Option<Record>,
    },
    /// The leader's heartbeat, with its record if the receiver lacks it.
    Append {
        /// The position of the leader's newest record, made in its own term.
        last: Position,
        /// The record at `last`.
        record: Option<Record>,
        /// The position up to which the leader knows records to be committed.
        committed: Position,
        /// The number of the heartbeat round, for the answer; 0 asks for no answer.
        round: u64,
        /// For how many milliseconds the receiver withholds its vote from others after this message, at
        /// least: the leader's minimum election time.
        hold_ms: u64,
    },
    /// The answer to [`Body::Append`].
    AppendAnswer {
        /// The index of the leader's record that the member keeps durably; 0 if it keeps another one.
        matched: u64,
        /// The round that is answered.
        round: u64,
    },
    /// The leader has given up leadership: stand for election at once.
    TimeoutNow,
    /// Who are you, and which cluster do you belong to? Tells the receiver the same of the sender.
    Seek(Acquaintance),
    /// The answer to [`Body::Seek`].
    Here(Acquaintance),
    /// Admit me to your cluster, as a learner that becomes a voter once it has caught up.
    Join {
        /// Where the transport finds the sender.
        address: Arc<str>,
        /// The sender's priority as a voter.
        priority: u8,
        /// Whether the sender is a witness.
        is_witness: bool,
        /// Everyone that the sender knows.
        known: Vec<MemberId>,
    },
    /// Remove me from the cluster.
    Leave,
    /// Replace the replicated data: a proposal that another member forwards to the leader.
    Propose {
        /// The number of the request, for the answer.
        request: u64,
        /// The proposal counts only if it replaces the record with this index.
        expected: Option<u64>,
        /// The new data.
        data: Arc<[u8]>,
    },
    /// The answer to [`Body::Propose`].
    ProposeAnswer {
        /// The request that is answered.
        request: u64,
        /// What became of the proposal.
        result: Result<u64, Refusal>,
    },
}

/// What a member says of itself and of others before it shares a cluster with the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acquaintance {
    /// How the sender stands to the cluster that the message names.
    pub standing: Standing,
    /// A hash of the sender's founding list; 0 if it has none.
    pub founding: u64,
    /// The leader of the sender's cluster, if it knows it.
    pub leader: Option<MemberId>,
    /// Everyone that the sender knows, at most [`MAX_MEMBERS`](super::MAX_MEMBERS).
    pub known: Vec<MemberId>,
}

/// How a member stands to its cluster.
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

/// Why a leader or a member refused a proposal. Except for [`Refusal::Unknown`], it took no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The member does not lead. Names the leader, if it knows it.
    NotLeader(Option<MemberId>),
    /// The leader has not committed a record of its own term yet, or is handing leadership over. Try again.
    NotReady,
    /// Another change is in progress. Try again.
    Busy,
    /// The data is longer than the limit, which is named in bytes.
    TooLarge(u64),
    /// The record that the proposal would replace has another index, which is named.
    Unexpected(u64),
    /// Leadership was lost while the proposal was in flight. The proposal may still take effect.
    Unknown,
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
