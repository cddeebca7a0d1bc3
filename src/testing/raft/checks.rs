//! What must hold in a world of Raft members, however much goes wrong.

use ::core::hash::{Hash, Hasher};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::steps::{do_quorums_meet, has_other_voters};
use crate::core::FencingToken;
use crate::core::raft::{ClusterId, Event, Incarnation, MemberId, Position, Raft, Record, Standing};

/// What was broken.
pub(super) type Broken = String;

/// How many committed records are kept for comparison.
const KEPT: usize = 256;

/// The history of all records of a cluster. Nearly all questions are about the newest records, so the lists
/// are searched from their ends.
#[derive(Clone, Default)]
pub(super) struct History {
    /// Each record that was ever seen, with the position of the record that it replaced; in order.
    records: Vec<(Record, Position)>,
    /// The committed records, by index.
    committed: VecDeque<Position>,
    /// The largest token that was given out.
    token: Option<FencingToken>,
    /// Whether a member said that the cluster yields to no other.
    is_established: bool,
    /// How many terms began.
    elections: u64,
    commits: u64,
    /// The records before this one are not kept here any more.
    since: Position,
}

impl Hash for History {
    /// What decides which records may still follow. The members in them are hashed with those that keep them.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let History { records, committed, token, is_established, elections: _, commits: _, since: _ } = self;
        for (record, before) in records {
            (record.position, &record.data, before).hash(hasher);
        }
        (committed, token, is_established).hash(hasher);
    }
}

impl History {
    /// A member keeps a record in place of the one at `before`. At one position there is only one record. Its
    /// leader is the first that keeps it, made it from the one before, and has what was committed before.
    pub(super) fn kept(&mut self, record: &Record, before: Position) -> Result<(), Broken> {
        let position = record.position;
        if position < self.since {
            return Ok(());
        }
        let place = match self.find(position) {
            Ok((known, _)) if known == record => return Ok(()),
            Ok((known, _)) => return Err(format!("two records at {position}: {known:?} and {record:?}")),
            Err(place) => place,
        };
        let is_root = self.records.is_empty();
        if !is_root && before.index + 1 != position.index {
            return Err(format!("the record {position} was made from {before}"));
        }
        if let Ok((parent, _)) = self.find(before) {
            self.follows(record, parent)?;
        }
        self.records.insert(place, (record.clone(), before));
        let Some(newest) = self.committed.back().copied() else { return Ok(()) };
        if position.term > newest.term && !self.descends(position, newest) {
            return Err(format!("the record {position} was made without the committed {newest}"));
        }
        Ok(())
    }

    /// Whether the members of a record may follow those of its parent: their quorums meet, and other voters
    /// need a committed parent of the same term.
    fn follows(&self, record: &Record, parent: &Record) -> Result<(), Broken> {
        let (new, old) = (&record.membership, &parent.membership);
        if Arc::ptr_eq(new, old) || new == old {
            return Ok(());
        }
        let (position, before) = (record.position, parent.position);
        if !do_quorums_meet(old, new) {
            return Err(format!("not all quorums of {position} meet those of {before}: {new:?}, {old:?}"));
        }
        let is_committed = self.committed.iter().rev().any(|committed| *committed == before);
        if has_other_voters(old, new) && !(is_committed && before.term == position.term) {
            return Err(format!(
                "{position} changes the voters of {before}, which is not committed in its term"
            ));
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
        if self.find(position).is_ok_and(|(known, _)| known != record) {
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
        // No question is about records that lie far back.
        if self.committed.len() > KEPT {
            self.committed.pop_front();
        }
        if self.records.len() > 4_096 {
            let oldest = self.committed.front().copied().unwrap_or(Position::ZERO);
            self.records.retain(|(record, _)| record.position >= oldest);
            self.since = oldest;
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

    /// The newest committed record.
    fn newest(&self) -> Option<Position> {
        self.committed.back().copied()
    }

    /// The committed record with this index, and the position of the record that it replaced.
    pub(super) fn committed_at(&self, index: u64) -> Option<&(Record, Position)> {
        let place = self.committed.binary_search_by_key(&index, |position| position.index).ok()?;
        self.find(self.committed[place]).ok()
    }

    /// A leader answers reads with the newest committed record.
    fn read(&self, committed: Position) -> Result<(), Broken> {
        match self.newest().filter(|newest| committed < *newest) {
            Some(newest) => Err(format!("it leads without the committed {newest}: it reads {committed}")),
            None => Ok(()),
        }
    }

    /// A proposal was answered with an index: the record with it is committed. It has the data of the
    /// proposal and replaced the record with the expected index; or, if none was expected, it has the data of
    /// another proposal that expected none.
    fn answered(&self, index: u64, proposal: &Proposal) -> Result<(), Broken> {
        let oldest = self.committed.front().map_or(0, |oldest| oldest.index);
        if index < oldest && self.committed.len() == KEPT {
            // Records that lie so far back are not kept here.
            return Ok(());
        }
        let Some((record, before)) = self.committed_at(index) else {
            return Err(format!("{index} was answered, which is not committed"));
        };
        let is_own = record.data == proposal.data;
        match proposal.expected {
            Some(expected) if is_own && expected == before.index => Ok(()),
            None if is_own || !is_conditional(&record.data) => Ok(()),
            _ => Err(format!("{proposal:?} was answered with {record:?}, made from {before}")),
        }
    }

    /// A term began: its token is larger than all before.
    fn elected(&mut self, token: FencingToken) -> Result<(), Broken> {
        if self.token.is_some_and(|before| before >= token) {
            return Err(format!("token {token} came after {:?}", self.token));
        }
        self.token = Some(token);
        self.elections += 1;
        Ok(())
    }
}

/// What a host proposed.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) expected: Option<u64>,
    pub(super) data: Arc<[u8]>,
}

impl Proposal {
    /// The proposal with this number. Its data say whether it expects an index.
    pub(super) fn new(number: u64, expected: Option<u64>) -> Proposal {
        let mark = if expected.is_some() { "!" } else { "" };
        Proposal { expected, data: format!("{number}{mark}").into_bytes().into() }
    }
}

/// Whether data are those of a proposal that expected an index.
fn is_conditional(data: &[u8]) -> bool {
    data.last() == Some(&b'!')
}

/// The histories of all clusters.
#[derive(Clone, Default, Hash)]
pub(super) struct Histories(Vec<([u8; 16], History)>);

impl Histories {
    /// The history of a cluster. Until the first record of a founding list is committed, several clusters
    /// of that list may seem to begin: they are one.
    pub(super) fn of(&mut self, cluster: ClusterId) -> &mut History {
        let lineage = lineage(cluster);
        let place = self.0.iter().position(|(known, _)| *known == lineage).unwrap_or_else(|| {
            self.0.push((lineage, History::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// The history of a cluster, if anything happened in it.
    pub(super) fn get(&self, cluster: ClusterId) -> Option<&History> {
        let lineage = lineage(cluster);
        self.0.iter().find(|(known, _)| *known == lineage).map(|(_, history)| history)
    }

    /// A leader answers reads with this record.
    pub(super) fn read(&self, committed: &Record) -> Result<(), Broken> {
        self.get(committed.cluster).map_or(Ok(()), |history| history.read(committed.position))
    }

    pub(super) fn commits(&self) -> u64 {
        self.0.iter().map(|(_, history)| history.commits).sum()
    }

    /// A cluster begins with this record, which counts as committed, and yields to no other.
    pub(super) fn begin(&mut self, first: &Record) {
        let history = self.of(first.cluster);
        history.records.push((first.clone(), first.position));
        history.is_established = true;
    }

    /// How many clusters became such that yield to no other.
    pub(super) fn established(&self) -> usize {
        self.0.iter().filter(|(_, history)| history.is_established).count()
    }

    /// How many terms began.
    pub(super) fn elections(&self) -> u64 {
        self.0.iter().map(|(_, history)| history.elections).sum()
    }

    /// The largest token that was given out; 0 before the first.
    pub(super) fn newest_token(&self) -> u64 {
        self.0.iter().filter_map(|(_, history)| history.token).max().map_or(0, FencingToken::get)
    }

    /// The largest index that was committed.
    pub(super) fn newest_committed(&self) -> u64 {
        let newest = self.0.iter().filter_map(|(_, history)| history.newest());
        newest.map(|position| position.index).max().unwrap_or_default()
    }
}

/// What tells clusters apart: the hash of the founding list if there is one, else the whole id.
pub(super) fn lineage(cluster: ClusterId) -> [u8; 16] {
    let mut lineage = cluster.0;
    if lineage[..8] != [0; 8] {
        lineage[8..].fill(0);
    }
    lineage
}

/// What one run of a member said so far.
#[derive(Clone)]
pub(super) struct Watch {
    id: MemberId,
    incarnation: Incarnation,
    cluster: ClusterId,
    elected: Option<FencingToken>,
    is_stopped: bool,
    term: u64,
    /// The newest record that it told of as committed.
    committed: Position,
    /// What only grows in one cluster: its newest record, and the newest that it knows to be committed.
    grown: Grown,
    has_left: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct Grown {
    cluster: ClusterId,
    last: Position,
    committed: Position,
}

impl Grown {
    fn new(raft: &Raft) -> Grown {
        let committed = raft.committed();
        Grown { cluster: committed.cluster, last: raft.last().position, committed: committed.position }
    }
}

impl Watch {
    pub(super) fn new(raft: &Raft) -> Watch {
        Watch {
            id: raft.id(),
            incarnation: raft.config().incarnation,
            cluster: raft.committed().cluster,
            elected: None,
            is_stopped: false,
            term: raft.term(),
            committed: Position::ZERO,
            grown: Grown::new(raft),
            has_left: false,
        }
    }

    /// A proposal of this member's host was answered with an index.
    pub(super) fn answered(
        &self,
        index: u64,
        proposal: &Proposal,
        histories: &mut Histories,
    ) -> Result<(), Broken> {
        histories.of(self.cluster).answered(index, proposal)
    }

    /// Whether the member was removed, and has not come back since.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// An event of a term that began and is not over, at a time when it makes sense.
    fn in_term(&self, token: FencingToken, makes_sense: bool, what: &str) -> Result<(), Broken> {
        if self.elected == Some(token) && makes_sense {
            return Ok(());
        }
        Err(format!("{what} in {token}, while elected to {:?}", self.elected))
    }

    pub(super) fn event(&mut self, event: &Event, histories: &mut Histories) -> Result<(), Broken> {
        match event {
            Event::Elected { token } => {
                if let Some(before) = self.elected.replace(*token) {
                    return Err(format!("elected to {token} while elected to {before}"));
                }
                histories.of(self.cluster).elected(*token)
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
                let listed = record.membership.get(&self.id);
                if listed.is_some_and(|own| own.profile.is_of(self.incarnation)) {
                    self.has_left = false;
                }
                histories.of(record.cluster).committed(record)
            }
            Event::StandingChanged { standing, cluster } => {
                if lineage(self.cluster) != lineage(*cluster) {
                    if self.elected.is_some() {
                        return Err(format!("it changed to {cluster} while elected in {}", self.cluster));
                    }
                    (self.cluster, self.committed) = (*cluster, Position::ZERO);
                }
                histories.of(*cluster).is_established |= *standing == Standing::Bound;
                Ok(())
            }
            Event::OtherCluster { .. }
            | Event::LeaderChanged { .. }
            | Event::Answered { .. }
            | Event::ChangeRefused { .. } => Ok(()),
            Event::Left => {
                self.has_left = true;
                Ok(())
            }
        }
    }

    /// Its records changed: in one cluster they only grow.
    fn grows(&mut self, now: Grown, raft: &Raft) -> Result<(), Broken> {
        let before = ::core::mem::replace(&mut self.grown, now);
        if now.last.term > raft.term() {
            return Err(format!("it keeps the record {} in term {}", now.last, raft.term()));
        }
        let is_outside = matches!(raft.standing(), Standing::Blank | Standing::Left);
        let is_same = lineage(before.cluster) == lineage(now.cluster);
        if is_same && !is_outside && (now.last < before.last || now.committed < before.committed) {
            return Err(format!(
                "its records fell from {} ({} committed) to {} ({} committed)",
                before.last, before.committed, now.last, now.committed
            ));
        }
        Ok(())
    }

    /// What must hold of a machine after every input.
    pub(super) fn machine(&mut self, raft: &Raft, is_leader: bool) -> Result<(), Broken> {
        if raft.term() < self.term {
            return Err(format!("the term fell from {} to {}", self.term, raft.term()));
        }
        self.term = raft.term();
        let now = Grown::new(raft);
        if now != self.grown {
            self.grows(now, raft)?;
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
