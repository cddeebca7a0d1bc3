//! What the Raft machine gives to JavaScript, as objects. `types.d.ts` declares their types.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::core::raft::{
    ClusterId, Event, Leadership, Member, MemberId, Message, Output, Record, Refusal, Refused, Standing,
};
use crate::core::{FencingToken, Instant};
use crate::wasm::object::{Object, exact, floor};

#[wasm_bindgen]
extern "C" {
    /// `RaftOutput` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "RaftOutput")]
    pub type RaftOutputObject;

    /// `RaftLeadership` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "RaftLeadership")]
    pub type RaftLeadershipObject;

    /// `RaftMember` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "RaftMember")]
    pub type RaftMemberObject;

    /// `RaftRefused` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "RaftRefused")]
    pub type RaftRefusedObject;
}

pub(super) fn output(output: Output) -> RaftOutputObject {
    let named = |kind: &str| Object::new().with("kind", kind);
    let made = match output {
        // A number costs least, and this output comes after each input.
        Output::WaitUntil(due) => return JsValue::from(exact(due)).unchecked_into(),
        Output::Persist { ticket, bytes } => {
            named("persist").with("ticket", ticket.0 as f64).with("bytes", bytes)
        }
        Output::Send { to, bytes } => {
            let made = named("send").with("to", to.as_str());
            // Always `Ok`: the machine wrote these bytes.
            match Message::from_bytes(&bytes) {
                Ok(message) => described(made, &message).with("bytes", bytes),
                Err(_) => made.with("bytes", bytes),
            }
        }
        Output::Event(event) => happened(event),
    };
    made.unchecked_into()
}

/// What a transport shows of a message.
fn described(made: Object, message: &Message) -> Object {
    made.with("type", message.body.name())
        .with("term", message.term as f64)
        .with_some("cluster", named(message.cluster))
}

fn happened(event: Event) -> Object {
    let named = |name: &str| Object::new().with("kind", "event").with("event", name);
    match event {
        Event::Elected { token } => named("elected").with("token", number(token)),
        Event::StopNewWork { token } => named("stopNewWork").with("token", number(token)),
        Event::Renewed { token } => named("renewed").with("token", number(token)),
        Event::Deposed { token, reason } => {
            named("deposed").with("token", number(token)).with("reason", reason.name())
        }
        Event::LeaderChanged { leader, term } => named("leaderChanged")
            .with_some("leader", leader.as_ref().map(MemberId::as_str))
            .with("term", term as f64),
        Event::Committed(record) => committed(named("committed"), &record),
        Event::ChangeRefused { request, refused } => {
            named("changeRefused").with("request", request as f64).with("why", refused.to_string())
        }
        Event::Left => named("left"),
        Event::StandingChanged { standing: new, cluster } => named("standingChanged")
            .with("standing", standing(new))
            .with_some("cluster", self::named(cluster)),
        Event::OtherCluster { member, cluster } => {
            named("otherCluster").with("member", member.as_str()).with_some("cluster", self::named(cluster))
        }
        Event::Answered { request, result } => {
            let made = named("answered").with("request", request as f64);
            match result {
                Ok(index) => made.with("index", index as f64),
                Err(refusal) => refused(made, refusal),
            }
        }
    }
}

fn refused(made: Object, refusal: Refusal) -> Object {
    let (name, number) = match refusal {
        Refusal::NotLeader(leader) => {
            return made
                .with("refusal", "notLeader")
                .with_some("leader", leader.as_ref().map(MemberId::as_str));
        }
        Refusal::NotReady => ("notReady", None),
        Refusal::Busy => ("busy", None),
        Refusal::NoQuorum => ("noQuorum", None),
        Refusal::NotVoter => ("notVoter", None),
        Refusal::TooLarge(most) => ("tooLarge", Some(most)),
        Refusal::IndexMismatch(index) => ("indexMismatch", Some(index)),
        Refusal::Unknown => ("unknown", None),
    };
    made.with("refusal", name).with_some("number", number.map(|number| number as f64))
}

fn committed(made: Object, record: &Record) -> Object {
    let members: Vec<RaftMemberObject> = record.membership.members().iter().map(member).collect();
    made.with("term", record.position.term as f64)
        .with("index", record.position.index as f64)
        .with("members", members)
        .with("data", record.data.to_vec())
}

pub(super) fn member(member: &Member) -> RaftMemberObject {
    let made = Object::new()
        .with("id", member.profile.id.as_str())
        .with("incarnation", member.profile.incarnation.get() as f64)
        .with("priority", f64::from(member.profile.priority))
        .with("isVoter", member.votes())
        .with("isWitness", member.profile.is_witness);
    made.unchecked_into()
}

/// A cluster's id in hexadecimal digits.
pub(super) fn named(cluster: ClusterId) -> Option<String> {
    (cluster != ClusterId::NONE).then(|| cluster.to_string())
}

fn number(token: FencingToken) -> f64 {
    token.get() as f64
}

pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Blank => "blank",
        Standing::Founding => "founding",
        Standing::Bound => "bound",
        Standing::Left => "left",
    }
}

pub(super) fn leadership(answer: &Leadership) -> RaftLeadershipObject {
    // The only voter of a cluster is trusted without end.
    let endless = answer.trusted_until == Instant::MAX;
    let made = Object::new()
        .with_some("token", answer.token.map(number))
        .with("trustedUntilMs", if endless { f64::INFINITY } else { floor(answer.trusted_until) });
    made.unchecked_into()
}

pub(super) fn refused_messages(refused: Refused) -> RaftRefusedObject {
    let made = Object::new()
        .with("invalid", refused.invalid as f64)
        .with("cluster", refused.cluster as f64)
        .with("address", refused.address as f64)
        .with("protocol", refused.protocol as f64);
    made.unchecked_into()
}
