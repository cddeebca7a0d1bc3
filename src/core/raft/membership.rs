//! The members of a cluster: who votes, who learns, and what a quorum of them is.

use ::core::fmt;
use ::core::hash::{Hash, Hasher};
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::id::{Incarnation, MemberId};
use super::number;

/// Maximum number of members of a cluster, voters and learners of both halves.
pub const MAX_MEMBERS: usize = 64;

/// Maximum length of a member's address, in bytes.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// Identity and attributes of a member, without its part in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The member's identity.
    pub id: MemberId,
    /// The incarnation that is a member. Votes and acknowledgements of another one do not count.
    pub incarnation: Incarnation,
    /// Where the transport finds the member: an address or a URL, at most [`MAX_ADDRESS_BYTES`]. It may
    /// change at any time and is no part of the identity.
    pub address: Box<str>,
    /// A leader hands leadership over to a caught-up voter of higher priority.
    pub priority: u8,
    /// Votes and stores the record as other voters do, and never leads.
    pub is_witness: bool,
}

impl Profile {
    /// A member with this id, and nothing else known of it: no incarnation, no address, priority 0, no
    /// witness.
    #[must_use]
    pub fn new(id: MemberId) -> Profile {
        let address = Box::from("");
        Profile { id, incarnation: Incarnation::UNKNOWN, address, priority: 0, is_witness: false }
    }

    /// Whether this incarnation is the one that is listed, or none is listed yet.
    #[must_use]
    pub fn is_of(&self, incarnation: Incarnation) -> bool {
        [Incarnation::UNKNOWN, incarnation].contains(&self.incarnation)
    }
}

/// One member and its part in the cluster.
///
/// At least one of the first three parts is set, and `is_voter` and `is_learner` never both. While a joint
/// change is in progress a voter that becomes a learner is `is_outgoing` and `is_learner`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Who it is.
    pub profile: Profile,
    /// A voter of the present configuration; in a joint one, of its incoming half.
    pub is_voter: bool,
    /// A voter of the outgoing half of a joint configuration.
    pub is_outgoing: bool,
    /// Receives records without a vote; in the outgoing half, once the joint configuration is left.
    pub is_learner: bool,
    /// A learner that becomes a voter once it has caught up.
    pub is_joining: bool,
}

impl Member {
    /// A voter, as the members of a founding list are.
    #[must_use]
    pub fn voter(profile: Profile) -> Member {
        Member { profile, is_voter: true, is_outgoing: false, is_learner: false, is_joining: false }
    }

    /// Whether the member votes, in either half.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.is_voter || self.is_outgoing
    }

    /// Whether the member may be elected now and after a joint change: it is a voter and no witness.
    #[must_use]
    pub fn may_lead(&self) -> bool {
        self.is_voter && !self.profile.is_witness
    }
}

/// The members of a cluster, in the order of their ids.
///
/// While a change of more than one voter is in progress the configuration is *joint*: it has two halves, the
/// incoming voters and the outgoing ones, and a quorum needs a majority of each. [`Membership::default`] has
/// no member: no quorum exists in it.
///
/// Source: D. Ongaro, "Consensus: bridging theory and practice", 2014, chapter 4.
///
/// ```
/// use elector::core::raft::{Change, MemberId, Membership, Profile, Transition};
///
/// let voter = |id| MemberId::new(id).map(|id| Change::Voter(Profile::new(id)));
/// let one = Membership::default().apply(&[voter("a")?], Transition::Auto)?;
/// let both = one.apply(&[voter("b")?, voter("c")?], Transition::Auto)?;
/// assert!(both.is_joint(), "two voters differ");
/// assert!(!both.has_quorum(|place| place == 0), "a alone is a majority of the outgoing half only");
/// let three = both.leave_joint()?;
/// assert!(three.has_quorum(|place| place != 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Membership {
    members: Vec<Member>,
    /// The members as bytes: each message with a record and each durable state has them.
    bytes: Box<[u8]>,
}

impl Default for Membership {
    fn default() -> Membership {
        Membership { members: Vec::new(), bytes: to_bytes(&[]) }
    }
}

impl PartialEq for Membership {
    fn eq(&self, other: &Membership) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Membership {}

impl Hash for Membership {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("members", &self.members).finish()
    }
}

/// The count of the members, then each: id, incarnation, address, priority, whether it is a witness, and its
/// parts as bits: voter, outgoing, learner, joining.
fn to_bytes(members: &[Member]) -> Box<[u8]> {
    // No more than 15 bytes besides the texts of a member.
    let length = |member: &Member| 15 + member.profile.id.as_bytes().len() + member.profile.address.len();
    let mut bytes = Vec::with_capacity(1 + members.iter().map(length).sum::<usize>());
    number::write(&mut bytes, members.len() as u64);
    let text = |bytes: &mut Vec<u8>, text: &[u8]| {
        number::write(bytes, text.len() as u64);
        bytes.extend_from_slice(text);
    };
    for Member { profile, is_voter, is_outgoing, is_learner, is_joining } in members {
        text(&mut bytes, profile.id.as_bytes());
        number::write(&mut bytes, profile.incarnation.get());
        text(&mut bytes, profile.address.as_bytes());
        bytes.extend_from_slice(&[profile.priority, u8::from(profile.is_witness)]);
        let parts = [is_voter, is_outgoing, is_learner, is_joining];
        bytes.push(parts.into_iter().rev().fold(0, |bits, part| bits << 1 | u8::from(*part)));
    }
    bytes.into()
}

/// The state of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// A quorum granted its votes.
    Won,
    /// So many voters refused that no quorum can grant its votes any more.
    Lost,
    /// Neither yet.
    Pending,
}

/// The voters of one half of a configuration.
type Half = fn(&Member) -> bool;

const HALVES: [Half; 2] = [|member| member.is_voter, |member| member.is_outgoing];

impl Membership {
    /// The membership with these members, in any order.
    ///
    /// # Errors
    /// When no voter may lead (there is none, or only witnesses), there are more than [`MAX_MEMBERS`], an id
    /// is listed twice, a member has no part or is both voter and learner, or an address is too long.
    pub fn new(members: Vec<Member>) -> Result<Membership, InvalidMembership> {
        if members.len() > MAX_MEMBERS {
            return Err(InvalidMembership::TooMany(members.len()));
        }
        let members = sorted(members)?;
        for member in &members {
            let id = member.profile.id;
            if !(member.votes() || member.is_learner) {
                return Err(InvalidMembership::NoPart(id));
            }
            if member.is_voter && member.is_learner {
                return Err(InvalidMembership::VoterAndLearner(id));
            }
            if member.is_joining && !member.is_learner {
                return Err(InvalidMembership::JoiningButNoLearner(id));
            }
            if member.profile.address.len() > MAX_ADDRESS_BYTES {
                return Err(InvalidMembership::AddressTooLong(id, member.profile.address.len()));
            }
        }
        if !members.iter().any(|member| member.is_voter) {
            return Err(InvalidMembership::NoVoter);
        }
        if !members.iter().any(Member::may_lead) {
            return Err(InvalidMembership::OnlyWitnesses);
        }
        let bytes = to_bytes(&members);
        Ok(Membership { members, bytes })
    }

    /// The membership with this profile for the member of that id, which is as much of a witness as before.
    pub(super) fn with_profile(&self, profile: Profile) -> Membership {
        let mut members = self.members.clone();
        if let Some(member) = members.iter_mut().find(|member| member.profile.id == profile.id) {
            member.profile = profile;
        }
        let bytes = to_bytes(&members);
        Membership { members, bytes }
    }

    /// All members, in the order of their ids. Methods that take a function give it a member's place in this
    /// slice.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members as they stand in messages and in durable state.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A member's place in [`Membership::members`].
    #[must_use]
    pub fn place(&self, id: &MemberId) -> Option<usize> {
        self.members.binary_search_by(|member| member.profile.id.cmp(id)).ok()
    }

    /// The member with this id.
    #[must_use]
    pub fn get(&self, id: &MemberId) -> Option<&Member> {
        self.place(id).map(|place| &self.members[place])
    }

    /// Whether this id votes, in either half.
    #[must_use]
    pub fn votes(&self, id: &MemberId) -> bool {
        self.get(id).is_some_and(Member::votes)
    }

    /// Whether a joint change is in progress.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.members.iter().any(|member| member.is_outgoing)
    }

    /// Whether a majority of each half agrees. `agrees` is given a member's place. Without any voter there is
    /// no quorum.
    #[must_use]
    pub fn has_quorum(&self, agrees: impl Fn(usize) -> bool) -> bool {
        self.count(&|place| Some(agrees(place))) == VoteResult::Won
    }

    /// Counts an election. `vote` is given a member's place and returns whether that voter granted its vote,
    /// or `None` if it has not answered. It is not asked for learners.
    #[must_use]
    pub fn vote_result(&self, vote: impl Fn(usize) -> Option<bool>) -> VoteResult {
        self.count(&vote)
    }

    // Once for all functions, which keeps the WebAssembly module small.
    fn count(&self, vote: &dyn Fn(usize) -> Option<bool>) -> VoteResult {
        let mut result = VoteResult::Won;
        for (at, half) in HALVES.into_iter().enumerate() {
            let (mut voters, mut granted, mut refused) = (0, 0, 0);
            for place in self.half(half) {
                voters += 1;
                match vote(place) {
                    Some(true) => granted += 1,
                    Some(false) => refused += 1,
                    None => {}
                }
            }
            let majority = voters / 2 + 1;
            // A configuration that is not joint has no outgoing half, and needs no majority of it.
            let is_absent = at == 1 && voters == 0;
            if !is_absent && refused + majority > voters {
                return VoteResult::Lost;
            }
            if !is_absent && granted < majority {
                result = VoteResult::Pending;
            }
        }
        result
    }

    /// The largest value that a majority of each half has reached; 0 without a voter. `reached` is given a
    /// member's place.
    ///
    /// Given the acknowledged indices, this is the committed index. Given the times of the last answers, it
    /// is when a quorum was last in contact.
    #[must_use]
    pub fn quorum_value(&self, reached: impl Fn(usize) -> u64) -> u64 {
        let mut values = [0; MAX_MEMBERS];
        let mut of_half = |half: Half| {
            let mut voters = 0;
            // Sorted by insertion, the largest first: there are few.
            for place in self.half(half) {
                let value = reached(place);
                let at = values[..voters].partition_point(|other| *other > value);
                values.copy_within(at..voters, at + 1);
                values[at] = value;
                voters += 1;
            }
            values[..voters].get(voters / 2).copied()
        };
        match (of_half(HALVES[0]), of_half(HALVES[1])) {
            (None, _) => 0,
            (Some(incoming), None) => incoming,
            (Some(incoming), Some(outgoing)) => incoming.min(outgoing),
        }
    }

    fn half(&self, half: Half) -> impl Iterator<Item = usize> + '_ {
        self.members.iter().enumerate().filter(move |(_, member)| half(member)).map(|(place, _)| place)
    }
}

/// The members in the order of their ids. Most lists are in order already. The others are sorted by
/// insertion: there are few members, and the code is a tenth of the standard library's.
fn sorted(members: Vec<Member>) -> Result<Vec<Member>, InvalidMembership> {
    if members.is_sorted_by(|a, b| a.profile.id < b.profile.id) {
        return Ok(members);
    }
    let mut sorted: Vec<Member> = Vec::with_capacity(members.len());
    for member in members {
        match sorted.binary_search_by_key(&member.profile.id, |other| other.profile.id) {
            Ok(_) => return Err(InvalidMembership::Twice(member.profile.id)),
            Err(place) => sorted.insert(place, member),
        }
    }
    Ok(sorted)
}

/// Why a list of members is not a valid membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidMembership {
    /// The list has this many members.
    TooMany(usize),
    /// The id is listed twice.
    Twice(MemberId),
    /// The member neither votes nor learns.
    NoPart(MemberId),
    /// The member is listed as voter and as learner.
    VoterAndLearner(MemberId),
    /// The member joins, but is not listed as a learner.
    JoiningButNoLearner(MemberId),
    /// The member's address has this many bytes.
    AddressTooLong(MemberId, usize),
    /// No member of the list votes.
    NoVoter,
    /// All voters of the list are witnesses, which never lead.
    OnlyWitnesses,
}

impl fmt::Display for InvalidMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidMembership::TooMany(found) => {
                write!(f, "the membership has {found} members; at most {MAX_MEMBERS} are allowed")
            }
            InvalidMembership::Twice(id) => write!(f, "member {id} is listed twice; list it once"),
            InvalidMembership::NoPart(id) => {
                write!(f, "member {id} neither votes nor learns; list it as a voter or a learner")
            }
            InvalidMembership::VoterAndLearner(id) => {
                write!(f, "member {id} is listed as voter and as learner; list it as one of them")
            }
            InvalidMembership::JoiningButNoLearner(id) => {
                write!(f, "member {id} joins, but is no learner; list it as a learner")
            }
            InvalidMembership::AddressTooLong(id, found) => write!(
                f,
                "the address of member {id} has {found} bytes; at most {MAX_ADDRESS_BYTES} are allowed"
            ),
            InvalidMembership::OnlyWitnesses => {
                f.write_str("all voters are witnesses, which never lead; list at least one other voter")
            }
            InvalidMembership::NoVoter => f.write_str("the membership has no voter; list at least one"),
        }
    }
}

impl ::core::error::Error for InvalidMembership {}
