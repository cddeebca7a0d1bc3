//! A host of the Raft core inside WebAssembly, with plain numbers and bytes. It gives every input and takes
//! every output and every text of a refusal, so that this module has the size of the whole machine.
//!
//! Bytes go in through the buffer of `room`, and come out at `output`. A field of bytes is its length, one
//! byte, and its bytes.

#![no_std]
extern crate alloc;

mod small;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Display;
use core::time::Duration;

use elector::core::lease::DeposedReason;
use elector::core::raft::{
    Change, Config, Durable, ElectionTiming, Event, Incarnation, Input, Leadership, Member, MemberId,
    Membership, Output, Profile, Raft, Record, Refusal, Refused, Ticket, Transition,
};
use elector::core::{FencingToken, Instant};

/// A member and the buffers that its host reads and writes.
#[derive(Default)]
pub struct Host {
    raft: Option<Raft>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// A new host.
#[unsafe(no_mangle)]
pub extern "C" fn host() -> Box<Host> {
    Box::default()
}

/// Makes room for this many bytes of input, and says where.
#[unsafe(no_mangle)]
pub extern "C" fn room(host: &mut Host, length: usize) -> *mut u8 {
    host.input.resize(length, 0);
    host.input.as_mut_ptr()
}

/// Where the bytes of the latest output are.
#[unsafe(no_mangle)]
pub extern "C" fn output(host: &Host) -> *const u8 {
    host.output.as_ptr()
}

/// How many bytes the latest output has.
#[unsafe(no_mangle)]
pub extern "C" fn output_length(host: &Host) -> usize {
    host.output.len()
}

/// Reads fields from the input.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }

    fn id(&mut self) -> Result<MemberId, String> {
        MemberId::new(self.text().unwrap_or_default()).map_err(said)
    }

    fn profile(&mut self) -> Result<Profile, String> {
        Ok(Profile {
            id: self.id()?,
            incarnation: self.number().and_then(Incarnation::new).unwrap_or_default(),
            address: self.text().unwrap_or_default().into(),
            priority: self.byte().unwrap_or_default(),
            is_witness: self.byte() == Some(1),
        })
    }

    /// As many changes as the first byte says.
    fn changes(&mut self) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for _ in 0..self.byte().unwrap_or_default() {
            changes.push(match self.byte() {
                Some(0) => Change::Voter(self.profile()?),
                Some(1) => Change::Learner(self.profile()?),
                Some(2) => Change::Join(self.profile()?),
                Some(3) => Change::Promote(self.id()?),
                Some(4) => Change::Demote(self.id()?),
                _ => Change::Remove(self.id()?),
            });
        }
        Ok(changes)
    }

    fn timing(&mut self) -> Result<ElectionTiming, String> {
        let mut ms = || Duration::from_millis(self.number().unwrap_or_default());
        ElectionTiming::new(ms(), ms(), ms()).map_err(said)
    }
}

fn said(what: impl Display) -> String {
    what.to_string()
}

/// Starts the member with the profile, the times, the founding list and then the durable state that the input
/// holds, or without any. The list is the changes that make it; without any there is no list. Returns 1 if it
/// started, else 0 and the refusal's text.
#[unsafe(no_mangle)]
pub extern "C" fn start(host: &mut Host, seed: u64, now: u64) -> u32 {
    match make(&host.input, seed, now) {
        Ok(raft) => {
            host.raft = Some(raft);
            1
        }
        Err(text) => {
            host.output = text.into();
            0
        }
    }
}

fn make(input: &[u8], seed: u64, now: u64) -> Result<Raft, String> {
    let mut fields = Fields(input);
    let profile = fields.profile()?;
    let timing = fields.timing()?;
    let mut config = Config::new(profile.id, profile.incarnation, seed);
    config.address = profile.address;
    (config.priority, config.is_witness, config.timing) = (profile.priority, profile.is_witness, timing);
    config.founding = Membership::default().apply(&fields.changes()?, Transition::Auto).ok();
    let now = Instant::from_nanos(now);
    if fields.0.is_empty() {
        return Raft::new(config, now).map_err(said);
    }
    Raft::restore(config, Durable::from_bytes(fields.0).map_err(said)?, now).map_err(said)
}

/// Gives the member an input of this kind, with this number and the bytes of the input. Returns 1, or 0 and
/// the text of what is wrong with the bytes.
#[unsafe(no_mangle)]
pub extern "C" fn handle(host: &mut Host, now: u64, kind: u32, number: u64) -> u32 {
    match (&mut host.raft, parse(&host.input, kind, number)) {
        (Some(raft), Ok(input)) => raft.handle_input(Instant::from_nanos(now), input),
        (None, _) => return 0,
        (_, Err(text)) => {
            host.output = text.into();
            return 0;
        }
    }
    1
}

fn parse(bytes: &[u8], kind: u32, number: u64) -> Result<Input, String> {
    let mut fields = Fields(bytes);
    Ok(match kind {
        0 => Input::Timeout,
        1 => Input::Received(bytes.into()),
        2 => Input::Campaign,
        3 => {
            let expected = (fields.byte() == Some(1)).then(|| fields.number()).flatten();
            Input::Propose { request: number, expected, data: fields.0.into() }
        }
        4 => Input::Transfer { request: number, to: fields.id()? },
        5 => {
            let is_joint = fields.byte() == Some(1);
            let transition = if is_joint { Transition::Joint } else { Transition::Auto };
            Input::ChangeMembership { request: number, changes: fields.changes()?, transition }
        }
        6 => Input::Leave,
        9 => Input::Known(fields.id()?),
        10 => Input::Gone(fields.id()?),
        7 => Input::Persisted(Ticket(number)),
        _ => Input::PersistFailed(Ticket(number)),
    })
}

/// The next output: returns its kind, and its number and bytes lie at `output`.
#[unsafe(no_mangle)]
pub extern "C" fn poll(host: &mut Host) -> u32 {
    let Some(raft) = &mut host.raft else { return 0 };
    let out = &mut host.output;
    out.clear();
    match raft.poll_output() {
        Output::WaitUntil(due) => {
            put(out, due.as_nanos(), &[]);
            1
        }
        Output::Persist { ticket, bytes } => {
            put(out, ticket.0, &bytes);
            2
        }
        Output::Send { to, bytes } => {
            put(out, to.len() as u64, to.as_bytes());
            out.extend(bytes);
            3
        }
        Output::Event(event) => {
            let (kind, number, bytes) = parts(event);
            put(out, number, &bytes);
            kind
        }
    }
}

fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    out.extend(number.to_le_bytes());
    out.extend(bytes);
}

/// An event's kind, number and bytes.
fn parts(event: Event) -> (u32, u64, Vec<u8>) {
    let id = |id: Option<MemberId>| id.map_or(Vec::new(), |id| id.as_bytes().to_vec());
    match event {
        Event::Elected { token } => (10, token.get(), vec![]),
        Event::StopNewWork { token } => (11, token.get(), vec![]),
        Event::Renewed { token } => (12, token.get(), vec![]),
        Event::Deposed { token, reason } => (13, token.get(), reason.name().into()),
        Event::LeaderChanged { leader, term } => (14, term, id(leader)),
        Event::Committed(record) => (15, record.position.index, bytes_of(&record)),
        Event::ChangeRefused { request, refused } => (16, request, said(refused).into()),
        Event::Left => (17, 0, vec![]),
        Event::StandingChanged { standing, cluster } => (18, standing as u64, cluster.0.into()),
        Event::OtherCluster { member, cluster } => {
            let mut bytes = cluster.0.to_vec();
            bytes.extend(member.bytes());
            (19, 0, bytes)
        }
        Event::Answered { request, result } => {
            let (code, number) = match result {
                Ok(index) => (0, index),
                Err(Refusal::NotLeader(leader)) => return (20, request, id(leader)),
                Err(Refusal::NotReady) => (1, 0),
                Err(Refusal::Busy) => (2, 0),
                Err(Refusal::NoQuorum) => (3, 0),
                Err(Refusal::NotVoter) => (4, 0),
                Err(Refusal::TooLarge(limit)) => (5, limit),
                Err(Refusal::IndexMismatch(index)) => (6, index),
                Err(Refusal::Unknown) => (7, 0),
            };
            (21 + code, request, number.to_le_bytes().to_vec())
        }
    }
}

fn bytes_of(record: &Record) -> Vec<u8> {
    let mut out = record.data.to_vec();
    for Member { profile, is_voter, is_outgoing, is_learner, is_joining } in record.membership.members() {
        out.extend(profile.id.bytes());
        put(&mut out, profile.incarnation.get(), profile.address.as_bytes());
        out.push(profile.priority);
        let flags = [profile.is_witness, *is_voter, *is_outgoing, *is_learner, *is_joining];
        out.extend(flags.map(u8::from));
    }
    out
}

/// The token with which the member leads, 0 if it does not. The ends of trust and of work, the role, why the
/// latest term ended, the terms, and how many messages were refused lie at `output`.
#[unsafe(no_mangle)]
pub extern "C" fn leadership(host: &mut Host, now: u64) -> u64 {
    let Some(raft) = &host.raft else { return 0 };
    let Leadership { is_leader, role, token, trusted_until, work_until, reason } =
        raft.leadership(Instant::from_nanos(now));
    let Refused { invalid, cluster, address, protocol } = raft.refused();
    let out = &mut host.output;
    out.clear();
    let numbers = [
        trusted_until.as_nanos(),
        work_until.as_nanos(),
        role as u64,
        raft.term(),
        raft.last().position.index,
        raft.committed().position.index,
        [invalid, cluster, address, protocol].iter().sum(),
    ];
    numbers.iter().for_each(|number| put(out, *number, &[]));
    out.extend(reason.map_or("", DeposedReason::name).as_bytes());
    token.filter(|_| is_leader).map_or(0, FencingToken::get)
}
