//! Bytes that are damaged, cut off or made to hurt: refused, without a panic.

use std::sync::Arc;

use elector::core::raft::{
    Body, Durable, DurableState, InvalidBytes, MAX_BYTES, MAX_DATA_BYTES, MAX_MEMBERS, MemberId, Membership,
    Message,
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

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    assert_eq!(Message::from_bytes(&vec![0; MAX_BYTES + 1]), Err(InvalidBytes::TooLong(MAX_BYTES + 1)));
    let with = |data: usize, known: usize| {
        let (mut message, _) = messages().swap_remove(0);
        message.body = Body::Propose { request: 1, expected: None, data: vec![7; data].into() };
        let proposal = Message::from_bytes(&message.to_bytes()).map(drop);
        let known = vec![message.from; known];
        message.body = Body::Join { address: "".into(), priority: 0, is_witness: false, known };
        (proposal, Message::from_bytes(&message.to_bytes()).map(drop))
    };
    assert_eq!(with(MAX_DATA_BYTES, MAX_MEMBERS), (Ok(()), Ok(())));
    let refused = (Err(InvalidBytes::Field("data")), Err(InvalidBytes::Field("known")));
    assert_eq!(with(MAX_DATA_BYTES + 1, MAX_MEMBERS + 1), refused);
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
    assert_eq!(
        refusal(b"ER\x02\x00\x01 and more than a checksum"),
        "the bytes have format version 2; this program reads version 1: update the older program"
    );
    assert_eq!(
        refusal(b"ER\x01\x00\x01 and more than a checksum"),
        "the checksum differs: the bytes were damaged, or not all of them are there"
    );
    assert_eq!(refusal(b"E"), refusal(b"ER\x01\x00\x01 and more than a checksum"));
    assert_eq!(refusal(&seal(b"ER\x01\x00\x0e".to_vec())), "kind 14 is not known to this version");
    assert_eq!(refusal(&seal(b"ER\x01\x00\x01".to_vec())), "the field `cluster` has an invalid value");
}
