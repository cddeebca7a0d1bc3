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

/// Reads fields from the input. Beyond its end they are zero and empty.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().map_or(0, |byte| *byte)
    }

    fn flag(&mut self) -> bool {
        self.byte() == 1
    }

    fn number(&mut self) -> u64 {
        self.bytes(8).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn text(&mut self) -> &'a str {
        let length = self.byte();
        core::str::from_utf8(self.bytes(length.into())).unwrap_or_default()
    }

    fn id(&mut self) -> Result<MemberId, String> {
        MemberId::new(self.text()).map_err(|invalid| said(&invalid))
    }

    fn profile(&mut self) -> Result<Profile, String> {
        Ok(Profile {
            id: self.id()?,
            incarnation: Incarnation::new(self.number()).unwrap_or_default(),
            address: self.text().into(),
            priority: self.byte(),
            is_witness: self.flag(),
        })
    }

    /// As many changes as the first byte says.
    fn changes(&mut self) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for _ in 0..self.byte() {
            let kind = self.byte();
            changes.push(match kind {
                0..=2 => {
                    let profile = self.profile()?;
                    [Change::Voter, Change::Learner, Change::Join][usize::from(kind)](profile)
                }
                _ => {
                    let id = self.id()?;
                    [Change::Promote, Change::Demote, Change::Remove][usize::from(kind.clamp(3, 5) - 3)](id)
                }
            });
        }
        Ok(changes)
    }

    fn timing(&mut self) -> Result<ElectionTiming, String> {
        let mut ms = || Duration::from_millis(self.number());
        ElectionTiming::new(ms(), ms(), ms()).map_err(|invalid| said(&invalid))
    }
}

fn said(what: &dyn Display) -> String {
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
    let raft = if fields.0.is_empty() {
        Raft::new(config, now)
    } else {
        let durable = Durable::from_bytes(fields.0).map_err(|invalid| said(&invalid))?;
        Raft::restore(config, durable, now)
    };
    raft.map_err(|refused| said(&refused))
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
        1 => Input::Received(bytes.to_vec()),
        2 => Input::Campaign,
        3 => {
            let expected = fields.flag().then(|| fields.number());
            Input::Propose { request: number, expected, data: fields.0.into() }
        }
        4 => Input::Transfer { request: number, to: fields.id()? },
        5 => {
            let transition = if fields.flag() { Transition::Joint } else { Transition::Auto };
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
            out.extend_from_slice(&bytes);
            3
        }
        Output::Event(event) => put_event(out, event),
    }
}

fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Puts an event's number and bytes, and returns its kind.
fn put_event(out: &mut Vec<u8>, event: Event) -> u32 {
    let mut bytes = Vec::new();
    let (kind, number) = match event {
        Event::Elected { token } => (10, token.get()),
        Event::StopNewWork { token } => (11, token.get()),
        Event::Renewed { token } => (12, token.get()),
        Event::Deposed { token, reason } => {
            bytes = reason.name().into();
            (13, token.get())
        }
        Event::LeaderChanged { leader, term } => {
            bytes = name(&leader);
            (14, term)
        }
        Event::Committed(record) => {
            put_record(&mut bytes, &record);
            (15, record.position.index)
        }
        Event::ChangeRefused { request, refused } => {
            bytes = said(&refused).into();
            (16, request)
        }
        Event::Left => (17, 0),
        Event::StandingChanged { standing, cluster } => {
            bytes = cluster.0.into();
            (18, standing as u64)
        }
        Event::OtherCluster { member, cluster } => {
            bytes = cluster.0.into();
            bytes.extend_from_slice(member.as_bytes());
            (19, 0)
        }
        Event::Answered { request, result } => {
            let (code, number) = match result {
                Ok(index) => (0, index),
                Err(Refusal::NotReady) => (1, 0),
                Err(Refusal::Busy) => (2, 0),
                Err(Refusal::NoQuorum) => (3, 0),
                Err(Refusal::NotVoter) => (4, 0),
                Err(Refusal::TooLarge(limit)) => (5, limit),
                Err(Refusal::IndexMismatch(index)) => (6, index),
                Err(Refusal::Unknown) => (7, 0),
                Err(Refusal::NotLeader(leader)) => {
                    bytes = name(&leader);
                    (8, 0)
                }
            };
            bytes.extend_from_slice(&number.to_le_bytes());
            (20 + code, request)
        }
    };
    put(out, number, &bytes);
    kind
}

fn name(id: &Option<MemberId>) -> Vec<u8> {
    id.as_ref().map_or("", |id| id).into()
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(&record.data);
    for Member { profile, is_voter, is_outgoing, is_learner, is_joining } in record.membership.members() {
        out.extend_from_slice(profile.id.as_bytes());
        put(out, profile.incarnation.get(), profile.address.as_bytes());
        let flags = [profile.is_witness, *is_voter, *is_outgoing, *is_learner, *is_joining].map(u8::from);
        out.push(profile.priority);
        out.extend_from_slice(&flags);
    }
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
    out.extend_from_slice(reason.map_or("", DeposedReason::name).as_bytes());
    token.filter(|_| is_leader).map_or(0, FencingToken::get)
}
