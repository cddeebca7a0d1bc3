//! Members on a network without faults, where a message takes 5 ms unless a test says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use elector::core::Instant;
use elector::core::raft::{
    ElectionTiming, Event, Input, Member, MemberId, Membership, Output, Profile, Raft, Ticket,
};

use crate::cluster::{INCARNATION, Start};
use crate::drive::MS;

/// How long a message takes, unless a test says otherwise.
pub const ONE_WAY: Duration = Duration::from_millis(5);

/// What happens at some time.
enum Happening {
    Arrives(usize, Vec<u8>),
    Written(usize, Ticket),
}

/// Members that run, in the order of their ids, and what happens next.
pub struct Network {
    now: Instant,
    /// How long a message takes.
    pub one_way: Duration,
    /// How long a write takes.
    write: Duration,
    /// Each with the time at which it wants to be woken; none for one that crashed.
    members: Vec<Option<(Raft, Instant)>>,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
    /// How many messages were sent.
    pub messages: u64,
    /// The tokens of those that were elected, in that order.
    pub elected: Vec<u64>,
}

pub fn id(place: usize) -> MemberId {
    MemberId::new(&place.to_string()).unwrap()
}

impl Network {
    /// Voters that start together.
    pub fn of(count: usize, timing: ElectionTiming, write: Duration, seed: u64) -> Network {
        let voter = |place| Member::voter(Profile { incarnation: INCARNATION, ..Profile::new(id(place)) });
        let membership = Membership::new((0..count).map(voter).collect()).unwrap();
        let now = Instant::from_millis(1_000);
        let member = |place| {
            let mut start = Start::new(id(place), membership.clone());
            (start.config.timing, start.config.seed) = (timing, seed);
            let durable = start.durable().unwrap();
            Some((Raft::restore(start.config, durable, now).unwrap(), now))
        };
        let members = (0..count).map(member).collect();
        Network {
            now,
            one_way: ONE_WAY,
            write,
            members,
            queue: BTreeMap::new(),
            queued: 0,
            messages: 0,
            elected: vec![],
        }
    }

    fn enqueue(&mut self, after: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now.saturating_add(after), self.queued), happening);
    }

    /// Gives an input to a member that runs, and carries the outputs out.
    pub fn input(&mut self, place: usize, input: Input) {
        let Some((mut raft, _)) = self.members[place].take() else { return };
        raft.handle_input(self.now, input);
        let due = loop {
            match raft.poll_output() {
                Output::Send { to, bytes } => {
                    self.messages += 1;
                    self.enqueue(self.one_way, Happening::Arrives(to.parse().unwrap(), bytes));
                }
                Output::Persist { ticket, .. } if self.write.is_zero() => {
                    raft.handle_input(self.now, Input::Persisted(ticket));
                }
                Output::Persist { ticket, .. } => {
                    self.enqueue(self.write, Happening::Written(place, ticket));
                }
                Output::Event(Event::Elected { token, .. }) => self.elected.push(token.into()),
                Output::Event(_) => {}
                Output::WaitUntil(due) => break due,
            }
        };
        self.members[place] = Some((raft, due));
    }

    /// A member stops for good.
    pub fn crash(&mut self, place: usize) {
        self.members[place] = None;
    }

    /// Lets the next thing happen, if it does before `end`; otherwise moves to `end`.
    fn step(&mut self, end: Instant) -> bool {
        let due = |(place, member): (usize, &Option<(Raft, Instant)>)| {
            member.as_ref().map(|(_, due)| (*due, place))
        };
        let timer = self.members.iter().enumerate().filter_map(due).min();
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let next = queued.into_iter().chain(timer.map(|(due, _)| due)).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = next;
        if queued == Some(next) {
            match self.queue.pop_first() {
                Some((_, Happening::Arrives(to, bytes))) => self.input(to, Input::Received(bytes)),
                Some((_, Happening::Written(place, ticket))) => {
                    self.input(place, Input::Persisted(ticket));
                }
                None => {}
            }
        } else if let Some((_, place)) = timer {
            self.input(place, Input::Timeout);
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now.saturating_add(span);
        while self.step(end) {}
    }

    /// Who leads now: at most one.
    pub fn leader(&self) -> Option<usize> {
        let leads = |place: &usize| {
            let member = self.members[*place].as_ref();
            member.is_some_and(|(raft, _)| raft.leadership(self.now).is_leader)
        };
        let mut leaders = (0..self.members.len()).filter(leads);
        let leader = leaders.next();
        assert_eq!(leaders.next(), None, "another one leads beside {leader:?}");
        leader
    }

    /// Runs until another member leads than `old`, and returns how long that took.
    pub fn until_led(&mut self, old: Option<usize>) -> Duration {
        let from = self.now;
        let limit = from.saturating_add(60_000 * MS);
        while self.leader().is_none_or(|leader| Some(leader) == old) {
            assert!(self.step(limit), "nobody else leads after a minute");
        }
        self.now.saturating_since(from)
    }

    /// A cluster that has been led for some time, at a moment between two heartbeats that the seed draws;
    /// with its leader.
    pub fn led(count: usize, timing: ElectionTiming, write: Duration, seed: u64) -> (Network, usize) {
        let mut network = Network::of(count, timing, write, seed);
        network.until_led(None);
        // The fractional part of multiples of the golden ratio: spread evenly over a heartbeat.
        let part = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / u64::MAX as f64;
        network.run(timing.heartbeat().mul_f64(3.0 + part));
        let leader = network.leader().expect("it leads on");
        (network, leader)
    }
}

/// From a heartbeat, the minimum and the maximum election time, in milliseconds.
pub fn timing([heartbeat, min, max]: [u32; 3]) -> ElectionTiming {
    ElectionTiming::new(heartbeat * MS, min * MS, max * MS).unwrap()
}
