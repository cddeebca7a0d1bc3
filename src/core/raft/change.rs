//! Changes of a membership, and which of them are safe in one step.

use ::core::fmt;
use alloc::vec::Vec;

use super::id::MemberId;
use super::membership::{InvalidMembership, Member, Membership, Profile};

/// One change of a membership. A list of changes is applied in order. Adding a member that is there, or
/// removing one that is not, is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a voter, makes a learner one, or gives a voter this profile: all of it.
    Voter(Profile),
    /// Adds a learner, makes a voter one, or gives a learner this profile: all of it.
    Learner(Profile),
    /// Adds a learner that becomes a voter once it has caught up.
    Join(Profile),
    /// Makes a member a voter and keeps its profile.
    Promote(MemberId),
    /// Makes a member a learner and keeps its profile.
    Demote(MemberId),
    /// Removes the member with this id.
    Remove(MemberId),
}

/// How a list of changes takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// In one step if at most one voter differs, else through a joint configuration.
    Auto,
    /// Through a joint configuration, even if one step would do.
    Joint,
}

impl Membership {
    /// The configuration that these changes lead to next: the new one, or the joint one on the way to it,
    /// which [`Membership::leave_joint`] completes.
    ///
    /// One step may change one voter at most, because then every quorum before it and every quorum after it
    /// have a member in common. A joint configuration needs a majority of the voters before it and of those
    /// after it.
    ///
    /// # Errors
    /// When this configuration is joint already, no voter would be left, a member to promote or demote is
    /// missing, a joint configuration would have no outgoing voter, a voter would change its incarnation or
    /// become a witness in place, or the result is an [`InvalidMembership`].
    pub fn apply(&self, changes: &[Change], transition: Transition) -> Result<Membership, ChangeRefused> {
        if self.is_joint() {
            return Err(ChangeRefused::InProgress);
        }
        let mut members = self.members().to_vec();
        for change in changes {
            match change {
                Change::Voter(profile) => place(&mut members, profile.clone(), Part::Voter),
                Change::Learner(profile) => place(&mut members, profile.clone(), Part::Learner),
                Change::Join(profile) => place(&mut members, profile.clone(), Part::Joining),
                Change::Promote(id) => replace(&mut members, id, Part::Voter)?,
                Change::Demote(id) => replace(&mut members, id, Part::Learner)?,
                Change::Remove(id) => remove(&mut members, id),
            }
        }
        if !members.iter().any(|member| member.is_voter) {
            return Err(ChangeRefused::NoVoterLeft);
        }
        if let Some(id) = self.replaced_in_place(&members) {
            return Err(ChangeRefused::Replaced(id));
        }
        if transition == Transition::Joint || self.differing_voters(&members) > 1 {
            self.add_outgoing(&mut members)?;
        }
        Ok(Membership::new(members)?)
    }

    /// The configuration after the joint one: without the outgoing half.
    ///
    /// # Errors
    /// When this configuration is not joint.
    pub fn leave_joint(&self) -> Result<Membership, ChangeRefused> {
        if !self.is_joint() {
            return Err(ChangeRefused::NotJoint);
        }
        let mut members = self.members().to_vec();
        members.iter_mut().for_each(|member| member.is_outgoing = false);
        members.retain(|member| member.is_voter || member.is_learner);
        Ok(Membership::new(members)?)
    }

    /// How many ids vote in only one of this configuration and `members`.
    fn differing_voters(&self, members: &[Member]) -> usize {
        let is_voter_here = |id| self.get(id).is_some_and(|member| member.is_voter);
        let is_voter_there = |id| members.iter().any(|member| member.profile.id == id && member.is_voter);
        let added = members.iter().filter(|member| member.is_voter && !is_voter_here(&member.profile.id));
        let removed =
            self.members().iter().filter(|member| member.is_voter && !is_voter_there(member.profile.id));
        added.count() + removed.count()
    }

    /// A voter that stays a member under its id, but with another incarnation, or as a witness or no witness
    /// any more. With another incarnation it would be two voters with one id: the quorums before and after
    /// the change could have only this id in common. And a witness may be leading when it becomes one.
    fn replaced_in_place(&self, members: &[Member]) -> Option<MemberId> {
        let is_replaced = |member: &&Member| {
            self.get(&member.profile.id).filter(|before| before.is_voter).is_some_and(|before| {
                let (before, after) = (&before.profile, &member.profile);
                let is_bound = before.incarnation.get() != 0;
                (is_bound && before.incarnation != after.incarnation) || before.is_witness != after.is_witness
            })
        };
        members.iter().find(is_replaced).map(|member| member.profile.id)
    }

    /// Adds this configuration's voters to `members` as the outgoing half.
    fn add_outgoing(&self, members: &mut Vec<Member>) -> Result<(), ChangeRefused> {
        if self.members().is_empty() {
            return Err(ChangeRefused::NoOutgoingVoter);
        }
        for before in self.members().iter().filter(|member| member.is_voter) {
            match members.iter_mut().find(|member| member.profile.id == before.profile.id) {
                Some(member) => member.is_outgoing = true,
                None => members.push(Member { is_voter: false, is_outgoing: true, ..before.clone() }),
            }
        }
        Ok(())
    }
}

/// The part that a change gives to a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Voter,
    Learner,
    Joining,
}

fn remove(members: &mut Vec<Member>, id: &MemberId) {
    members.retain(|member| member.profile.id != *id);
}

/// Gives a member a part and this profile.
fn place(members: &mut Vec<Member>, profile: Profile, part: Part) {
    remove(members, &profile.id);
    members.push(Member {
        profile,
        is_voter: part == Part::Voter,
        is_outgoing: false,
        is_learner: part != Part::Voter,
        is_joining: part == Part::Joining,
    });
}

/// Gives a member a part, with the profile that it has.
fn replace(members: &mut Vec<Member>, id: &MemberId, part: Part) -> Result<(), ChangeRefused> {
    let found = members.iter().find(|member| member.profile.id == *id);
    let profile = found.ok_or(ChangeRefused::NoMember(*id))?.profile.clone();
    place(members, profile, part);
    Ok(())
}

/// Why a change of membership was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// A joint change is in progress.
    InProgress,
    /// No joint change is in progress.
    NotJoint,
    /// No voter would be left.
    NoVoterLeft,
    /// A joint configuration would have an outgoing half without voters.
    NoOutgoingVoter,
    /// A voter would change its incarnation, or whether it is a witness, in place.
    Replaced(MemberId),
    /// The id to promote or to demote is not a member's.
    NoMember(MemberId),
    /// The changes lead to a list that is not a valid membership.
    Invalid(InvalidMembership),
}

impl From<InvalidMembership> for ChangeRefused {
    fn from(invalid: InvalidMembership) -> ChangeRefused {
        ChangeRefused::Invalid(invalid)
    }
}

impl fmt::Display for ChangeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeRefused::InProgress => {
                f.write_str("a joint change is in progress; wait until it has left the joint configuration")
            }
            ChangeRefused::NotJoint => {
                f.write_str("no joint change is in progress: there is no joint configuration to leave")
            }
            ChangeRefused::NoVoterLeft => f.write_str("no voter would be left; keep or add at least one"),
            ChangeRefused::NoOutgoingVoter => f.write_str(
                "a cluster without voters cannot enter a joint configuration; add the first voter alone",
            ),
            ChangeRefused::Replaced(id) => write!(
                f,
                "voter {id} would change its incarnation or its witness flag in place; remove it, and add it \
                 again once the removal is committed"
            ),
            ChangeRefused::NoMember(id) => write!(f, "{id} is not a member; add it with its profile"),
            ChangeRefused::Invalid(invalid) => fmt::Display::fmt(invalid, f),
        }
    }
}

impl ::core::error::Error for ChangeRefused {}
