//! The published figures of fail-over, hand-over and traffic: members on a network without faults, where a
//! message takes 5 ms. They depend on seeds alone, not on the machine.
//!
//! ```text
//! export ELECTOR_SIM_SEEDS=100000
//! cargo test --release --no-default-features --features testing --test raft figures:: -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use elector::core::Instant;
use elector::core::raft::{
    ElectionTiming, Input, Member, MemberId, Membership, Output, Profile, Raft, Ticket,
};
use elector_kit::seeds::seeds;

use crate::cluster::{INCARNATION, Start};
use crate::drive::MS;

const ONE_WAY: Duration = Duration::from_millis(5);

/// What happens at some time.
enum Happening {
    Arrives(usize, Arc<[u8]>),
    Written(usize, Ticket),
}

/// Members that run, in the order of their ids, and what happens next.
struct Network {
    now: Instant,
    /// How long a write takes.
    write: Duration,
    /// Each with the time at which it wants to be woken; none for one that crashed.
    members: Vec<Option<(Raft, Instant)>>,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
    /// How many messages were sent.
    messages: u64,
}

fn id(place: usize) -> MemberId {
    MemberId::new(&place.to_string()).unwrap()
}

impl Network {
    /// Voters that start together.
    fn of(count: usize, timing: ElectionTiming, write: Duration, seed: u64) -> Network {
        let voter = |place| Member {
            profile: Profile { incarnation: INCARNATION, ..Profile::new(id(place)) },
            is_voter: true,
            is_outgoing: false,
            is_learner: false,
            is_joining: false,
        };
        let membership = Membership::new((0..count).map(voter).collect()).unwrap();
        let now = Instant::from_millis(1_000);
        let member = |place| {
            let mut start = Start::new(id(place), membership.clone());
            (start.config.timing, start.config.seed) = (timing, seed);
            let durable = start.durable().unwrap();
            Some((Raft::restore(start.config, durable, now).unwrap(), now))
        };
        let members = (0..count).map(member).collect();
        Network { now, write, members, queue: BTreeMap::new(), queued: 0, messages: 0 }
    }

    fn enqueue(&mut self, after: Duration, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now.saturating_add(after), self.queued), happening);
    }

    /// Gives an input to a member that runs, and carries the outputs out.
    fn input(&mut self, place: usize, input: Input) {
        let Some((mut raft, _)) = self.members[place].take() else { return };
        raft.handle_input(self.now, input);
        let due = loop {
            match raft.poll_output() {
                Output::Send { to, bytes } => {
                    self.messages += 1;
                    self.enqueue(ONE_WAY, Happening::Arrives(to.parse().unwrap(), bytes.into()));
                }
                Output::Persist { ticket, .. } if self.write.is_zero() => {
                    raft.handle_input(self.now, Input::Persisted(ticket));
                }
                Output::Persist { ticket, .. } => {
                    self.enqueue(self.write, Happening::Written(place, ticket));
                }
                Output::Event(_) => {}
                Output::WaitUntil(due) => break due,
            }
        };
        self.members[place] = Some((raft, due));
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

    fn run(&mut self, span: Duration) {
        let end = self.now.saturating_add(span);
        while self.step(end) {}
    }

    /// Who leads now.
    fn leader(&self) -> Option<usize> {
        let leads = |member: &Option<(Raft, Instant)>| {
            member.as_ref().is_some_and(|(raft, _)| raft.leadership(self.now).is_leader)
        };
        self.members.iter().position(leads)
    }

    /// Runs until another member leads than `old`, and returns how long that took.
    fn until_led(&mut self, old: Option<usize>) -> Duration {
        let from = self.now;
        let limit = from.saturating_add(60_000 * MS);
        while self.leader().is_none_or(|leader| Some(leader) == old) {
            assert!(self.step(limit), "nobody else leads after a minute");
        }
        self.now.saturating_since(from)
    }

    /// A cluster that has been led for some time, at a moment between two heartbeats that the seed draws;
    /// with its leader.
    fn led(count: usize, timing: ElectionTiming, write: Duration, seed: u64) -> (Network, usize) {
        let mut network = Network::of(count, timing, write, seed);
        network.until_led(None);
        // The fractional part of multiples of the golden ratio: spread evenly over a heartbeat.
        let part = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / u64::MAX as f64;
        network.run(timing.heartbeat().mul_f64(3.0 + part));
        let leader = network.leader().expect("it leads on");
        (network, leader)
    }
}

fn timing([heartbeat, min, max]: [u32; 3]) -> ElectionTiming {
    ElectionTiming::new(heartbeat * MS, min * MS, max * MS).unwrap()
}

/// Prints a figure beside its limit, which it must not exceed.
fn limited(what: &str, measured: f64, limit: f64, unit: &str) {
    println!("{what:52} {measured:8.2} {unit:4}  limit {limit:7.2} {unit}");
    assert!(measured <= limit, "{what}: {measured} {unit}, above {limit}");
}

/// From the crash of the leader until another member leads: the values below which half and 99 % lie, in ms.
fn fail_over(times: [u32; 3], write: Duration) -> [f64; 2] {
    let mut taken: Vec<Duration> = seeds(200)
        .map(|seed| {
            let (mut network, leader) = Network::led(3, timing(times), write, seed);
            network.members[leader] = None;
            network.until_led(None)
        })
        .collect();
    taken.sort();
    [50, 99].map(|percent| taken[(taken.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1_000.0)
}

#[test]
fn another_member_leads_soon_after_the_leader_crashed() {
    for (times, limits) in [([100, 200, 800], [380.0, 850.0]), ([50, 150, 300], [220.0, 550.0])] {
        for write in [0, 1] {
            let [p50, p99] = fail_over(times, write * MS);
            let [heartbeat, min, max] = times;
            // A vote, and then a record, wait for the disk.
            let limits = limits.map(|limit| limit + 3.0 * f64::from(write));
            let what = |p| format!("fail-over at {heartbeat}/{min}-{max}, writes of {write} ms: {p}");
            limited(&what("p50"), p50, limits[0], "ms");
            limited(&what("p99"), p99, limits[1], "ms");
        }
    }
}

/// The largest number of one-way times from this input at the leader until another member leads.
fn hops(input: impl Fn(usize) -> Input) -> f64 {
    let taken = seeds(200).map(|seed| {
        let (mut network, leader) = Network::led(3, ElectionTiming::default(), Duration::ZERO, seed);
        network.input(leader, input(leader));
        network.until_led(Some(leader))
    });
    taken.max().unwrap().as_nanos() as f64 / ONE_WAY.as_nanos() as f64
}

#[test]
fn a_leader_that_hands_over_or_leaves_is_followed_at_once() {
    let transfer = hops(|leader| Input::Transfer { request: 1, to: id((leader + 1) % 3) });
    limited("transfer to a voter with the newest record", transfer, 6.0, "hops");
    limited("a leader leaves", hops(|_| Input::Leave), 7.0, "hops");
}

#[test]
fn a_commit_takes_three_messages_to_each_other_member_and_a_heartbeat_two() {
    for count in [3, 5] {
        let timing = ElectionTiming::default();
        let (mut network, leader) = Network::led(count, timing, Duration::ZERO, 1);
        let others = count as f64 - 1.0;
        let from = network.messages;
        network.run(100 * timing.heartbeat());
        let heartbeat = (network.messages - from) as f64 / 100.0;
        limited(&format!("messages of a heartbeat, {count} members"), heartbeat, 2.0 * others, "");
        // In less than a heartbeat, which a record begins anew.
        let from = network.messages;
        for request in 0..100 {
            let data = b"x"[..].into();
            network.input(leader, Input::Propose { request, expected: None, data });
            network.run(4 * ONE_WAY);
        }
        let commit = (network.messages - from) as f64 / 100.0;
        limited(&format!("messages of a commit, {count} members"), commit, 3.0 * others, "");
    }
}
