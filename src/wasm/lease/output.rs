//! The outputs of the lease machine as objects. `types.d.ts` declares their types.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::core::FencingToken;
use crate::core::lease::{Event, Leader, Leadership, Op, Output, Phase, Request, Version, Wait};
use crate::wasm::object::{Object, exact, floor};

#[wasm_bindgen]
extern "C" {
    /// `Output` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Output")]
    pub type OutputObject;

    /// `MachineLeadership` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "MachineLeadership")]
    pub type LeadershipObject;

    /// `Leader` in `types.d.ts`, or `undefined`.
    #[wasm_bindgen(typescript_type = "Leader | undefined")]
    pub type LeaderObject;
}

impl Object {
    fn with_token(self, token: FencingToken) -> Object {
        self.with("token", token.get())
    }
}

/// A lease in whole milliseconds, rounded up, because it must not expire in the store before trust ends.
pub(super) fn millis(lease: std::time::Duration) -> f64 {
    lease.as_micros().div_ceil(1_000) as f64
}

pub(super) fn output(output: &Output) -> OutputObject {
    let made = match output {
        Output::Send(request) => sent(request),
        Output::Event(event) => happened(event),
        Output::WaitUntil(Wait { earliest, latest }) => Object::new()
            .with("kind", "wait")
            .with("earliestMs", exact(*earliest))
            .with("latestMs", exact(*latest)),
    };
    made.unchecked_into()
}

fn sent(request: &Request) -> Object {
    let made = Object::new()
        .with("kind", "send")
        .with("id", request.id.0 as f64)
        .with("deadlineMs", floor(request.deadline))
        .with("op", request.op.name());
    match &request.op {
        Op::Look => made,
        Op::Acquire(acquire) => {
            let made = made
                .with("holder", acquire.holder.as_str())
                .with("leaseMs", millis(acquire.lease))
                .with_some("meta", acquire.meta.as_deref());
            match acquire.unchanged {
                None => made.with("condition", "any"),
                Some(Version::Absent) => made.with("condition", "absent"),
                Some(Version::Row { token, expires_at }) => made
                    .with("condition", "same")
                    .with_some("rowToken", token.map(FencingToken::get))
                    .with("rowExpiresUs", expires_at.as_micros()),
            }
        }
        Op::Renew { token, holder, lease } => {
            made.with("holder", holder.as_str()).with_token(*token).with("leaseMs", millis(*lease))
        }
        Op::Release { token, holder } => made.with("holder", holder.as_str()).with_token(*token),
    }
}

fn happened(event: &Event) -> Object {
    let named = |name: &str| Object::new().with("kind", "event").with("event", name);
    match event {
        Event::Elected { token } => named("elected").with_token(*token),
        Event::Renewed { token } => named("renewed").with_token(*token),
        Event::AtRisk { token } => named("atRisk").with_token(*token),
        Event::StopNewWork { token } => named("stopNewWork").with_token(*token),
        Event::Deposed { token, reason } => named("deposed").with_token(*token).with("reason", reason.name()),
        Event::LeaderChanged { leader: changed } => {
            named("leaderChanged").with_some("leader", changed.as_ref().map(described))
        }
        Event::StoreClockStepped { by_us } => named("storeClockStepped").with("byUs", *by_us),
        Event::TimelineChanged => named("timelineChanged"),
        Event::PoisonedRow { remaining_ms } => named("poisonedRow").with("remainingMs", *remaining_ms as f64),
    }
}

fn described(leader: &Leader) -> Object {
    Object::new()
        .with("candidate", leader.id.candidate())
        .with("id", leader.id.as_str())
        .with_some("token", leader.token.map(FencingToken::get))
        .with_some("meta", leader.meta.as_deref())
}

pub(super) fn leader(leader: Option<&Leader>) -> LeaderObject {
    leader.map_or(JsValue::UNDEFINED, |leader| described(leader).into()).unchecked_into()
}

pub(super) fn leadership(answer: &Leadership) -> LeadershipObject {
    let phase = match answer.phase {
        Phase::Standby => "standby",
        Phase::Candidate => "candidate",
        Phase::Leader => "leader",
        Phase::Draining => "draining",
    };
    let made = Object::new()
        .with("isLeader", answer.is_leader)
        .with("phase", phase)
        .with_some("token", answer.token.map(FencingToken::get))
        .with("trustedUntilMs", floor(answer.trusted_until))
        .with("workUntilMs", floor(answer.work_until))
        .with_some("reason", answer.reason.map(|reason| reason.name()));
    made.unchecked_into()
}
