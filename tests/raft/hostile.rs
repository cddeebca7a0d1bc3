//! Damaged, truncated and hostile bytes: refused, without a panic.

use std::sync::Arc;

use elector::core::raft::{
    Durable, DurableState, InvalidBytes, MAX_BYTES, MAX_DATA_BYTES, MAX_KNOWN, MAX_MEMBERS, MemberId,
    Membership, Message,
};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

use crate::bytes::{durables, messages, open, seal};

/// The bytes of every vector, messages first.
fn all() -> Vec<Vec<u8>> {
    let messages = messages().into_iter().map(|(message, _)| message.to_bytes());
    messages.chain(durables().into_iter().map(|(durable, _)| durable.to_bytes())).collect()
}

/// Reads bytes in both ways. What is read must be written and read again without a difference.
fn read(bytes: &[u8]) -> Result<(), InvalidBytes> {
    let message = Message::from_bytes(bytes);
    if let Ok(message) = &message {
        assert_eq!(Message::from_bytes(&message.to_bytes()).as_ref(), Ok(message));
    }
    let durable = Durable::from_bytes(bytes);
    if let Ok(durable) = &durable {
        assert_eq!(Durable::from_bytes(&durable.to_bytes()).as_ref(), Ok(durable));
    }
    assert!(message.is_err() || durable.is_err(), "a message is no durable state");
    message.map(drop).or(durable.map(drop))
}

#[test]
fn every_flipped_bit_and_every_missing_end_is_found() {
    for bytes in all() {
        assert_eq!(read(&bytes), Ok(()));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn fields_with_any_values_are_read_or_refused_without_a_panic() {
    let mut random = Pcg32::seed_from_u64(11);
    let all = all();
    let mut accepted = 0;
    for round in 0..40_000 {
        let mut bytes = open(&all[round % all.len()]);
        for _ in 0..=random.next_u32() % 3 {
            let at = random.next_u32() as usize % bytes.len();
            match random.next_u32() % 4 {
                0 => bytes[at] = random.next_u32() as u8,
                1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.next_u32() as usize % 5],
                2 => bytes.truncate(at.max(5)),
                _ => bytes.insert(at, random.next_u32() as u8),
            }
        }
        accepted += u32::from(read(&seal(bytes)).is_ok());
    }
    assert!(accepted > 1_000, "changed fields reach the values too, not only the refusals: {accepted}");
}

#[test]
fn numbers_are_below_two_to_the_53_and_as_short_as_can_be() {
    let (mut message, _) = messages().swap_remove(10);
    message.term = 0;
    let bytes = open(&message.to_bytes());
    let with_term = |term: &[u8]| Message::from_bytes(&seal([&bytes[..bytes.len() - 1], term].concat()));
    assert_eq!(with_term(&[0x7F]).unwrap().term, 127);
    let largest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    assert_eq!(with_term(&largest).unwrap().term, (1 << 53) - 1);
    let refused = Err(InvalidBytes::Field("term"));
    let too_large = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    for term in [&too_large[..], &[0x80, 0x00], &[0xFF; 10], &[0x80], &[]] {
        assert_eq!(with_term(term), refused, "{term:x?}");
    }
}

/// A number as LEB128.
fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&leb(text.len() as u64)[..], text.as_bytes()].concat()
}

/// Bytes of the version that is written, with these fields.
fn raw(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    seal([&b"ER\x01\x00"[..], &[kind], &fields.concat()].concat())
}

const CLUSTER: [u8; 16] = *b"0123456789abcdef";

/// A message from a to b in term 5, with these fields of its body.
fn message(kind: u8, body: &[&[u8]]) -> Result<(), InvalidBytes> {
    let head = [&CLUSTER[..], &text("a"), &[1], &text("b"), &[1], &[5]].concat();
    Message::from_bytes(&raw(kind, &[&[&head[..]], body].concat())).map(drop)
}

/// A record with one voter, at a position, of a cluster.
fn record(term: u8, index: u8, cluster: [u8; 16]) -> Vec<u8> {
    [&[term, index][..], &cluster, &[1], &member("a", 1), &text("data")].concat()
}

fn member(id: &str, parts: u8) -> Vec<u8> {
    [&text(id)[..], &[1], &text("address"), &[0, 0, parts]].concat()
}

/// Durable state in term 5 with a committed and an uncommitted record.
fn bound(committed: &[u8], uncommitted: &[u8]) -> Result<(), InvalidBytes> {
    let bytes = raw(66, &[&text("a"), &[1, 5, 0, 0, 1, 0], committed, &[1], uncommitted]);
    Durable::from_bytes(&bytes).map(drop)
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    assert_eq!(Message::from_bytes(&vec![0; MAX_BYTES + 1]), Err(InvalidBytes::TooLong(MAX_BYTES + 1)));
    let data = |length: usize| message(12, &[&[1, 0], &leb(length as u64), &vec![7; length]]);
    assert_eq!(data(MAX_DATA_BYTES), Ok(()));
    assert_eq!(data(MAX_DATA_BYTES + 1), Err(InvalidBytes::Field("data")));
    let known = |count: usize| {
        let ids: Vec<u8> = (0..count).flat_map(|number| text(&format!("{number:03}"))).collect();
        message(10, &[&text("x"), &[0, 0], &leb(count as u64), &ids])
    };
    assert_eq!(known(MAX_KNOWN), Ok(()));
    assert_eq!(known(MAX_KNOWN + 1), Err(InvalidBytes::Field("known")));
    let address = |length: usize| message(10, &[&text(&"x".repeat(length)), &[0, 0, 0]]);
    assert_eq!(address(255), Ok(()));
    assert_eq!(address(256), Err(InvalidBytes::Field("address")));
    let members = |count: usize| {
        let members: Vec<u8> = (0..count).flat_map(|number| member(&format!("{number:03}"), 1)).collect();
        let record = [&[4, 3][..], &CLUSTER, &leb(count as u64), &members, &[0]].concat();
        message(4, &[&[0, 1], &record])
    };
    assert_eq!(members(MAX_MEMBERS), Ok(()));
    assert_eq!(members(MAX_MEMBERS + 1), Err(InvalidBytes::Field("membership")));
}

#[test]
fn a_field_that_holds_another_than_its_values_is_refused() {
    let refused = |field| Err(InvalidBytes::Field(field));
    assert_eq!(message(3, &[&[4, 3, 1, 4]]), Ok(()));
    assert_eq!(message(3, &[&[4, 3, 2]]), refused("given_up"), "a flag is 0 or 1");
    assert_eq!(message(3, &[&[4, 3, 1, 4, 0]]), Err(InvalidBytes::Trailing));
    let standing = |standing: u8| message(8, &[&[standing, 0, 0, 0, 0]]);
    assert_eq!((standing(3), standing(4)), (Ok(()), refused("standing")));
    let result = |code: u8| message(13, &[&[1, code]]);
    assert_eq!((result(8), result(9)), (Ok(()), refused("result")));
    let hold = |hold_ms| message(5, &[&[5, 3, 0, 5, 2, 1], &leb(hold_ms)]);
    assert_eq!((hold(60_000), hold(60_001)), (Ok(()), refused("hold_ms")));
    let offer = |members: &[Vec<u8>]| {
        let record = [&[4, 3][..], &CLUSTER, &[members.len() as u8], &members.concat(), &[0]].concat();
        message(4, &[&[0, 1], &record])
    };
    assert_eq!(offer(&[member("a", 1), member("b", 6)]), Ok(()));
    assert_eq!(offer(&[member("a", 16)]), refused("part"));
    assert_eq!(offer(&[member("a", 1), member("b", 12)]), Ok(()));
    assert_eq!(offer(&[member("b", 1), member("a", 1)]), refused("member"), "they are sorted");
    assert_eq!(offer(&[member("a", 1), member("a", 1)]), refused("member"));
    let known = |ids: &[&str]| {
        let ids: Vec<Vec<u8>> = ids.iter().map(|id| text(id)).collect();
        message(10, &[&text("x"), &[0, 0, ids.len() as u8], &ids.concat()])
    };
    assert_eq!((known(&["a", "b"]), known(&["b", "a"])), (Ok(()), refused("known")));
}

#[test]
fn parts_of_a_message_that_contradict_each_other_are_refused() {
    let refused = |kind| Err(InvalidBytes::Field(kind));
    let from = |from: &str, incarnation: u8| {
        let fields = [&CLUSTER[..], &text(from), &[incarnation], &text("b"), &[1, 5]].concat();
        Message::from_bytes(&raw(7, &[&fields])).map(drop)
    };
    assert_eq!(from("a", 1), Ok(()));
    assert_eq!(from("b", 1), refused("timeout_now"), "to itself");
    assert_eq!(from("a", 0), refused("timeout_now"), "from no incarnation");
    let (own, other) = (record(5, 3, CLUSTER), record(5, 3, [7; 16]));
    let append = |last: [u8; 2], record: &[u8], committed: [u8; 2]| {
        message(5, &[&last, &[1], record, &committed, &[1, 0]])
    };
    assert_eq!(append([5, 3], &own, [5, 3]), Ok(()));
    assert_eq!(append([5, 4], &own, [5, 3]), refused("append"), "another record than the last");
    assert_eq!(append([5, 3], &own, [5, 4]), refused("append"), "committed after the last");
    assert_eq!(append([5, 3], &other, [5, 3]), refused("append"), "a record of another cluster");
    assert_eq!(append([6, 3], &record(6, 3, CLUSTER), [5, 3]), refused("append"), "of a later term");
    assert_eq!(message(1, &[&[4, 3]]), Ok(()));
    assert_eq!(message(1, &[&[5, 3]]), refused("pre_vote"), "a record of the term that it would stand in");
    assert_eq!(message(4, &[&[0, 1], &own]), Ok(()));
    assert_eq!(message(4, &[&[1, 1], &own]), refused("vote_answer"), "granted, and a newer record");
}

#[test]
fn durable_state_that_contradicts_itself_is_refused() {
    let committed = record(4, 3, CLUSTER);
    let refused = |field| Err(InvalidBytes::Field(field));
    assert_eq!(bound(&committed, &record(5, 4, CLUSTER)), Ok(()));
    assert_eq!(bound(&committed, &record(4, 4, CLUSTER)), Ok(()));
    assert_eq!(bound(&committed, &record(5, 3, CLUSTER)), refused("uncommitted"), "no larger index");
    assert_eq!(bound(&committed, &record(3, 4, CLUSTER)), refused("uncommitted"), "an earlier term");
    assert_eq!(bound(&committed, &record(6, 4, CLUSTER)), refused("uncommitted"), "later than its own term");
    assert_eq!(bound(&committed, &record(5, 4, [7; 16])), refused("uncommitted"), "of another cluster");
    assert_eq!(bound(&record(6, 3, CLUSTER), &record(6, 4, CLUSTER)), refused("committed"));
    let blank =
        |incarnation: u8| Durable::from_bytes(&raw(65, &[&text("a"), &[incarnation, 0, 0, 0]])).map(drop);
    assert_eq!((blank(1), blank(0)), (Ok(()), refused("incarnation")));
}

#[test]
fn the_largest_state_of_a_member_can_be_read_again() {
    let (mut durable, _) = durables().swap_remove(3);
    let DurableState::Bound(bound) = &mut durable.state else { panic!("the fourth is bound") };
    let mut members = bound.committed.membership.members()[..1].to_vec();
    for number in 0..MAX_MEMBERS - 1 {
        let mut member = members[0].clone();
        member.profile.id = MemberId::new(&format!("{number:x>64}")).unwrap();
        member.profile.address = "y".repeat(255).into();
        members.push(member);
    }
    let membership = Arc::new(Membership::new(members).unwrap());
    for record in [Some(&mut bound.committed), bound.uncommitted.as_mut()].into_iter().flatten() {
        record.data = vec![9; MAX_DATA_BYTES].into();
        record.membership = membership.clone();
    }
    let bytes = durable.to_bytes();
    assert!(bytes.len() <= MAX_BYTES, "{} bytes", bytes.len());
    assert_eq!(Durable::from_bytes(&bytes), Ok(durable));
}

#[test]
fn a_refusal_says_what_was_found() {
    let refusal = |bytes: &[u8]| Message::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(refusal(b"GET / HTTP/1.1"), "the bytes do not begin as those of Elector's Raft do");
    let version =
        |found| format!("the bytes have format version {found}; this program reads version 1: update ");
    assert_eq!(refusal(&seal(b"ER\x02\x00\x01".to_vec())), version(2) + "this program");
    assert_eq!(refusal(&seal(b"ER\x00\x00\x01".to_vec())), version(0) + "the sender");
    let damaged = "the checksum differs: the bytes are damaged or truncated";
    assert_eq!(refusal(b"ER\x01\x00\x01 and more than a checksum"), damaged);
    assert_eq!(refusal(b"E"), damaged);
    assert_eq!(refusal(&seal(b"ER\x01\x00".to_vec())), damaged, "it ends before the kind");
    assert_eq!(refusal(&seal(b"ER\x01\x00\x01".to_vec())), "the field `cluster` is invalid or cut off");
    for kind in [0, 14, 65] {
        let message = message(kind, &[]).unwrap_err();
        assert_eq!(message.to_string(), format!("kind {kind} is not known here"));
    }
    assert_eq!(message(11, &[b"more"]).unwrap_err().to_string(), "there are bytes after the last field");
    assert_eq!(refusal(b"GET"), "the bytes do not begin as those of Elector's Raft do");
    let long = format!("there are {} bytes; at most {MAX_BYTES} are allowed", MAX_BYTES + 1);
    assert_eq!(refusal(&vec![0; MAX_BYTES + 1]), long);
    let nameless = raw(7, &[&[&CLUSTER[..], &text("")].concat()]);
    assert_eq!(refusal(&nameless), "the member id is empty; give it 1 to 64 bytes");
    let durable = Durable::from_bytes(&raw(3, &[])).unwrap_err();
    assert_eq!(durable, InvalidBytes::UnknownKind(3), "a message is no durable state");
}
