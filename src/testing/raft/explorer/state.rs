//! One explored state: the members, the messages between them, and what became of the cluster so far.

use ::core::hash::{Hash, Hasher};
use ::core::time::Duration;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::checks::{Broken, Histories, lineage};
use super::action::{Action, changes_to};
use super::network::{Network, Packet, Prints};
use super::process::{Given, Process, Rules};
use super::request::Request;
use super::scope::{Begin, Scope, timing};
use super::seen::Mix;
use crate::core::Instant;
use crate::core::raft::{Event, Frame, Input, MemberId, Message, Position, Protection};

/// When the members start.
const START: Instant = Instant::from_millis(10_000);

/// What does not change in a search.
pub(super) struct Setting {
    pub(super) scope: Scope,
    /// For each order of the members, the number that each id has in it.
    pub(super) orders: Vec<Vec<(MemberId, u8)>>,
    horizon: Duration,
}

impl Setting {
    pub(super) fn new(scope: Scope, orders: Vec<Vec<u8>>) -> Setting {
        let ids: Vec<MemberId> = (0..scope.count()).map(|index| scope.profile(index).id).collect();
        let orders = orders.iter().map(|order| ids.iter().copied().zip(order.iter().copied()).collect());
        Setting { orders: orders.collect(), scope, horizon: timing().max() }
    }
}

/// How often the actions that the scope bounds may still happen.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Budget {
    pub(super) proposals: u8,
    pub(super) transfers: u8,
    pub(super) changes: u8,
    pub(super) leaves: u8,
    pub(super) crashes: u8,
    pub(super) failures: u8,
    pub(super) pauses: u8,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) now: Instant,
    members: Vec<(Arc<Process>, Prints)>,
    pub(super) network: Network,
    pub(super) histories: Arc<Histories>,
    pub(super) budget: Budget,
}

impl State {
    /// The members at their start, as late as they may give a vote.
    pub(super) fn start(setting: &Setting) -> Result<State, Broken> {
        let scope = &setting.scope;
        let without = Some(Protection::OwnTerm).filter(|rule| scope.without.contains(rule));
        let rules = Rules { seeks: scope.is_founding(), without };
        let process = |index| {
            let (config, kept) = scope.start(index);
            (Arc::new(Process::new(config, kept, rules, START)), Prints::default())
        };
        let budget = Budget {
            proposals: scope.proposals,
            transfers: scope.transfers,
            changes: scope.changes,
            leaves: scope.leaves,
            crashes: scope.crashes,
            failures: scope.failures,
            pauses: scope.pauses,
        };
        let mut state = State {
            now: START,
            members: (0..scope.count()).map(process).collect(),
            network: Network::default(),
            histories: Arc::default(),
            budget,
        };
        for (process, _) in &state.members {
            let last = process.raft.last();
            if last.position > Position::ZERO {
                Arc::make_mut(&mut state.histories).of(last.cluster).kept(last, Position::ZERO)?;
            }
        }
        if !scope.is_founding() {
            state.now = START.saturating_add(timing().min());
        }
        for member in 0..scope.count() {
            state.begin(member, setting, &mut Vec::new())?;
        }
        if scope.begins == Begin::Led {
            state.elect_first(setting)?;
        }
        Ok(state)
    }

    /// A member has started: its host names those whom it knows.
    fn begin(&mut self, member: usize, setting: &Setting, log: &mut Vec<String>) -> Result<(), Broken> {
        self.input(member, Input::Timeout, setting, log)?;
        for other in setting.scope.known_to(member) {
            self.input(member, Input::Known(setting.scope.profile(other).id), setting, log)?;
        }
        Ok(())
    }

    /// The first member stands for election, and all messages between voters arrive: it leads, and they know
    /// its first record as committed. What spare members have sent is still on its way.
    fn elect_first(&mut self, setting: &Setting) -> Result<(), Broken> {
        let voters = setting.scope.voters;
        self.apply(&Action::Campaign(0), setting, &mut Vec::new())?;
        for _ in 0..1_000 {
            let writing = self.processes().position(Process::is_writing);
            let is_between_voters = |packet: &&Arc<Packet>| packet.from < voters && packet.to < voters;
            if let Some(member) = writing {
                self.apply(&Action::Written(member), setting, &mut Vec::new())?;
            } else if let Some(packet) = self.network.packets().iter().find(is_between_voters).cloned() {
                self.network.remove(&packet);
                self.apply(&Action::Deliver(packet), setting, &mut Vec::new())?;
            } else {
                break;
            }
        }
        let leads = self.processes().next().is_some_and(|first| first.raft.leadership(self.now).is_leader);
        let committed = |process: &Process| process.raft.committed().position.index;
        if leads && self.processes().take(voters).all(|process| committed(process) == 1) {
            return Ok(());
        }
        let known: Vec<u64> = self.processes().map(committed).collect();
        Err(format!("n0 leads: {leads}; the members know up to these indices as committed: {known:?}"))
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.members.iter().map(|(process, _)| &**process)
    }

    /// Something happens. `log` gets a line for each event.
    pub(super) fn apply(
        &mut self,
        action: &Action,
        setting: &Setting,
        log: &mut Vec<String>,
    ) -> Result<(), Broken> {
        let (member, input) = match action {
            Action::Pause => return self.pause(setting),
            Action::Timeout(member) => (*member, Some(Input::Timeout)),
            Action::Campaign(member) => (*member, Some(Input::Campaign)),
            Action::Deliver(packet) => (packet.to, Some(Input::Received(packet.bytes.to_vec()))),
            Action::Written(member) => (*member, self.process(*member).end_write()),
            Action::WriteFails(member, keeps) => {
                self.budget.failures -= 1;
                (*member, self.process(*member).fail_write(*keeps))
            }
            Action::Crash(member, keeps) => {
                self.budget.crashes -= 1;
                let now = self.now;
                self.process(*member).restart(now, *keeps);
                return self.begin(*member, setting, log);
            }
            Action::Propose(member, expected) => {
                let proposal = Request::Proposal { number: self.budget.proposals, expected: *expected };
                self.budget.proposals -= 1;
                let (request, data) = (proposal.number(), proposal.data());
                (*member, Some(Input::Propose { request, expected: *expected, data }))
            }
            Action::Transfer(member, to) => {
                self.budget.transfers -= 1;
                let request = Request::Transfer.number();
                (*member, Some(Input::Transfer { request, to: setting.scope.profile(*to).id }))
            }
            Action::Change(member, voters, transition) => {
                self.budget.changes -= 1;
                let membership = self.process(*member).raft.membership();
                let changes = changes_to(*voters, membership, &setting.scope);
                let (request, transition) = (Request::Change.number(), *transition);
                (*member, Some(Input::ChangeMembership { request, changes, transition }))
            }
            Action::Leave(member) => {
                self.budget.leaves -= 1;
                (*member, Some(Input::Leave))
            }
        };
        self.input(member, input.unwrap_or(Input::Timeout), setting, log)
    }

    fn process(&mut self, member: usize) -> &mut Process {
        Arc::make_mut(&mut self.members[member].0)
    }

    fn pause(&mut self, setting: &Setting) -> Result<(), Broken> {
        if self.budget.pauses < u8::MAX {
            self.budget.pauses -= 1;
        }
        self.now = self.now.saturating_add(setting.scope.pause);
        self.network.pass_time(self.now, setting.horizon);
        for member in 0..self.members.len() {
            self.print(member, setting);
        }
        self.check(setting)
    }

    fn input(
        &mut self,
        member: usize,
        input: Input,
        setting: &Setting,
        log: &mut Vec<String>,
    ) -> Result<(), Broken> {
        let named = |broken| format!("n{member}: {broken}");
        let mut given = Given::default();
        let (now, mut histories) = (self.now, ::core::mem::take(&mut self.histories));
        let process = self.process(member);
        let mut result = process.input(now, input, &mut histories, &mut given);
        while let (Ok(()), false) = (&result, setting.scope.has_slow_disks) {
            let Some(written) = process.end_write() else { break };
            result = process.input(now, written, &mut histories, &mut given);
        }
        self.histories = histories;
        log.extend(given.events.iter().map(|event| match event {
            Event::Committed(record) => format!("n{member} ! Committed({})", record.position),
            event => format!("n{member} ! {event:?}"),
        }));
        result.map_err(named)?;
        for bytes in given.sent {
            self.send(bytes, setting).map_err(named)?;
        }
        self.print(member, setting);
        self.check(setting)
    }

    fn send(&mut self, bytes: Vec<u8>, setting: &Setting) -> Result<(), Broken> {
        let message = Message::from_bytes(&bytes).map_err(|invalid| invalid.to_string())?;
        let is_receiver = |(process, _): &(Arc<Process>, Prints)| process.raft.id() == message.to;
        let Some(to) = self.members.iter().position(is_receiver) else { return Ok(()) };
        let mut prints = Prints::default();
        let prints_of = |frame: &Frame<'_>, hasher: &mut Mix| frame.message(&message, hasher);
        self.print_with(setting, &mut prints, prints_of);
        let sent = |term, round| self.round_began(term, round);
        let frame = self.frame(&[], &sent, setting);
        let round_began = frame.round_began(&message);
        let from = self.members.iter().position(|(process, _)| process.raft.id() == message.from);
        let from = from.unwrap_or_default();
        let packet = Packet { from, to, bytes: bytes.into(), round_began, prints, message };
        self.network.send(packet, setting.scope.in_flight);
        Ok(())
    }

    fn round_began(&self, term: u64, round: u64) -> Option<Instant> {
        self.processes().find_map(|process| process.raft.round_began(term, round))
    }

    fn frame<'a>(
        &self,
        numbers: &'a [(MemberId, u8)],
        sent: &'a dyn Fn(u64, u64) -> Option<Instant>,
        setting: &Setting,
    ) -> Frame<'a> {
        Frame { now: self.now, horizon: setting.horizon, numbers, sent }
    }

    fn print_with(&self, setting: &Setting, prints: &mut Prints, hash: impl Fn(&Frame<'_>, &mut Mix)) {
        let sent = |term, round| self.round_began(term, round);
        for (numbers, print) in setting.orders.iter().zip(prints) {
            let mut hasher = Mix::default();
            hash(&self.frame(numbers, &sent, setting), &mut hasher);
            *print = hasher.finish();
        }
    }

    /// Computes the hashes of a member anew. A member that has made nothing durable has only its number to
    /// tell it from another one.
    fn print(&mut self, member: usize, setting: &Setting) {
        let mut prints = Prints::default();
        let process = self.members[member].0.clone();
        self.print_with(setting, &mut prints, |frame, hasher| {
            frame.numbers[member].1.hash(hasher);
            process.fingerprint(frame, hasher);
        });
        self.members[member].1 = prints;
    }

    /// At most one member of a cluster leads, and it knows the newest committed record. Members that know
    /// each other establish one cluster, unless one may have been silent for so long that it counts as
    /// absent.
    fn check(&self, setting: &Setting) -> Result<(), Broken> {
        let leads = |(_, process): &(usize, &Process)| process.raft.leadership(self.now).is_leader;
        let cluster = |process: &Process| lineage(process.raft.committed().cluster);
        for (one, process) in self.processes().enumerate().filter(leads) {
            let mut others = self.processes().enumerate().skip(one + 1).filter(leads);
            if let Some((other, _)) = others.find(|(_, other)| cluster(other) == cluster(process)) {
                return Err(format!("n{one} and n{other} lead at once"));
            }
            self.knows_newest(process, setting).map_err(|broken| format!("n{one}: {broken}"))?;
        }
        if self.is_early() && setting.scope.is_connected() && self.histories.established() > 1 {
            return Err("two clusters of one start are established".into());
        }
        Ok(())
    }

    /// Whether a member that leads knows the newest committed record. It does because the first record of its
    /// own term is committed, so it need not where members lack that rule: what they lose then is sought.
    fn knows_newest(&self, leader: &Process, setting: &Setting) -> Result<(), Broken> {
        let has_rule = !setting.scope.without.contains(&Protection::OwnTerm);
        if has_rule { self.histories.read(leader.raft.committed()) } else { Ok(()) }
    }

    /// Whether no member can have been silent for so long that it counts as absent.
    fn is_early(&self) -> bool {
        self.now < START.saturating_add(timing().max() * 4)
    }

    /// The state's hash: the least over all orders of the members.
    pub(super) fn key(&self, setting: &Setting) -> u64 {
        let mut rest = Mix::default();
        // It decides only whether two clusters may be established.
        let is_early = setting.scope.is_founding() && self.is_early();
        (self.budget, is_early, &*self.histories).hash(&mut rest);
        let rest = rest.finish();
        let packets = self.network.prints(self.now, setting.horizon, setting.orders.len());
        let key = |order: usize| {
            let members = self.members.iter().fold(0_u64, |sum, (_, prints)| sum.wrapping_add(prints[order]));
            let mut all = Mix::default();
            [rest, members, packets[order]].into_iter().for_each(|part| all.write_u64(part));
            all.finish()
        };
        (0..setting.orders.len()).map(key).min().unwrap_or_default()
    }

    /// The members in the role of a leader, as a set of bits.
    pub(super) fn leaders(&self) -> u32 {
        let leads = |(_, process): &(usize, &Process)| process.leads();
        self.processes().enumerate().filter(leads).map(|(member, _)| 1 << member).sum()
    }

    /// The smallest and the largest number of voters in the records that members know to be committed.
    pub(super) fn committed_voters(&self) -> (usize, usize) {
        let voters = |process: &Process| {
            process.raft.committed().membership.members().iter().filter(|member| member.is_voter).count()
        };
        let count = |(fewest, most): (usize, usize), count: usize| (fewest.min(count), most.max(count));
        self.processes().map(voters).fold((usize::MAX, 0), count)
    }

    pub(super) fn term(&self) -> u64 {
        self.processes().map(|process| process.raft.term()).max().unwrap_or_default()
    }
}
