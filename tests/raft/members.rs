//! The operations of `conform` on members: a cluster that is driven line by line.

use std::time::Duration;

use elector::core::raft::{
    Config, ElectionTiming, Event, Input, Member, MemberId, Membership, Message, Position, Protection, Raft,
    Role,
};
use serde_json::{Value, json};

use crate::answer::membership;
use crate::cluster::{Cluster, INCARNATION, Start};
use crate::json::{self, Problem, field, flag, ids, message_json, number, text};

/// The members that were made so far.
pub struct Members {
    cluster: Cluster,
    /// The member that the line before was about.
    latest: Option<MemberId>,
    requests: u64,
}

impl Default for Members {
    fn default() -> Members {
        Members { cluster: Cluster::new(), latest: None, requests: 0 }
    }
}

impl Members {
    pub fn execute(&mut self, op: &str, request: &Value) -> Result<Value, Problem> {
        let sent = match op {
            "member" => self.make(request)?,
            "campaign" => self.input(request, Input::Campaign)?,
            "tick" => self.tick(request)?,
            "deliver" => self.deliver(request)?,
            "propose" => self.propose(request)?,
            "transfer" => {
                let to = json::id("to", field(request, "to")?)?;
                self.requests += 1;
                let number = self.requests;
                self.input(request, Input::Transfer { request: number, to })?
            }
            "persisted" => {
                let id = self.member(request)?;
                self.cluster.persisted(id)
            }
            "stabilize" => {
                self.cluster.stabilize();
                vec![]
            }
            "state" => vec![],
            "leave" => self.input(request, Input::Leave)?,
            "known" => {
                let known = json::id("known", field(request, "known")?)?;
                self.input(request, Input::Known(known))?
            }
            "gone" => {
                let gone = json::id("gone", field(request, "gone")?)?;
                self.input(request, Input::Gone(gone))?
            }
            other => return Err(format!("the op {other:?} is not known; conform.md lists them")),
        };
        self.state(request, &sent)
    }

    /// The member that a line is about: the one it names, else the one of the line before.
    fn member(&mut self, request: &Value) -> Result<MemberId, Problem> {
        let named = match request.get("id") {
            Some(named) => json::id("id", named)?,
            None => self.latest.ok_or("no member was made yet; make one with the op \"member\"")?,
        };
        if !self.cluster.nodes.contains_key(&named) {
            return Err(format!("no member {named} was made; make it with the op \"member\""));
        }
        self.latest = Some(named);
        Ok(named)
    }

    fn make(&mut self, request: &Value) -> Result<Vec<Message>, Problem> {
        let id = json::id("id", field(request, "id")?)?;
        self.latest = Some(id);
        if request.get("voters").is_none() {
            let mut config = Config::new(id, INCARNATION, optional(request, "seed", number)?.unwrap_or(7));
            config.timing = timing(request)?;
            self.cluster.add_blank(config);
            return Ok(vec![]);
        }
        let witnesses = optional_ids(request, "witnesses")?;
        let lists =
            (ids(request, "voters")?, optional_ids(request, "outgoing")?, optional_ids(request, "learners")?);
        let listed = membership(&lists.0, &lists.1, &lists.2)?;
        let with_witnesses = listed.members().iter().cloned().map(|mut member| {
            member.profile.is_witness = witnesses.contains(&member.profile.id);
            member.profile.incarnation = INCARNATION;
            member
        });
        let listed = Membership::new(with_witnesses.collect()).map_err(|invalid| invalid.to_string())?;
        let mut start = Start::new(id, listed);
        start.config.is_witness = witnesses.contains(&id);
        start.config.seed = optional(request, "seed", number)?.unwrap_or(7);
        start.config.timing = timing(request)?;
        if optional(request, "pre_vote", flag)? == Some(false) {
            start.config = start.config.without(Protection::PreVote);
        }
        if optional(request, "withhold", flag)? == Some(false) {
            start.config = start.config.without(Protection::Withholding);
        }
        start.last = optional(request, "last", json::position)?.unwrap_or(Position::ZERO);
        start.committed = optional(request, "committed", json::position)?.unwrap_or(start.last);
        start.term = optional(request, "term", number)?.unwrap_or(start.last.term);
        start.vote = request
            .get("vote")
            .filter(|vote| !vote.is_null())
            .map(|vote| json::id("vote", vote))
            .transpose()?;
        let keeps_writes = optional(request, "keep_writes", flag)?.unwrap_or(false);
        // As when a member reads its durable state.
        let durable = start.durable().map_err(|invalid| invalid.to_string())?;
        self.cluster.add(start.config, durable);
        if let Some(node) = self.cluster.nodes.get_mut(&id) {
            node.keeps_writes = keeps_writes;
        }
        Ok(vec![])
    }

    fn input(&mut self, request: &Value, input: Input) -> Result<Vec<Message>, Problem> {
        let id = self.member(request)?;
        Ok(self.cluster.input(id, input))
    }

    fn tick(&mut self, request: &Value) -> Result<Vec<Message>, Problem> {
        let id = self.member(request)?;
        let ms = number(request, "ms")?;
        self.cluster.now = self.cluster.now.saturating_add(Duration::from_millis(ms));
        Ok(self.cluster.input(id, Input::Timeout))
    }

    fn deliver(&mut self, request: &Value) -> Result<Vec<Message>, Problem> {
        let message = json::message(field(request, "message")?)?;
        if !self.cluster.nodes.contains_key(&message.to) {
            return Err(format!("no member {} was made; make it with the op \"member\"", message.to));
        }
        self.latest = Some(message.to);
        Ok(self.cluster.deliver(&message))
    }

    fn propose(&mut self, request: &Value) -> Result<Vec<Message>, Problem> {
        let data = text(request, "data")?.as_bytes().into();
        let expected = optional(request, "expected", number)?;
        self.requests += 1;
        let request_number = self.requests;
        self.input(request, Input::Propose { request: request_number, expected, data })
    }

    fn state(&mut self, request: &Value, sent: &[Message]) -> Result<Value, Problem> {
        let id = match text(request, "op")? {
            "deliver" | "member" => self.latest.ok_or("no member was made yet")?,
            _ => self.member(request)?,
        };
        let now = self.cluster.now;
        let node = self.cluster.nodes.get_mut(&id).ok_or("no such member")?;
        let events: Vec<Value> = node.events.drain(..).map(|event| event_json(&event)).collect();
        let mut state = state_json(&node.raft);
        state["is_leader"] = node.raft.leadership(now).is_leader.into();
        state["sent"] = sent.iter().map(message_json).collect();
        state["events"] = events.into();
        Ok(state)
    }
}

fn state_json(raft: &Raft) -> Value {
    let lists = |has: fn(&Member) -> bool| -> Value {
        let members = raft.membership().members().iter().filter(|member| has(member));
        json::ids_json(&members.map(|member| member.profile.id).collect::<Vec<_>>())
    };
    json!({
        "id": &*raft.id(),
        "standing": json::standing_json(raft.standing()),
        "role": match raft.role() {
            Role::Follower => "follower",
            Role::PreCandidate => "pre_candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        },
        "term": raft.term(),
        "vote": raft.vote().as_deref(),
        "leader": raft.leader().as_deref(),
        "committed": json::position_json(raft.committed().position),
        "last": json::position_json(raft.last().position),
        "data": String::from_utf8_lossy(&raft.committed().data),
        "voters": lists(|member| member.is_voter),
        "outgoing": lists(|member| member.is_outgoing),
        "learners": lists(|member| member.is_learner),
    })
}

fn event_json(event: &Event) -> Value {
    match event {
        Event::Elected { token } => json!({ "event": "elected", "token": token.get() }),
        Event::StopNewWork { token } => json!({ "event": "stop_new_work", "token": token.get() }),
        Event::Renewed { token } => json!({ "event": "renewed", "token": token.get() }),
        Event::Deposed { token, reason } => {
            json!({ "event": "deposed", "token": token.get(), "reason": reason.name() })
        }
        Event::LeaderChanged { leader, term } => {
            json!({ "event": "leader_changed", "leader": leader.as_deref(), "term": term })
        }
        Event::Committed(record) => {
            json!({ "event": "committed", "position": json::position_json(record.position) })
        }
        Event::ChangeRefused { request, refused } => {
            json!({ "event": "change_refused", "request": request, "refused": refused.to_string() })
        }
        Event::Left => json!({ "event": "left" }),
        Event::StandingChanged { standing, cluster } => json!({
            "event": "standing_changed",
            "standing": json::standing_json(*standing),
            "cluster": cluster.to_string(),
        }),
        Event::OtherCluster { member, cluster } => json!({
            "event": "other_cluster",
            "member": member.as_str(),
            "cluster": cluster.to_string(),
        }),
        Event::Answered { request, result } => {
            json!({ "event": "answered", "request": request, "result": json::result_json(result) })
        }
    }
}

fn timing(request: &Value) -> Result<ElectionTiming, Problem> {
    let default = ElectionTiming::default();
    let heartbeat =
        optional(request, "heartbeat_ms", number)?.map_or(default.heartbeat(), Duration::from_millis);
    let (min, max) = match request.get("election_ms") {
        None => (default.min(), default.max()),
        Some(span) => {
            let of = |at: usize| span.get(at).and_then(Value::as_u64).map(Duration::from_millis);
            of(0).zip(of(1)).ok_or_else(|| format!("the field `election_ms` is {span}; give [MIN, MAX]"))?
        }
    };
    ElectionTiming::new(heartbeat, min, max).map_err(|invalid| invalid.to_string())
}

fn optional<T>(
    request: &Value,
    name: &str,
    read: impl Fn(&Value, &str) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    if request.get(name).is_none_or(Value::is_null) { Ok(None) } else { read(request, name).map(Some) }
}

fn optional_ids(request: &Value, name: &str) -> Result<Vec<MemberId>, Problem> {
    Ok(optional(request, name, ids)?.unwrap_or_default())
}
