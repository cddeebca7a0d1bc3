//! A machine that gets any inputs, and what must hold of it whatever it gets.

use std::collections::VecDeque;
use std::time::Duration;

use elector::core::raft::{
    Body, Change, ClusterId, Config, Durable, DurableState, ElectionTiming, Event, Incarnation, Input,
    Introduction, KnownIds, MAX_HOLD_MS, Member, MemberId, Membership, Message, Output, Position, Profile,
    Protection, Raft, Record, Refusal, Role, Standing, Ticket, Transition,
};
use elector::core::{FencingToken, Instant};
use elector::testing::raft::check_promise;

use crate::bytes::{durables, messages};
use crate::cluster::{CLUSTER, INCARNATION, Start};
use crate::drive::id;
use crate::fuzz::{Dice, changed};

/// Maximum number of outputs after one input.
const MAX_OUTPUTS: u32 = 3_000;

/// The ids of members and of a stranger.
const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "stranger"];

pub struct Fuzzed {
    pub raft: Raft,
    now: Instant,
    due: Instant,
    templates: Vec<Message>,
    /// The write in progress, and the state that it writes.
    write: Option<(Ticket, Vec<u8>)>,
    durable: Vec<u8>,
    /// The newest term in which it granted its vote, and to whom.
    voted: (u64, Option<(MemberId, Incarnation)>),
    /// The newest messages that it sent.
    sent: VecDeque<Message>,
    /// The term of which it has told that it leads.
    token: Option<FencingToken>,
    /// What only grows: its term, its newest record, its committed record, the record that it told of.
    grown: (u64, Position, Position, Position),
    newest_token: u64,
    /// Its cluster.
    cluster: ClusterId,
}

fn membership(dice: &mut Dice) -> Membership {
    for _ in 0..20 {
        let mut members = vec![];
        for name in &IDS[..=dice.below(5)] {
            let incarnation = *dice.pick(&[INCARNATION, INCARNATION, INCARNATION, Incarnation::UNKNOWN]);
            let [is_voter, is_outgoing] = [70, 10].map(|percent| dice.chance(percent));
            let is_learner = !is_voter && dice.chance(80);
            members.push(Member {
                profile: Profile {
                    incarnation,
                    priority: dice.below(3) as u8,
                    is_witness: dice.chance(20),
                    ..Profile::new(id(name))
                },
                is_voter,
                is_outgoing,
                is_learner,
                is_joining: is_learner && dice.chance(50),
            });
        }
        if let Ok(membership) = Membership::new(members) {
            return membership;
        }
    }
    Membership::default().apply(&[Change::Voter(Profile::new(id("a")))], Transition::Auto).unwrap()
}

fn config(dice: &mut Dice, of: MemberId, incarnation: Incarnation) -> Config {
    let timing = |times: [u64; 3]| {
        let [heartbeat, min, max] = times.map(Duration::from_millis);
        ElectionTiming::new(heartbeat, min, max).unwrap()
    };
    let mut config = Config::new(of, incarnation, dice.below(1_000) as u64);
    config.timing =
        timing(*dice.pick(&[[100, 200, 800], [1, 2, 3], [50, 150, 300], [30_000, 60_000, 600_000]]));
    config.priority = dice.below(3) as u8;
    config.is_witness = dice.chance(10);
    config.max_data = *dice.pick(&[0, 16, 65_536, usize::MAX]);
    if dice.chance(20) { config.without(Protection::PreVote) } else { config }
}

/// A member or a stranger.
fn anyone(dice: &mut Dice) -> MemberId {
    id(IDS[dice.below(IDS.len())])
}

/// What a member starts with: mostly sensible, else what a changed file holds.
fn start(dice: &mut Dice, corpus: &[Vec<u8>]) -> (Config, Durable) {
    loop {
        let durable = if dice.chance(90) {
            let own = id(IDS[dice.below(5)]);
            let mut start = Start::new(own, membership(dice));
            start.term = *dice.pick(&[0, 0, 1, 7, 7, 7, 1 << 40, crate::fuzz::LARGEST - 1]);
            start.vote = dice.chance(30).then(|| anyone(dice));
            start.committed = Position { term: start.term / 2, index: dice.near(start.term / 2) };
            start.last = Position { term: dice.near(start.term), index: dice.near(start.committed.index) };
            start.durable().ok()
        } else {
            let (durable, _) = durables().swap_remove(3);
            Durable::from_bytes(&changed(dice, corpus, &durable.to_bytes())).ok()
        };
        let Some(durable) = durable else { continue };
        let mut config = config(dice, durable.id, durable.incarnation);
        let mut durable = durable;
        match dice.below(10) {
            0 => durable.state = outside(dice, &durable),
            1 => {
                // A member of a founding list that has done nothing yet.
                durable.state = DurableState::Blank { known: KnownIds::default(), heard: None, term: 0 };
                let list = membership(dice);
                let own = list.get(&config.id).map(|own| own.profile.is_witness);
                config.founding = (own == Some(config.is_witness)).then_some(list);
            }
            _ => {}
        }
        return (config, durable);
    }
}

/// The state of one that belongs to no cluster.
fn outside(dice: &mut Dice, durable: &Durable) -> DurableState {
    let term = dice.near(5);
    if let (DurableState::Bound(bound), true) = (&durable.state, dice.chance(30)) {
        let membership = bound.committed.membership.clone();
        return DurableState::Left { cluster: bound.committed.cluster, term, membership };
    }
    let known = (0..dice.below(3)).map(|_| anyone(dice)).filter(|id| *id != durable.id).collect();
    let heard = dice.chance(30).then(|| (anyone(dice), CLUSTER));
    DurableState::Blank { known, heard, term }
}

impl Fuzzed {
    pub fn new(dice: &mut Dice, corpus: &[Vec<u8>]) -> Fuzzed {
        let (config, durable) = start(dice, corpus);
        let now = Instant::from_millis(dice.below(1_000_000) as u64);
        let bytes = durable.to_bytes();
        let raft = Raft::restore(config, durable, now).unwrap();
        let grown = (raft.term(), raft.last().position, raft.committed().position, Position::ZERO);
        let cluster = raft.committed().cluster;
        let mut fuzzed = Fuzzed {
            raft,
            now,
            due: now,
            templates: messages().into_iter().map(|(message, _)| message).collect(),
            write: None,
            durable: bytes,
            voted: (0, None),
            sent: VecDeque::new(),
            token: None,
            grown,
            newest_token: 0,
            cluster,
        };
        fuzzed.input(Input::Timeout);
        fuzzed
    }

    /// Something happens, at some time.
    pub fn step(&mut self, dice: &mut Dice, corpus: &[Vec<u8>]) {
        let minimum = self.raft.config().timing.min();
        let now = match dice.below(20) {
            0..=9 => self.now,
            10..=13 => self.now.saturating_add(minimum / 50),
            14..=15 if self.due < Instant::MAX => self.due,
            16 => self.now.saturating_add(minimum * dice.below(10) as u32),
            17 => self.now.saturating_sub(minimum),
            18 if dice.chance(5) => self.now.saturating_add(Duration::from_secs(1 << 30)),
            _ => self.now,
        };
        // Time that ends is no time: no test waits for the year 2262.
        self.now = now.min(Instant::from_nanos(1 << 62));
        if dice.chance(2) {
            return self.restart(dice);
        }
        let input = self.draw(dice, corpus);
        self.input(input);
    }

    fn draw(&mut self, dice: &mut Dice, corpus: &[Vec<u8>]) -> Input {
        let request = dice.near(7);
        let index = self.raft.last().position.index;
        match dice.below(100) {
            0..=14 => Input::Timeout,
            15..=59 => {
                let answer = if dice.chance(50) { self.answer(dice) } else { None };
                let message = answer.unwrap_or_else(|| self.message(dice)).to_bytes();
                let bytes = match dice.below(10) {
                    0..=7 => message,
                    8 => changed(dice, corpus, &message),
                    _ => {
                        let bytes = &corpus[dice.below(corpus.len())];
                        changed(dice, corpus, bytes)
                    }
                };
                Input::Received(bytes)
            }
            60..=66 => Input::Campaign,
            67..=72 => {
                // A host may give any number, also one that no bytes hold.
                let beyond = if dice.chance(10) { 1 << 53 } else { 0 };
                let expected = dice.chance(30).then(|| dice.near(index) + beyond);
                Input::Propose { request, expected, data: vec![7; dice.below(40)].into() }
            }
            73..=74 => Input::Transfer { request, to: anyone(dice) },
            75..=79 => {
                let changes = (0..dice.below(4)).map(|_| change(dice)).collect();
                let transition = *dice.pick(&[Transition::Auto, Transition::Auto, Transition::Joint]);
                Input::ChangeMembership { request, changes, transition }
            }
            80 if dice.chance(30) => Input::Leave,
            80..=81 => Input::Known(anyone(dice)),
            82 => Input::Gone(anyone(dice)),
            83..=96 => self.write_ends(dice),
            _ => Input::Persisted(Ticket(dice.near(1))),
        }
    }

    fn write_ends(&mut self, dice: &mut Dice) -> Input {
        match &self.write {
            Some((ticket, _)) if dice.chance(90) => Input::Persisted(*ticket),
            Some((ticket, _)) => Input::PersistFailed(*ticket),
            None => Input::PersistFailed(Ticket(dice.near(1))),
        }
    }

    /// The process ends, and starts with what is durable.
    fn restart(&mut self, dice: &mut Dice) {
        let durable = Durable::from_bytes(&self.durable).unwrap();
        let config = config(dice, durable.id, durable.incarnation);
        self.raft = Raft::restore(config, durable, self.now).unwrap();
        (self.write, self.token) = (None, None);
        self.sent.clear();
        let raft = &self.raft;
        self.grown = (raft.term(), raft.last().position, raft.committed().position, Position::ZERO);
        self.input(Input::Timeout);
    }

    /// The answer to a message that it sent lately, as the receiver may give it.
    fn answer(&self, dice: &mut Dice) -> Option<Message> {
        let question = self.sent.get(dice.below(8))?;
        let granted = dice.chance(90);
        let body = match &question.body {
            Body::PreVote { .. } => Body::PreVoteAnswer { granted, offer: None },
            Body::Vote { .. } => Body::VoteAnswer { granted, offer: None },
            Body::Append { last, record, round, .. } => {
                let matched = if record.is_some() || dice.chance(70) { last.index } else { 0 };
                Body::AppendAnswer { matched, round: *round }
            }
            Body::Propose { request, .. } => Body::ProposeAnswer {
                request: *request,
                result: *dice.pick(&[Ok(7), Err(Refusal::Busy), Err(Refusal::NotLeader(None))]),
            },
            _ => return None,
        };
        let (from, to) = (question.to, question.from);
        let from_incarnation = question.to_incarnation;
        let from_incarnation =
            if from_incarnation == Incarnation::UNKNOWN { INCARNATION } else { from_incarnation };
        let to_incarnation = question.from_incarnation;
        Some(Message { from, to, from_incarnation, to_incarnation, body, ..question.clone() })
    }

    /// A message of any kind that a member may send in a state near that of this one.
    fn message(&mut self, dice: &mut Dice) -> Message {
        let mut message = dice.pick(&self.templates).clone();
        let raft = &self.raft;
        let cluster = match raft.committed().cluster {
            ClusterId::NONE => CLUSTER,
            cluster => cluster,
        };
        message.cluster = *dice.pick(&[cluster, cluster, cluster, cluster, cluster, ClusterId::NONE]);
        message.to = raft.id();
        let members = raft.membership().members();
        let others = members.iter().find(|member| member.profile.id != raft.id());
        message.from = match members {
            members if !members.is_empty() && dice.chance(90) => dice.pick(members).profile.id,
            _ => anyone(dice),
        };
        if message.from == message.to {
            message.from = others.map_or(id("x"), |other| other.profile.id);
        }
        message.from_incarnation = if dice.chance(95) { INCARNATION } else { Incarnation::new(2).unwrap() };
        if raft.id() == message.from {
            message.from = id("y");
        }
        message.to_incarnation = *dice.pick(&[raft.config().incarnation, Incarnation::UNKNOWN]);
        message.term = dice.near(raft.term());
        let (mut last, committed) = (raft.last().position, raft.committed().position);
        if dice.chance(50) {
            last = Position { term: message.term, index: dice.near(last.index) };
        }
        last.term = last.term.min(message.term);
        let offered = self.record(dice, last, message.cluster);
        self.fill(dice, &mut message, last, committed, offered);
        message
    }

    /// Sets the fields of a body.
    fn fill(
        &self,
        dice: &mut Dice,
        message: &mut Message,
        mut last: Position,
        mut committed: Position,
        made: Record,
    ) {
        let term = message.term;
        match &mut message.body {
            Body::PreVote { last: of } => {
                message.term = term.max(1);
                last.term = last.term.min(message.term - 1);
                *of = last;
            }
            Body::Vote { last: of, given_up } => {
                message.term = term.max(1);
                last.term = last.term.min(message.term - 1);
                *of = last;
                *given_up = dice.chance(50).then(|| dice.near(message.term - 1).min(message.term - 1));
            }
            Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
                *granted = dice.chance(70);
                *offer = (!*granted && dice.chance(60)).then_some(made);
                if matches!(message.body, Body::PreVoteAnswer { .. }) && dice.chance(60) {
                    message.term = (self.raft.term() + 1).min(crate::fuzz::LARGEST).max(term);
                }
            }
            Body::Append { last: of, record, committed: known, round, hold_ms } => {
                if dice.chance(30) {
                    committed = last;
                }
                (*of, *known) = (last, committed.min(last));
                *record = dice.chance(60).then_some(made);
                *round = dice.near(3);
                *hold_ms = dice.near(200).min(MAX_HOLD_MS);
            }
            Body::Seek(introduction) | Body::Here(introduction) => {
                if dice.chance(40) {
                    message.cluster = *dice.pick(&[ClusterId::NONE, CLUSTER, ClusterId([3; 16])]);
                }
                let is_blank = message.cluster == ClusterId::NONE;
                let standings = [Standing::Founding, Standing::Bound, Standing::Bound, Standing::Left];
                *introduction = Introduction {
                    standing: if is_blank { Standing::Blank } else { *dice.pick(&standings) },
                    may_found: dice.chance(70),
                    wait: dice.near(self.now.as_nanos() >> 11).min(crate::fuzz::LARGEST),
                    leader: dice.chance(50).then(|| anyone(dice)),
                    known: (0..dice.below(4)).map(|_| anyone(dice)).collect(),
                };
            }
            Body::AppendAnswer { matched, round } => {
                (*matched, *round) = (dice.near(self.raft.last().position.index), 1 + dice.below(8) as u64);
            }
            Body::Propose { request, expected, data } => {
                *request = dice.near(9);
                *expected = dice.chance(30).then(|| dice.near(last.index));
                *data = vec![1; dice.below(40)].into();
            }
            Body::ProposeAnswer { request, result } => {
                *request = dice.near(0);
                *result = *dice.pick(&[Ok(last.index), Err(Refusal::Busy), Err(Refusal::NotLeader(None))]);
            }
            _ => {}
        }
    }

    fn record(&self, dice: &mut Dice, position: Position, cluster: ClusterId) -> Record {
        let mut record = Record { position, cluster, ..self.raft.last().clone() };
        if record.membership.members().is_empty() || dice.chance(20) {
            record.membership = membership(dice).into();
        } else if let Ok(next) = record.membership.apply(&[change(dice)], Transition::Auto) {
            record.membership = if dice.chance(70) { record.membership } else { next.into() };
        }
        record
    }

    fn input(&mut self, input: Input) {
        let what = format!("{input:?}");
        if let Input::Persisted(ticket) | Input::PersistFailed(ticket) = input {
            let ended = self.write.take_if(|(writing, _)| *writing == ticket);
            if let (Some((_, bytes)), Input::Persisted(_)) = (ended, &input) {
                self.durable = bytes;
            }
        }
        self.raft.handle_input(self.now, input);
        self.now = self.now.max(self.raft.now());
        for outputs in 1.. {
            assert!(outputs < MAX_OUTPUTS, "more than {MAX_OUTPUTS} outputs after {what}");
            match self.raft.poll_output() {
                Output::Persist { ticket, bytes } => {
                    assert!(self.write.is_none(), "two writes at a time after {what}");
                    assert_eq!(Durable::from_bytes(&bytes).map(|durable| durable.id), Ok(self.raft.id()));
                    self.write = Some((ticket, bytes));
                }
                Output::Send { to, bytes } => {
                    let message = Message::from_bytes(&bytes).unwrap();
                    assert!(to == message.to && to != self.raft.id(), "{message:?} after {what}");
                    self.keeps_promise(&message, &bytes);
                    self.sent.truncate(15);
                    self.sent.push_front(message);
                }
                Output::Event(event) => self.event(&event),
                Output::WaitUntil(due) => {
                    assert!(due > self.raft.now(), "wants to be woken at {due:?} after {what}");
                    self.due = due;
                    break;
                }
            }
        }
        self.check(&what);
    }

    /// What a message promises is durable, and the member voted for no other candidate in that term.
    fn keeps_promise(&mut self, message: &Message, bytes: &[u8]) {
        let kept = Durable::from_bytes(&self.durable).unwrap();
        check_promise(Some(&kept), bytes, None).unwrap_or_else(|broken| panic!("{broken}"));
        let candidate = match message.body {
            Body::Vote { .. } => (message.from, message.from_incarnation),
            Body::VoteAnswer { granted: true, .. } => (message.to, message.to_incarnation),
            _ => return,
        };
        let vote = (message.term, Some(candidate));
        assert!(message.term > self.voted.0 || self.voted == vote, "{message:?}");
        self.voted = vote;
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Elected { token } => {
                assert!(self.token.is_none() && token.get() > self.newest_token, "{event:?}");
                (self.token, self.newest_token) = (Some(*token), token.get());
            }
            Event::StopNewWork { token } | Event::Renewed { token } => assert_eq!(self.token, Some(*token)),
            Event::Deposed { token, .. } => assert_eq!(self.token.take(), Some(*token)),
            Event::Committed(record) => {
                assert!(record.position > self.grown.3, "{event:?} after {:?}", self.grown.3);
                self.grown.3 = record.position;
            }
            _ => {}
        }
    }

    fn check(&mut self, what: &str) {
        let raft = &self.raft;
        let (term, last, committed) = (raft.term(), raft.last().position, raft.committed().position);
        if raft.committed().cluster != self.cluster {
            // It entered another cluster, or gave up the one that it had.
            self.cluster = raft.committed().cluster;
            self.grown = (self.grown.0, last, committed, self.grown.3);
        }
        if matches!(raft.standing(), Standing::Blank | Standing::Left) {
            self.grown = (self.grown.0, last, committed, Position::ZERO);
        }
        let (old_term, old_last, old_committed, told) = self.grown;
        assert!(
            term >= old_term && last >= old_last && committed >= old_committed,
            "{:?} after {what}",
            self.grown
        );
        assert!(last >= committed && last.term <= term, "{last} {committed} in term {term} after {what}");
        self.grown = (term, last, committed, told);
        let leadership = raft.leadership(self.now);
        assert_eq!(leadership.token, self.token, "after {what}");
        assert_eq!(leadership.is_leader, self.token.is_some(), "after {what}");
        assert!(!leadership.is_leader || raft.role() == Role::Leader, "after {what}");
    }
}

fn change(dice: &mut Dice) -> Change {
    let of = anyone(dice);
    let profile = Profile {
        incarnation: *dice.pick(&[INCARNATION, Incarnation::UNKNOWN]),
        priority: dice.below(3) as u8,
        is_witness: dice.chance(10),
        ..Profile::new(of)
    };
    match dice.below(6) {
        0 => Change::Voter(profile),
        1 => Change::Learner(profile),
        2 => Change::Join(profile),
        3 => Change::Promote(of),
        4 => Change::Demote(of),
        _ => Change::Remove(of),
    }
}
