//! Messages, records and durable state as JSON, as `conform.md` describes them.

use std::sync::Arc;

use elector::core::raft::{
    Body, Bound, ClusterId, Durable, DurableState, Incarnation, Introduction, KnownIds, Member, MemberId,
    Membership, Message, Position, Profile, Record, Refusal, Standing,
};
use serde_json::{Map, Value, json};

/// An error in a line: which field, what was found, what is wanted.
pub type Problem = String;

/// A field of an object.
pub fn field<'a>(object: &'a Value, name: &str) -> Result<&'a Value, Problem> {
    object.get(name).ok_or_else(|| format!("the field `{name}` is missing"))
}

/// What a field that may be absent or null holds.
fn optional<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn wanted(name: &str, found: &Value, wanted: &str) -> Problem {
    format!("the field `{name}` is {found}; give {wanted}")
}

pub fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, Problem> {
    let found = field(object, name)?;
    found.as_str().ok_or_else(|| wanted(name, found, "a string"))
}

pub fn number(object: &Value, name: &str) -> Result<u64, Problem> {
    let found = field(object, name)?;
    let number = found.as_u64().filter(|number| *number < 1 << 53);
    number.ok_or_else(|| wanted(name, found, "a whole number from 0 to 2^53 - 1"))
}

fn small(object: &Value, name: &str) -> Result<u8, Problem> {
    let found = number(object, name)?;
    found.try_into().map_err(|_| wanted(name, &found.into(), "a whole number from 0 to 255"))
}

pub fn flag(object: &Value, name: &str) -> Result<bool, Problem> {
    let found = field(object, name)?;
    found.as_bool().ok_or_else(|| wanted(name, found, "true or false"))
}

pub fn list<'a>(object: &'a Value, name: &str) -> Result<&'a [Value], Problem> {
    let found = field(object, name)?;
    found.as_array().map(Vec::as_slice).ok_or_else(|| wanted(name, found, "a list"))
}

/// A member id.
pub fn id(name: &str, found: &Value) -> Result<MemberId, Problem> {
    let text = found.as_str().ok_or_else(|| wanted(name, found, "an id, which is a string"))?;
    MemberId::new(text).map_err(|invalid| format!("the field `{name}`: {invalid}"))
}

fn known(object: &Value) -> Result<KnownIds, Problem> {
    Ok(ids(object, "known")?.into_iter().collect())
}

/// A list of member ids.
pub fn ids(object: &Value, name: &str) -> Result<Vec<MemberId>, Problem> {
    list(object, name)?.iter().map(|found| id(name, found)).collect()
}

fn incarnation(object: &Value, name: &str) -> Result<Incarnation, Problem> {
    Ok(Incarnation::new(number(object, name)?).unwrap_or_default())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub fn bytes(digits: &str) -> Result<Vec<u8>, Problem> {
    let pair =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let is_hex = digits.len() % 2 == 0 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    bytes
        .filter(|_| is_hex)
        .ok_or_else(|| format!("{digits:?} is not a sequence of pairs of hexadecimal digits"))
}

fn cluster(object: &Value, name: &str) -> Result<ClusterId, Problem> {
    let digits = text(object, name)?;
    let bytes = bytes(digits)?.try_into();
    bytes.map(ClusterId).map_err(|_| format!("the field `{name}` is {digits:?}; give 32 digits"))
}

pub fn position(object: &Value, name: &str) -> Result<Position, Problem> {
    let found = field(object, name)?;
    Ok(Position { term: number(found, "term")?, index: number(found, "index")? })
}

pub fn position_json(position: Position) -> Value {
    json!({ "term": position.term, "index": position.index })
}

fn member(found: &Value) -> Result<Member, Problem> {
    let parts = list(found, "parts")?;
    let has = |part: &str| parts.iter().any(|found| found == part);
    if let Some(other) = parts
        .iter()
        .find(|part| !["voter", "outgoing", "learner", "joining"].iter().any(|known| *part == known))
    {
        return Err(wanted("parts", other, r#""voter", "outgoing" or "learner""#));
    }
    Ok(Member {
        profile: Profile {
            id: id("id", field(found, "id")?)?,
            incarnation: incarnation(found, "incarnation")?,
            address: text(found, "address")?.into(),
            priority: small(found, "priority")?,
            is_witness: flag(found, "witness")?,
        },
        is_voter: has("voter"),
        is_outgoing: has("outgoing"),
        is_learner: has("learner"),
        is_joining: has("joining"),
    })
}

fn member_json(member: &Member) -> Value {
    let parts = [
        (member.is_voter, "voter"),
        (member.is_outgoing, "outgoing"),
        (member.is_learner, "learner"),
        (member.is_joining, "joining"),
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|(has, _)| *has).map(|(_, part)| part).collect();
    json!({
        "id": &*member.profile.id,
        "incarnation": member.profile.incarnation.get(),
        "address": &*member.profile.address,
        "priority": member.profile.priority,
        "witness": member.profile.is_witness,
        "parts": parts,
    })
}

fn membership(object: &Value) -> Result<Membership, Problem> {
    let members: Result<Vec<Member>, Problem> = list(object, "members")?.iter().map(member).collect();
    Membership::new(members?).map_err(|invalid| invalid.to_string())
}

fn membership_json(membership: &Membership) -> Value {
    membership.members().iter().map(member_json).collect()
}

fn record(found: &Value) -> Result<Record, Problem> {
    Ok(Record {
        position: Position { term: number(found, "term")?, index: number(found, "index")? },
        cluster: cluster(found, "cluster")?,
        membership: Arc::new(membership(found)?),
        data: text(found, "data")?.as_bytes().into(),
    })
}

fn record_json(record: &Record) -> Value {
    json!({
        "term": record.position.term,
        "index": record.position.index,
        "cluster": record.cluster.to_string(),
        "members": membership_json(&record.membership),
        "data": String::from_utf8_lossy(&record.data),
    })
}

const STANDINGS: [(Standing, &str); 4] = [
    (Standing::Blank, "blank"),
    (Standing::Founding, "founding"),
    (Standing::Bound, "bound"),
    (Standing::Left, "left"),
];

fn introduction(found: &Value) -> Result<Introduction, Problem> {
    let name = text(found, "standing")?;
    let standing = STANDINGS.iter().find(|(_, standing)| *standing == name);
    Ok(Introduction {
        standing: standing
            .ok_or_else(|| wanted("standing", &name.into(), r#""blank", "founding", "bound" or "left""#))?
            .0,
        may_found: flag(found, "may_found")?,
        wait: number(found, "wait")?,
        leader: optional(found, "leader").map(|found| id("leader", found)).transpose()?,
        known: known(found)?,
    })
}

pub fn standing_json(standing: Standing) -> Value {
    STANDINGS.iter().find(|(known, _)| *known == standing).map(|(_, name)| *name).into()
}

fn introduction_json(introduction: &Introduction) -> Value {
    json!({
        "standing": standing_json(introduction.standing),
        "may_found": introduction.may_found,
        "wait": introduction.wait,
        "leader": introduction.leader.as_deref(),
        "known": ids_json(introduction.known.ids()),
    })
}

pub fn ids_json(ids: &[MemberId]) -> Value {
    ids.iter().map(|id| id.as_str()).collect()
}

fn result(found: &Value) -> Result<Result<u64, Refusal>, Problem> {
    if found.get("index").is_some() {
        return Ok(Ok(number(found, "index")?));
    }
    Ok(Err(match text(found, "refused")? {
        "not_leader" => {
            Refusal::NotLeader(optional(found, "leader").map(|found| id("leader", found)).transpose()?)
        }
        "not_ready" => Refusal::NotReady,
        "busy" => Refusal::Busy,
        "too_large" => Refusal::TooLarge(number(found, "limit")?),
        "index_mismatch" => Refusal::IndexMismatch(number(found, "found")?),
        "unknown" => Refusal::Unknown,
        "not_voter" => Refusal::NotVoter,
        "no_quorum" => Refusal::NoQuorum,
        other => return Err(format!("the refusal {other:?} is not known")),
    }))
}

pub fn result_json(result: &Result<u64, Refusal>) -> Value {
    match result {
        Ok(index) => json!({ "index": index }),
        Err(Refusal::NotLeader(leader)) => json!({ "refused": "not_leader", "leader": leader.as_deref() }),
        Err(Refusal::NotReady) => json!({ "refused": "not_ready" }),
        Err(Refusal::Busy) => json!({ "refused": "busy" }),
        Err(Refusal::TooLarge(limit)) => json!({ "refused": "too_large", "limit": limit }),
        Err(Refusal::IndexMismatch(found)) => json!({ "refused": "index_mismatch", "found": found }),
        Err(Refusal::NoQuorum) => json!({ "refused": "no_quorum" }),
        Err(Refusal::NotVoter) => json!({ "refused": "not_voter" }),
        Err(Refusal::Unknown) => json!({ "refused": "unknown" }),
    }
}

fn body(found: &Value) -> Result<Body, Problem> {
    let offer = || optional(found, "offer").map(record).transpose();
    Ok(match text(found, "type")? {
        "pre_vote" => Body::PreVote { last: position(found, "last")? },
        "pre_vote_answer" => Body::PreVoteAnswer { granted: flag(found, "granted")?, offer: offer()? },
        "vote" => Body::Vote {
            last: position(found, "last")?,
            given_up: match optional(found, "given_up") {
                Some(_) => Some(number(found, "given_up")?),
                None => None,
            },
        },
        "vote_answer" => Body::VoteAnswer { granted: flag(found, "granted")?, offer: offer()? },
        "append" => Body::Append {
            last: position(found, "last")?,
            record: optional(found, "record").map(record).transpose()?,
            committed: position(found, "committed")?,
            round: number(found, "round")?,
            hold_ms: number(found, "hold_ms")?,
        },
        "append_answer" => {
            Body::AppendAnswer { matched: number(found, "matched")?, round: number(found, "round")? }
        }
        "timeout_now" => Body::TimeoutNow,
        "seek" => Body::Seek(introduction(found)?),
        "here" => Body::Here(introduction(found)?),
        "join" => Body::Join {
            address: text(found, "address")?.into(),
            priority: small(found, "priority")?,
            is_witness: flag(found, "witness")?,
            known: known(found)?,
        },
        "leave" => Body::Leave,
        "propose" => Body::Propose {
            request: number(found, "request")?,
            expected: optional(found, "expected").map(|_| number(found, "expected")).transpose()?,
            data: text(found, "data")?.as_bytes().into(),
        },
        "propose_answer" => Body::ProposeAnswer {
            request: number(found, "request")?,
            result: result(field(found, "result")?)?,
        },
        other => return Err(format!("the message type {other:?} is not known")),
    })
}

fn body_json(body: &Body) -> Value {
    match body {
        Body::PreVote { last } => json!({ "last": position_json(*last) }),
        Body::PreVoteAnswer { granted, offer } | Body::VoteAnswer { granted, offer } => {
            json!({ "granted": granted, "offer": offer.as_ref().map(record_json) })
        }
        Body::Vote { last, given_up } => json!({ "last": position_json(*last), "given_up": given_up }),
        Body::Append { last, record, committed, round, hold_ms } => json!({
            "last": position_json(*last),
            "record": record.as_ref().map(record_json),
            "committed": position_json(*committed),
            "round": round,
            "hold_ms": hold_ms,
        }),
        Body::AppendAnswer { matched, round } => json!({ "matched": matched, "round": round }),
        Body::TimeoutNow | Body::Leave => json!({}),
        Body::Seek(introduction) | Body::Here(introduction) => introduction_json(introduction),
        Body::Join { address, priority, is_witness, known } => json!({
            "address": address, "priority": priority, "witness": is_witness, "known": ids_json(known.ids()),
        }),
        Body::Propose { request, expected, data } => json!({
            "request": request, "expected": expected, "data": String::from_utf8_lossy(data),
        }),
        Body::ProposeAnswer { request, result } => {
            json!({ "request": request, "result": result_json(result) })
        }
    }
}

/// The message that an object describes.
pub fn message(found: &Value) -> Result<Message, Problem> {
    Ok(Message {
        cluster: cluster(found, "cluster")?,
        from: id("from", field(found, "from")?)?,
        from_incarnation: incarnation(found, "from_incarnation")?,
        to: id("to", field(found, "to")?)?,
        to_incarnation: incarnation(found, "to_incarnation")?,
        term: number(found, "term")?,
        body: body(found)?,
    })
}

/// A message as an object.
pub fn message_json(message: &Message) -> Value {
    let mut object = json!({
        "type": message.body.name(),
        "cluster": message.cluster.to_string(),
        "from": &*message.from,
        "from_incarnation": message.from_incarnation.get(),
        "to": &*message.to,
        "to_incarnation": message.to_incarnation.get(),
        "term": message.term,
    });
    if let (Value::Object(object), Value::Object(body)) = (&mut object, body_json(&message.body)) {
        object.extend(body);
    }
    object
}

/// The durable state that an object describes.
pub fn durable(found: &Value) -> Result<Durable, Problem> {
    let state = match text(found, "state")? {
        "blank" => DurableState::Blank {
            known: known(found)?,
            heard: optional(found, "heard")
                .map(|found| Ok::<_, Problem>((id("by", field(found, "by")?)?, cluster(found, "cluster")?)))
                .transpose()?,
            term: number(found, "term")?,
        },
        "bound" => DurableState::Bound(Bound {
            term: number(found, "term")?,
            vote: optional(found, "vote")
                .map(|found| {
                    Ok::<_, Problem>((id("id", field(found, "id")?)?, incarnation(found, "incarnation")?))
                })
                .transpose()?,
            hold_ms: number(found, "hold_ms")?,
            is_established: flag(found, "is_established")?,
            known: known(found)?,
            committed: record(field(found, "committed")?)?,
            uncommitted: optional(found, "uncommitted").map(record).transpose()?,
        }),
        "left" => DurableState::Left {
            cluster: cluster(found, "cluster")?,
            term: number(found, "term")?,
            membership: Arc::new(membership(found)?),
        },
        other => return Err(format!("the state {other:?} is not known")),
    };
    let incarnation = incarnation(found, "incarnation")?;
    Ok(Durable { id: id("id", field(found, "id")?)?, incarnation, state })
}

/// Durable state as an object.
pub fn durable_json(durable: &Durable) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), durable.id.as_str().into());
    object.insert("incarnation".into(), durable.incarnation.get().into());
    let state = match &durable.state {
        DurableState::Blank { known, heard, term } => json!({
            "state": "blank",
            "known": ids_json(known.ids()),
            "heard": heard.map(|(by, cluster)| json!({ "by": &*by, "cluster": cluster.to_string() })),
            "term": term,
        }),
        DurableState::Bound(bound) => json!({
            "state": "bound",
            "term": bound.term,
            "vote": bound.vote.map(|(id, number)| json!({ "id": &*id, "incarnation": number.get() })),
            "hold_ms": bound.hold_ms,
            "is_established": bound.is_established,
            "known": ids_json(bound.known.ids()),
            "committed": record_json(&bound.committed),
            "uncommitted": bound.uncommitted.as_ref().map(record_json),
        }),
        DurableState::Left { cluster, term, membership } => json!({
            "state": "left",
            "cluster": cluster.to_string(),
            "term": term,
            "members": membership_json(membership),
        }),
    };
    if let Value::Object(state) = state {
        object.extend(state);
    }
    object.into()
}
