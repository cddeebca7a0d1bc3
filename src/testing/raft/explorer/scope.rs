//! The bounds of a search: who takes part, and how often what may happen.

use ::core::time::Duration;
use alloc::format;
use alloc::vec::Vec;

use super::super::node::first_bound;
use crate::core::raft::{
    Bound, ClusterId, Config, Durable, DurableState, ElectionTiming, Incarnation, Member, MemberId,
    Membership, Position, Profile, Protection, Record,
};

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Begin {
    /// All members start, and nothing has happened yet.
    Start,
    /// The first member leads, and all know its first record.
    Led,
    /// All members start. Before that, the last one elected the first in term 1, and the second in term 2.
    /// Each crashed once it had made its first record, which no other member has. The first has also heard of
    /// term 2. Needs three voters.
    Rivals,
    /// No member has a durable state, and each knows those that [`Scope::knows`] says.
    Blank,
    /// No member has a durable state, and each has the same founding list of all voters.
    List,
}

/// The bounds of a search. Messages may be lost, doubled, delayed and overtaken.
#[derive(Clone, Debug)]
pub struct Scope {
    /// How many voters the cluster has at first; 1 to 5.
    pub voters: usize,
    /// How many of these are witnesses: the last ones; fewer than voters.
    pub witnesses: usize,
    /// How many more processes there are, which are no members at first.
    pub spares: usize,
    /// The largest term. A state in which a member has a larger one is checked, and not followed.
    pub terms: u64,
    /// How many messages are on their way from one member to another at most: of more, the oldest is lost.
    /// One that was delivered stays on its way, and may come again.
    pub in_flight: usize,
    /// How many values are proposed, each with or without an expected index.
    pub proposals: u8,
    /// How often hosts hand leadership over.
    pub transfers: u8,
    /// How often operators change the voters, to any others, in one step if that will do or joint.
    pub changes: u8,
    /// How often a member asks to leave.
    pub leaves: u8,
    /// How often a member crashes. It starts again at once: a longer pause is silence.
    pub crashes: u8,
    /// How often a write fails. What the disk keeps then is the state before or after.
    pub failures: u8,
    /// Writes take time, in which anything can happen. Otherwise each is done at once.
    pub has_slow_disks: bool,
    /// How often the clock goes on; `u8::MAX` is without a bound.
    pub pauses: u8,
    /// By how much it goes on each time. The minimum election time is 200 ms, the maximum 201 ms.
    pub pause: Duration,
    /// Where the search begins.
    pub begins: Begin,
    /// Who knows whom from its start on, for members that begin blank: numbers of members.
    pub knows: Vec<(usize, usize)>,
    /// Rules that all members lack.
    pub without: Vec<Protection>,
}

impl Default for Scope {
    /// Two voters that start, and three terms. The clock goes on by half a minimum election time.
    fn default() -> Scope {
        Scope {
            voters: 2,
            witnesses: 0,
            spares: 0,
            terms: 3,
            in_flight: 3,
            proposals: 0,
            transfers: 0,
            changes: 0,
            leaves: 0,
            crashes: 0,
            failures: 0,
            has_slow_disks: false,
            pauses: u8::MAX,
            pause: Duration::from_millis(100),
            begins: Begin::Start,
            knows: Vec::new(),
            without: Vec::new(),
        }
    }
}

/// The members' election times. The maximum makes a difference only for when a leader gives up.
pub(super) fn timing() -> ElectionTiming {
    let [heartbeat, min, max] = [100, 200, 201].map(Duration::from_millis);
    ElectionTiming::new(heartbeat, min, max).expect("the times fit")
}

impl Scope {
    pub(super) fn count(&self) -> usize {
        self.voters + self.spares
    }

    fn is_witness(&self, index: usize) -> bool {
        (self.voters - self.witnesses..self.voters).contains(&index)
    }

    pub(super) fn profile(&self, index: usize) -> Profile {
        let id = MemberId::new(&format!("n{index}")).expect("a short id");
        let incarnation = Incarnation::new(1).unwrap_or_default();
        Profile { incarnation, is_witness: self.is_witness(index), ..Profile::new(id) }
    }

    /// Whether members ask each other who belongs to which cluster. They do not where all belong to one.
    pub(super) fn is_founding(&self) -> bool {
        matches!(self.begins, Begin::Blank | Begin::List)
    }

    /// Whom a member knows from its start on.
    pub(super) fn known_to(&self, member: usize) -> impl Iterator<Item = usize> + '_ {
        self.knows.iter().filter(move |(who, _)| *who == member).map(|(_, whom)| *whom)
    }

    /// Whether all members know each other over others, or begin as one cluster.
    pub(super) fn is_connected(&self) -> bool {
        let mut reached = 1_u32;
        for _ in 0..self.count() {
            for (who, whom) in &self.knows {
                let both = 1 << who | 1 << whom;
                if reached & both != 0 {
                    reached |= both;
                }
            }
        }
        self.begins != Begin::Blank || reached.count_ones() as usize == self.count()
    }

    fn voters(&self) -> Membership {
        let members = (0..self.voters).map(|index| Member::voter(self.profile(index)));
        Membership::new(members.collect()).expect("a voter that may lead")
    }

    /// The settings of a member, and what its disk keeps at first.
    pub(super) fn start(&self, index: usize) -> (Config, Option<Durable>) {
        let Profile { id, incarnation, is_witness, .. } = self.profile(index);
        let mut config = Config::new(id, incarnation, 1);
        config.timing = timing();
        config.is_witness = is_witness;
        if self.begins == Begin::List {
            config.founding = Some(self.voters());
        }
        for protection in &self.without {
            config = config.without(*protection);
        }
        if self.is_founding() {
            return (config, None);
        }
        let bound = first_bound(Record {
            position: Position::ZERO,
            cluster: ClusterId([0xC1; 16]),
            membership: self.voters().into(),
            data: Vec::new().into(),
        });
        let bound = if self.begins == Begin::Rivals { self.rival(index, bound) } else { bound };
        (config, Some(Durable { id, incarnation, state: DurableState::Bound(bound) }))
    }

    /// What a member keeps after two elections whose winners' records reached nobody.
    fn rival(&self, index: usize, bound: Bound) -> Bound {
        let (term, for_whom) = match index {
            0 | 1 => (2, index),
            last if last + 1 == self.voters => (2, 1),
            _ => return bound,
        };
        let Profile { id, incarnation, .. } = self.profile(for_whom);
        let made = Record { position: Position::new(index as u64 + 1, 1), ..bound.committed.clone() };
        Bound {
            term,
            vote: (index > 0).then_some((id, incarnation)),
            uncommitted: (index < 2).then_some(made),
            ..bound
        }
    }

    /// The orders in which a search numbers the members: states that are equal in one of them count as one.
    /// Each order gives every member its number.
    ///
    /// From three members on, these are all orders that exchange only members of one kind, if they are few.
    /// Searches then get deeper, but miss something, because the machine breaks ties by ids: see
    /// [`Explorer::search`](super::Explorer::search). Two members have one order, so that their searches
    /// leave nothing out; so have members that found a cluster, because the smallest id founds it.
    pub(super) fn orders(&self) -> Vec<Vec<u8>> {
        if self.is_founding() || self.count() < 3 {
            return alloc::vec![(0..self.count() as u8).collect()];
        }
        let kinds: Vec<bool> = (0..self.count()).map(|index| self.is_witness(index)).collect();
        let mut orders = Vec::new();
        permute(&mut (0..self.count()).collect(), 0, &mut |order| {
            if order.iter().enumerate().all(|(index, number)| kinds[index] == kinds[*number]) {
                orders.push(order.iter().map(|number| *number as u8).collect());
            }
        });
        if orders.len() > MAX_ORDERS {
            orders.truncate(1);
        }
        orders
    }
}

/// The most orders that each state is compared in.
pub(super) const MAX_ORDERS: usize = 6;

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for other in from..order.len() {
        order.swap(from, other);
        permute(order, from + 1, each);
        order.swap(from, other);
    }
}
