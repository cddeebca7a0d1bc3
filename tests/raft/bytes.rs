//! The bytes of messages and of durable state, against the vectors of `tests/testdata/raft/bytes.jsonl`.
//!
//! A vector is a line: what it shows, the bytes, and the message, the durable state or the error that they
//! are. `UPDATE=1 cargo test --test raft bytes` writes the file anew. After a release its lines may only
//! grow: members of different versions work together.

use std::collections::HashSet;
use std::sync::Arc;

use elector::core::raft::{
    Body, Bound, ClusterId, Durable, DurableState, Incarnation, Introduction, KnownIds, MAX_KNOWN, Member,
    MemberId, Membership, Message, Position, Profile, Record, Refusal, Standing,
};
use serde_json::{Value, json};
use xxhash_rust::xxh64::xxh64;

use crate::json;

fn id(id: &str) -> MemberId {
    MemberId::new(id).unwrap()
}

fn incarnation(number: u64) -> Incarnation {
    Incarnation::new(number).unwrap()
}

const CLUSTER: ClusterId = ClusterId(*b"0123456789abcdef");
const LARGEST: u64 = (1 << 53) - 1;

fn members() -> Arc<Membership> {
    let member = |name, number, parts: [bool; 3]| Member {
        profile: Profile {
            id: id(name),
            incarnation: Incarnation::new(number).unwrap_or_default(),
            address: format!("http://{name}.example:7000").into(),
            priority: number as u8,
            is_witness: name == "c",
        },
        is_voter: parts[0],
        is_outgoing: parts[1],
        is_learner: parts[2],
        is_joining: false,
    };
    let members = vec![
        member("a", 1, [true, true, false]),
        member("b", 200, [false, true, true]),
        member("c", 3, [true, false, false]),
        member("d", 0, [false, false, true]),
    ];
    Arc::new(Membership::new(members).unwrap())
}

fn record(term: u64, index: u64, data: &str) -> Record {
    let position = Position { term, index };
    Record { position, cluster: CLUSTER, membership: members(), data: data.as_bytes().into() }
}

/// A message in term 128, and what it shows.
fn message(body: Body, what: &'static str) -> (Message, &'static str) {
    let message = Message {
        cluster: CLUSTER,
        from: id("a"),
        from_incarnation: incarnation(LARGEST),
        to: id("zürich-2"),
        to_incarnation: incarnation(127),
        term: 128,
        body,
    };
    (message, what)
}

/// One message of each type at least, and what it shows.
pub fn messages() -> Vec<(Message, &'static str)> {
    let mut messages = between_members();
    messages.extend(outside_a_cluster());
    messages.extend(proposals());
    messages
}

/// Elections and records.
fn between_members() -> Vec<(Message, &'static str)> {
    let last = Position { term: 127, index: LARGEST };
    let offer = Some(record(127, 300, "offered"));
    let append = |record, round| Body::Append {
        last: Position { term: 128, index: 301 },
        record,
        committed: Position { term: 128, index: 300 },
        round,
        hold_ms: 200,
    };
    vec![
        message(Body::PreVote { last }, "a candidate asks whether it would be voted for"),
        message(Body::PreVoteAnswer { granted: true, offer: None }, "a vote would be granted"),
        message(Body::PreVoteAnswer { granted: false, offer: offer.clone() }, "a witness offers its record"),
        message(Body::Vote { last, given_up: None }, "a candidate asks for a vote"),
        message(
            Body::Vote { last, given_up: Some(127) },
            "a candidate that the leader chose asks for a vote",
        ),
        message(Body::VoteAnswer { granted: true, offer: None }, "a vote is granted"),
        message(
            Body::VoteAnswer { granted: false, offer },
            "a witness refuses its vote and offers its record",
        ),
        message(append(None, 9), "a heartbeat"),
        message(append(Some(record(128, 301, "grüezi")), 0), "a record that asks for no answer"),
        message(Body::AppendAnswer { matched: 301, round: 9 }, "a member keeps the record"),
        message(Body::TimeoutNow, "the leader hands leadership over"),
    ]
}

/// Founding, joining and leaving.
fn outside_a_cluster() -> Vec<(Message, &'static str)> {
    let introduction = |standing, leader| Introduction {
        standing,
        may_found: standing == Standing::Blank,
        wait: 0x1234_5678_9ABC,
        leader,
        known: [id("a"), id(&"x".repeat(64))].into_iter().collect(),
    };
    let mut blank =
        message(Body::Seek(introduction(Standing::Blank, None)), "a member of no cluster seeks others");
    (blank.0.cluster, blank.0.to_incarnation, blank.0.term) = (ClusterId::NONE, Incarnation::UNKNOWN, 0);
    vec![
        blank,
        message(Body::Here(introduction(Standing::Bound, Some(id("b")))), "a member of a cluster answers"),
        message(Body::Here(introduction(Standing::Founding, None)), "a founder answers"),
        message(Body::Here(introduction(Standing::Left, None)), "a member that left answers"),
        message(
            Body::Join { address: "b:7".into(), priority: 255, is_witness: true, known: KnownIds::default() },
            "a witness asks to be admitted",
        ),
        message(Body::Leave, "a member asks to be removed"),
        message(
            Body::Propose { request: 5, expected: Some(0), data: (*b"{}").into() },
            "a forwarded proposal",
        ),
    ]
}

fn proposals() -> Vec<(Message, &'static str)> {
    let result = |result| Body::ProposeAnswer { request: 5, result };
    vec![
        message(Body::Propose { request: 6, expected: None, data: [].into() }, "a forwarded empty proposal"),
        message(result(Ok(301)), "a proposal is committed"),
        message(result(Err(Refusal::NotLeader(Some(id("b"))))), "a proposal reached another than the leader"),
        message(result(Err(Refusal::NotLeader(None))), "a proposal reached a member that knows no leader"),
        message(result(Err(Refusal::NotReady)), "the leader is not ready"),
        message(result(Err(Refusal::Busy)), "another change is in progress"),
        message(result(Err(Refusal::TooLarge(65_536))), "a proposal is too large"),
        message(result(Err(Refusal::IndexMismatch(300))), "a proposal expected another record"),
        message(result(Err(Refusal::NotVoter)), "the member to hand leadership to may not lead"),
        message(result(Err(Refusal::NoQuorum)), "no quorum of the voters after a change answered lately"),
        message(result(Err(Refusal::Unknown)), "it is not known whether a proposal takes effect"),
    ]
}

/// Durable state of each kind, and what it shows.
pub fn durables() -> Vec<(Durable, &'static str)> {
    let durable = |state, what| (Durable { id: id("a"), incarnation: incarnation(77), state }, what);
    let bound = |vote, uncommitted| Bound {
        term: 128,
        vote,
        hold_ms: 150,
        is_established: true,
        known: KnownIds::default(),
        committed: record(127, 299, "committed"),
        uncommitted,
    };
    let founder =
        Bound { is_established: false, known: [id("b")].into_iter().collect(), ..bound(None, None) };
    vec![
        durable(
            DurableState::Blank { known: KnownIds::default(), heard: None, term: 0 },
            "a member that knows nobody",
        ),
        durable(
            DurableState::Blank {
                known: [id("b"), id("c")].into_iter().collect(),
                heard: Some((id("c"), CLUSTER)),
                term: 9,
            },
            "a member that heard of a cluster",
        ),
        durable(DurableState::Bound(bound(None, None)), "a member without a vote in its term"),
        durable(DurableState::Bound(founder), "a founder whose cluster is not established"),
        durable(
            DurableState::Bound(bound(Some((id("b"), incarnation(200))), Some(record(128, 300, "tail")))),
            "a member with a vote and a newer record",
        ),
        durable(
            DurableState::Left { cluster: CLUSTER, term: 130, membership: members() },
            "a member that left its cluster",
        ),
    ]
}

/// Bytes with the checksum that belongs to them.
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = xxh64(&bytes, 0);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Bytes without their checksum.
pub fn open(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 8].to_vec()
}

/// The bytes as a newer minor version may write them: with fields that this version does not know.
fn newer(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = open(bytes);
    bytes[3] += 1;
    bytes.extend_from_slice(b"\x03new");
    seal(bytes)
}

/// Bytes that this version refuses, and what they show.
fn refused() -> Vec<(Vec<u8>, &'static str)> {
    let (bytes, next) = (messages()[3].0.to_bytes(), durables()[3].0.to_bytes());
    let with = |bytes: &[u8], at: usize, byte: u8| {
        let mut bytes = open(bytes);
        bytes[at] = byte;
        seal(bytes)
    };
    let more = |bytes: &[u8]| seal([&open(bytes)[..], b"more"].concat());
    let mut damaged = bytes.clone();
    damaged[30] ^= 0x20;
    vec![
        (with(&bytes, 4, 14), "a message of a kind that this version does not know"),
        (with(&next, 4, 68), "durable state of a kind that this version does not know"),
        (with(&bytes, 2, 2), "a message of the next major version"),
        (with(&bytes, 0, b'P'), "bytes of another program"),
        (damaged, "a damaged message"),
        (bytes[..bytes.len() - 1].to_vec(), "a message without its last byte"),
        (next[..next.len() / 2].to_vec(), "half of a file"),
        (vec![], "an empty file"),
        (more(&bytes), "a message with fields that its version does not have"),
    ]
}

fn vectors() -> Vec<Value> {
    let hex = |bytes: &[u8]| json::hex(bytes);
    let mut lines = Vec::new();
    for (message, what) in messages() {
        let (bytes, message) = (message.to_bytes(), json::message_json(&message));
        lines.push(json!({ "what": what, "bytes": hex(&bytes), "message": message }));
        let what = format!("{what}, in a newer version");
        lines.push(json!({ "what": what, "bytes": hex(&newer(&bytes)), "message": message }));
    }
    for (durable, what) in durables() {
        let (bytes, durable) = (durable.to_bytes(), json::durable_json(&durable));
        lines.push(json!({ "what": what, "bytes": hex(&bytes), "durable": durable }));
        let what = format!("{what}, from a newer version");
        lines.push(json!({ "what": what, "bytes": hex(&newer(&bytes)), "durable": durable }));
    }
    for (bytes, what) in refused() {
        let error = match bytes.get(4) {
            Some(65..) => Durable::from_bytes(&bytes).unwrap_err(),
            _ => Message::from_bytes(&bytes).unwrap_err(),
        };
        lines.push(json!({ "what": what, "bytes": hex(&bytes), "error": error.to_string() }));
    }
    lines
}

#[test]
fn every_vector_of_the_file_is_read_and_written_as_it_stands() {
    let path = "tests/testdata/raft/bytes.jsonl";
    if std::env::var_os("UPDATE").is_some() {
        let lines: String = vectors().iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(path, lines).unwrap();
    }
    let file = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, vectors(), "run it with UPDATE=1 and read the difference");
    for line in &lines {
        let bytes = line["bytes"].as_str().unwrap();
        let what = line["what"].as_str().unwrap();
        let decoded = crate::answer(json!({ "op": "decode", "bytes": bytes }).to_string().as_bytes());
        for kind in ["message", "durable", "error"] {
            assert_eq!(decoded.get(kind), line.get(kind), "{what}");
        }
        if line.get("error").is_none() && !what.contains("newer version") {
            let mut question = line.clone();
            question["op"] = "encode".into();
            let encoded = crate::answer(question.to_string().as_bytes());
            assert_eq!(encoded, json!({ "bytes": bytes }), "{what}");
        }
    }
}

#[test]
fn the_checksum_is_xxh64() {
    // Lengths from 24 bytes on reach every branch: stripes of 32 bytes, words of 8 and of 4, single bytes.
    // The unit tests of the checksum have the shortest.
    for length in 0..=MAX_KNOWN {
        let known = (0..length).map(|number| id(&format!("{number}")));
        let state = DurableState::Blank { known: known.collect(), heard: None, term: 0 };
        let bytes =
            Durable { id: id(&"x".repeat(length.max(1))), incarnation: incarnation(1), state }.to_bytes();
        assert_eq!(bytes, seal(open(&bytes)), "{length}");
    }
}

#[test]
fn messages_and_states_are_told_apart_in_sets() {
    let messages: HashSet<Message> =
        messages().into_iter().chain(messages()).map(|(message, _)| message).collect();
    assert_eq!(messages.len(), self::messages().len());
    let durables: HashSet<Durable> =
        durables().into_iter().chain(durables()).map(|(durable, _)| durable).collect();
    assert_eq!(durables.len(), self::durables().len());
    assert_eq!(format!("{:?}", Position { term: 4, index: 9 }), "4.9");
}
