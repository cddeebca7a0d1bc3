//! What must hold in a world of Raft members, however much goes wrong.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::core::FencingToken;
use crate::core::raft::{Event, Member, Position, Profile, Raft, Record};

/// What was broken.
pub(super) type Broken = String;

/// How many committed records are kept for comparison.
const KEPT: usize = 256;

/// The history of all records of a cluster. What is asked for is nearly always about the newest records, so
/// the lists are searched from their ends.
#[derive(Default)]
pub(super) struct History {
    /// Each record that was ever seen, with the position of the record that it replaced; in order.
    records: Vec<(Record, Position)>,
    /// The committed records, by index.
    committed: VecDeque<Position>,
    /// The largest token that was given out.
    token: Option<FencingToken>,
    pub(super) commits: u64,
}

impl History {
    /// A member keeps a record in place of the one at `before`. At one position there is only one record. Its
    /// leader is the first that keeps it, and has what was committed before.
    pub(super) fn kept(&mut self, record: &Record, before: Position) -> Result<(), Broken> {
        let position = record.position;
        let place = match self.find(position) {
            Ok((known, _)) if are_same(known, record) => return Ok(()),
            Ok((known, _)) => return Err(format!("two records at {position}: {known:?} and {record:?}")),
            Err(place) => place,
        };
        self.records.insert(place, (record.clone(), before));
        let Some(newest) = self.committed.back().copied() else { return Ok(()) };
        if position.term > newest.term && !self.descends(position, newest) {
            return Err(format!("the record {position} was made without the committed {newest}"));
        }
        Ok(())
    }

    /// The record at a position and the position before it, or where they would be inserted.
    fn find(&self, position: Position) -> Result<&(Record, Position), usize> {
        let is_before = |(record, _): &(Record, Position)| record.position < position;
        let place = self.records.iter().rposition(is_before).map_or(0, |before| before + 1);
        self.records.get(place).filter(|(record, _)| record.position == position).ok_or(place)
    }

    /// A member says that a record is committed.
    pub(super) fn committed(&mut self, record: &Record) -> Result<(), Broken> {
        let position = record.position;
        if self.find(position).is_ok_and(|(known, _)| !are_same(known, record)) {
            return Err(format!("another record was committed at {position} than its leader made"));
        }
        let is_before = |committed: &Position| committed.index < position.index;
        let place = self.committed.iter().rposition(is_before).map_or(0, |before| before + 1);
        let after = self.committed.get(place).copied();
        if let Some(known) = after.filter(|known| known.index == position.index) {
            if known == position {
                return Ok(());
            }
            return Err(format!(
                "two records are committed at index {}: {known} and {position}",
                position.index
            ));
        }
        let before = place.checked_sub(1).and_then(|before| self.committed.get(before)).copied();
        if self.committed.len() == KEPT && before.is_none() {
            // A member that lags tells of a record from before those that are kept here.
            return Ok(());
        }
        if before.is_some_and(|before| !self.descends(position, before)) {
            return Err(format!("{position} was committed without the committed {before:?}"));
        }
        if after.is_some_and(|after| !self.descends(after, position)) {
            return Err(format!("{position} was committed, and {after:?} does not follow it"));
        }
        self.committed.insert(place, position);
        self.commits += 1;
        // What lies far back is not asked for any more.
        if self.committed.len() > KEPT {
            self.committed.pop_front();
        }
        if self.records.len() > 4_096 {
            let oldest = self.committed.front().copied().unwrap_or(Position::ZERO);
            self.records.retain(|(record, _)| record.position >= oldest);
        }
        Ok(())
    }

    /// Whether a record was made from another one, over any number of records. It was not if one between them
    /// is not known.
    fn descends(&self, mut from: Position, to: Position) -> bool {
        while from.index > to.index {
            match self.find(from) {
                Ok((_, before)) => from = *before,
                Err(_) => return false,
            }
        }
        from == to
    }

    /// A term began: its token is larger than all before.
    fn elected(&mut self, token: FencingToken) -> Result<(), Broken> {
        if self.token.is_some_and(|before| before >= token) {
            return Err(format!("token {token} came after {:?}", self.token));
        }
        self.token = Some(token);
        Ok(())
    }

    pub(super) fn newest_committed(&self) -> u64 {
        self.committed.back().map_or(0, |newest| newest.index)
    }
}

/// Whether two records are equal. Each member decodes the members of a record anew, so most that are compared
/// are equal, and are compared to the end.
fn are_same(a: &Record, b: &Record) -> bool {
    let (members, others) = (a.membership.members(), b.membership.members());
    (a.position, a.cluster) == (b.position, b.cluster)
        && a.data == b.data
        && members.len() == others.len()
        && members.iter().zip(others).all(|(member, other)| is_same(member, other))
}

fn is_same(a: &Member, b: &Member) -> bool {
    let Member { profile, is_voter, is_outgoing, is_learner, is_joining } = a;
    let Profile { id, incarnation, address, priority, is_witness } = profile;
    let other = &b.profile;
    // Processors with masked loads take hundreds of cycles to compare the zero bytes of two empty addresses.
    let has_same_address = (address.is_empty() && other.address.is_empty()) || *address == other.address;
    has_same_address
        && *id == other.id
        && (*incarnation, *priority, *is_witness) == (other.incarnation, other.priority, other.is_witness)
        && (*is_voter, *is_outgoing, *is_learner, *is_joining)
            == (b.is_voter, b.is_outgoing, b.is_learner, b.is_joining)
}

/// What one run of a member said so far.
#[derive(Default)]
pub(super) struct Watch {
    elected: Option<FencingToken>,
    is_stopped: bool,
    term: u64,
    committed: Position,
}

impl Watch {
    /// An event of a term that began and is not over, at a time when it makes sense.
    fn in_term(&self, token: FencingToken, makes_sense: bool, what: &str) -> Result<(), Broken> {
        if self.elected == Some(token) && makes_sense {
            return Ok(());
        }
        Err(format!("{what} in {token}, while elected to {:?}", self.elected))
    }

    pub(super) fn event(&mut self, event: &Event, history: &mut History) -> Result<(), Broken> {
        match event {
            Event::Elected { token } => {
                if let Some(before) = self.elected.replace(*token) {
                    return Err(format!("elected to {token} while elected to {before}"));
                }
                history.elected(*token)
            }
            Event::StopNewWork { token } => {
                let is_first = !core::mem::replace(&mut self.is_stopped, true);
                self.in_term(*token, is_first, "told to stop")
            }
            Event::Renewed { token } => {
                let was_stopped = core::mem::replace(&mut self.is_stopped, false);
                self.in_term(*token, was_stopped, "renewed")
            }
            Event::Deposed { token, .. } => {
                self.is_stopped = false;
                if self.elected.take() != Some(*token) {
                    return Err(format!("deposed from {token}, to which it was not elected"));
                }
                Ok(())
            }
            Event::Committed(record) => {
                if record.position <= self.committed {
                    return Err(format!("{} was committed after {}", record.position, self.committed));
                }
                self.committed = record.position;
                history.committed(record)
            }
            Event::LeaderChanged { .. }
            | Event::Answered { .. }
            | Event::ChangeRefused { .. }
            | Event::Left => Ok(()),
        }
    }

    /// What must hold of a machine after every input.
    pub(super) fn machine(&mut self, raft: &Raft, is_leader: bool) -> Result<(), Broken> {
        if raft.term() < self.term {
            return Err(format!("the term fell from {} to {}", self.term, raft.term()));
        }
        self.term = raft.term();
        if raft.last().position.term > raft.term() {
            return Err(format!("it keeps the record {} in term {}", raft.last().position, raft.term()));
        }
        if is_leader && self.elected.is_none() {
            return Err("it leads without having said so".into());
        }
        Ok(())
    }

    pub(super) fn is_elected(&self) -> bool {
        self.elected.is_some()
    }
}
