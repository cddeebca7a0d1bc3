//! Answers one line of `conform`.

use std::collections::BTreeMap;

use elector::core::raft::{
    Change, Durable, Member, MemberId, Membership, Message, Profile, Transition, VoteResult,
};
use serde_json::{Value, json};

use crate::json::{self, Problem, field, ids, ids_json, text};
use crate::members::Members;

/// The lines of one run: members that were made stay.
#[derive(Default)]
pub struct Session(Members);

impl Session {
    /// The answer to a line of input, as `conform.md` describes it. A line that cannot be answered gets
    /// `{"error": …}`.
    pub fn answer(&mut self, line: &[u8]) -> Value {
        let request = serde_json::from_slice(line).map_err(|error| format!("the line is not JSON: {error}"));
        request
            .and_then(|request| self.execute(&request))
            .unwrap_or_else(|problem| json!({ "error": problem }))
    }

    fn execute(&mut self, request: &Value) -> Result<Value, Problem> {
        match text(request, "op")? {
            "vote" => vote(request),
            "commit" => commit(request),
            "change" => change(request),
            "encode" => encode(request),
            "decode" => decode(request),
            op => self.0.execute(op, request),
        }
    }
}

/// The membership with these lists of ids. With no ids at all it is the one without members, which never has
/// a quorum.
pub fn membership(
    voters: &[MemberId],
    outgoing: &[MemberId],
    learners: &[MemberId],
) -> Result<Membership, Problem> {
    if voters.is_empty() && outgoing.is_empty() && learners.is_empty() {
        return Ok(Membership::default());
    }
    let mut members: BTreeMap<MemberId, Member> = BTreeMap::new();
    let mut list = |ids: &[MemberId], set: fn(&mut Member)| {
        for id in ids {
            set(members.entry(*id).or_insert_with(|| Member {
                profile: Profile::new(*id),
                is_voter: false,
                is_outgoing: false,
                is_learner: false,
                is_joining: false,
            }));
        }
    };
    list(voters, |member| member.is_voter = true);
    list(outgoing, |member| member.is_outgoing = true);
    list(learners, |member| member.is_learner = true);
    Membership::new(members.into_values().collect()).map_err(|invalid| invalid.to_string())
}

/// The membership of two halves, which may be exchanged: one alone is the configuration.
fn halves(request: &Value) -> Result<Membership, Problem> {
    let (incoming, outgoing) = (ids(request, "incoming")?, ids(request, "outgoing")?);
    if incoming.is_empty() { membership(&outgoing, &[], &[]) } else { membership(&incoming, &outgoing, &[]) }
}

/// The entries of an object by member id.
fn by_id<T>(
    request: &Value,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
    wanted: &str,
) -> Result<BTreeMap<MemberId, T>, Problem> {
    let object = field(request, name)?;
    let object =
        object.as_object().ok_or_else(|| format!("the field `{name}` is {object}; give an object"))?;
    let entry = |(id, found): (&String, &Value)| {
        let id = json::id(name, &id.as_str().into())?;
        let value = read(found).ok_or_else(|| format!("`{name}` of {id} is {found}; give {wanted}"))?;
        Ok((id, value))
    };
    object.iter().map(entry).collect()
}

fn vote(request: &Value) -> Result<Value, Problem> {
    let membership = halves(request)?;
    let votes = by_id(request, "votes", Value::as_bool, "true or false")?;
    let vote = |place: usize| votes.get(&membership.members()[place].profile.id).copied();
    let result = match membership.vote_result(vote) {
        VoteResult::Won => "won",
        VoteResult::Lost => "lost",
        VoteResult::Pending => "pending",
    };
    Ok(json!({ "result": result }))
}

fn commit(request: &Value) -> Result<Value, Problem> {
    let membership = halves(request)?;
    let index = |found: &Value| found.as_u64().filter(|index| *index < 1 << 53);
    let acked = by_id(request, "acked", index, "an index, below 2^53")?;
    let index = |place: usize| acked.get(&membership.members()[place].profile.id).copied().unwrap_or(0);
    Ok(json!({ "index": membership.quorum_value(index) }))
}

fn change(request: &Value) -> Result<Value, Problem> {
    let (voters, outgoing) = (ids(request, "voters")?, ids(request, "outgoing")?);
    let before = membership(&voters, &outgoing, &ids(request, "learners")?)?;
    let joint = text(request, "joint")?;
    let transition = match joint {
        "auto" => Transition::Auto,
        "explicit" | "implicit" => Transition::Joint,
        other => return Err(format!("`joint` is {other:?}; give \"auto\", \"explicit\" or \"implicit\"")),
    };
    let changes: Result<Vec<Change>, Problem> =
        json::list(request, "changes")?.iter().map(one_change).collect();
    let changes = changes?;
    let leaves = changes.is_empty() && (before.is_joint() || transition == Transition::Auto);
    let after = if leaves { before.leave_joint() } else { before.apply(&changes, transition) };
    let after = after.map_err(|refused| refused.to_string())?;
    let with = |has: fn(&Member) -> bool| -> Value {
        let members = after.members().iter().filter(|member| has(member));
        ids_json(&members.map(|member| member.profile.id).collect::<Vec<MemberId>>())
    };
    Ok(json!({
        "voters": with(|member| member.is_voter),
        "outgoing": with(|member| member.is_outgoing),
        "learners": with(|member| member.is_learner),
    }))
}

fn one_change(found: &Value) -> Result<Change, Problem> {
    let wanted = || {
        format!(
            r#"the change {found} is not known; give {{"add": ID}}, {{"learner": ID}} or {{"remove": ID}}"#
        )
    };
    let object = found.as_object().filter(|object| object.len() == 1).ok_or_else(wanted)?;
    let (kind, id) = object.iter().next().ok_or_else(wanted)?;
    let id = json::id(kind, id)?;
    match kind.as_str() {
        "add" => Ok(Change::Voter(Profile::new(id))),
        "learner" => Ok(Change::Learner(Profile::new(id))),
        "remove" => Ok(Change::Remove(id)),
        _ => Err(wanted()),
    }
}

fn encode(request: &Value) -> Result<Value, Problem> {
    let bytes = match request.get("durable") {
        Some(durable) => json::durable(durable)?.to_bytes(),
        None => json::message(field(request, "message")?)?.to_bytes(),
    };
    Ok(json!({ "bytes": json::hex(&bytes) }))
}

fn decode(request: &Value) -> Result<Value, Problem> {
    let bytes = json::bytes(text(request, "bytes")?)?;
    // Kinds from 65 on are durable state.
    if bytes.get(4).is_some_and(|kind| *kind > 64) {
        let durable = Durable::from_bytes(&bytes).map_err(|invalid| invalid.to_string())?;
        return Ok(json!({ "durable": json::durable_json(&durable) }));
    }
    let message = Message::from_bytes(&bytes).map_err(|invalid| invalid.to_string())?;
    Ok(json!({ "message": json::message_json(&message) }))
}
