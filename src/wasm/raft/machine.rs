//! The Raft machine as a class. Give it an input, then poll until it returns a number: when to come back.

use wasm_bindgen::prelude::{JsError, wasm_bindgen};

use super::output::{self, RaftLeadershipObject, RaftMemberObject, RaftOutputObject, RaftRefusedObject};
use crate::core::raft::{
    Config, Durable, ElectionTiming, Incarnation, Input, Member, MemberId, Membership, Profile, Raft,
    Refused, Role, StartRefused, Ticket,
};
use crate::wasm::object::{duration, instant};

#[wasm_bindgen]
extern "C" {
    /// `RaftMachineOptions` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "RaftMachineOptions")]
    pub type RaftMachineOptions;

    #[wasm_bindgen(method, getter, structural)]
    fn id(this: &RaftMachineOptions) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn incarnation(this: &RaftMachineOptions) -> f64;
    #[wasm_bindgen(method, getter, structural)]
    fn seed(this: &RaftMachineOptions) -> u64;
    #[wasm_bindgen(method, getter, structural, js_name = heartbeatMs)]
    fn heartbeat_ms(this: &RaftMachineOptions) -> f64;
    #[wasm_bindgen(method, getter, structural, js_name = electionMinMs)]
    fn election_min_ms(this: &RaftMachineOptions) -> f64;
    #[wasm_bindgen(method, getter, structural, js_name = electionMaxMs)]
    fn election_max_ms(this: &RaftMachineOptions) -> f64;
    #[wasm_bindgen(method, getter, structural)]
    fn priority(this: &RaftMachineOptions) -> u8;
    #[wasm_bindgen(method, getter, structural, js_name = isWitness)]
    fn is_witness(this: &RaftMachineOptions) -> bool;
    #[wasm_bindgen(method, getter, structural)]
    fn members(this: &RaftMachineOptions) -> Option<Vec<Founder>>;

    /// `Founder` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Founder")]
    pub type Founder;

    #[wasm_bindgen(method, getter, structural, js_name = id)]
    fn founder_id(this: &Founder) -> String;
    #[wasm_bindgen(method, getter, structural, js_name = isWitness)]
    fn founds_as_witness(this: &Founder) -> bool;
}

/// What a member does in the protocol.
#[wasm_bindgen]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolRole {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Was elected.
    Leader,
}

/// One member of a Raft cluster, without clock, timer or I/O. `nowMs` is a reading of the host's clock, which
/// only grows; an earlier reading counts as the latest seen.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RaftMachine {
    raft: Raft,
}

#[wasm_bindgen]
impl RaftMachine {
    /// A member with the state that it made durable last, or without any at its first start. Throws an
    /// `Error` that says why the state or an option is refused.
    ///
    /// # Errors
    /// When an option is out of bounds, or the state is damaged or that of another member.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &RaftMachineOptions,
        state: Option<Vec<u8>>,
        #[wasm_bindgen(js_name = nowMs)] now: f64,
    ) -> Result<RaftMachine, JsError> {
        let incarnation = Incarnation::new(options.incarnation() as u64).unwrap_or_default();
        let mut config = Config::new(MemberId::new(&options.id())?, incarnation, options.seed());
        let [heartbeat, min, max] =
            [options.heartbeat_ms(), options.election_min_ms(), options.election_max_ms()].map(duration);
        config.timing = ElectionTiming::new(heartbeat, min, max)?;
        (config.priority, config.is_witness) = (options.priority(), options.is_witness());
        config.founding = options.members().map(founding).transpose()?;
        let now = instant(now);
        let raft = match state {
            Some(state) => Raft::restore(config, Durable::from_bytes(&state)?, now)?,
            None => Raft::new(config, now)?,
        };
        Ok(RaftMachine { raft })
    }

    /// Why a state cannot be restored for this member; `undefined` if it can.
    pub fn problem(id: &str, state: &[u8]) -> Option<String> {
        match Durable::from_bytes(state) {
            Ok(durable) if &*durable.id == id => None,
            Ok(durable) => Some(StartRefused::OtherMember(durable.id).to_string()),
            Err(invalid) => Some(invalid.to_string()),
        }
    }

    /// Time passed. May come early, late or twice.
    pub fn timeout(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.raft.handle_input(instant(now), Input::Timeout);
    }

    /// Bytes came from another member. Read the clock after they arrived.
    pub fn received(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, bytes: Vec<u8>) {
        self.raft.handle_input(instant(now), Input::Received(bytes));
    }

    /// The host proposes data. The event `answered` repeats `request`.
    pub fn propose(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, request: u32, data: Vec<u8>) {
        let input = Input::Propose { request: request.into(), expected: None, data: data.into() };
        self.raft.handle_input(instant(now), input);
    }

    /// The host hands leadership over. The event `answered` repeats `request`.
    ///
    /// # Errors
    /// When the id is invalid.
    pub fn transfer(
        &mut self,
        #[wasm_bindgen(js_name = nowMs)] now: f64,
        request: u32,
        to: &str,
    ) -> Result<(), JsError> {
        let input = Input::Transfer { request: request.into(), to: MemberId::new(to)? };
        self.raft.handle_input(instant(now), input);
        Ok(())
    }

    /// Another node may belong to the cluster, and the host can send to it.
    ///
    /// # Errors
    /// When the id is invalid.
    pub fn known(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, id: &str) -> Result<(), JsError> {
        self.raft.handle_input(instant(now), Input::Known(MemberId::new(id)?));
        Ok(())
    }

    /// The host was told that a member left: a leader removes it.
    ///
    /// # Errors
    /// When the id is invalid.
    pub fn gone(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, id: &str) -> Result<(), JsError> {
        self.raft.handle_input(instant(now), Input::Gone(MemberId::new(id)?));
        Ok(())
    }

    /// The member leaves its cluster.
    pub fn leave(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.raft.handle_input(instant(now), Input::Leave);
    }

    /// The state of this ticket is durable.
    pub fn persisted(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, ticket: f64) {
        self.raft.handle_input(instant(now), Input::Persisted(Ticket(ticket as u64)));
    }

    /// The state of this ticket could not be made durable.
    #[wasm_bindgen(js_name = persistFailed)]
    pub fn persist_failed(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64, ticket: f64) {
        self.raft.handle_input(instant(now), Input::PersistFailed(Ticket(ticket as u64)));
    }

    /// The next output. Poll until it is a number: the instant at which to call `timeout`.
    pub fn poll(&mut self) -> RaftOutputObject {
        output::output(self.raft.poll_output())
    }

    /// Whether this member leads at `nowMs`: false from the instant on at which trust ends.
    #[wasm_bindgen(js_name = isLeader)]
    pub fn is_leader(&self, #[wasm_bindgen(js_name = nowMs)] now: f64) -> bool {
        self.raft.leadership(instant(now)).is_leader
    }

    /// What this member does in the protocol. Two members may be leaders by role at a time.
    pub fn role(&self) -> ProtocolRole {
        match self.raft.role() {
            Role::Follower => ProtocolRole::Follower,
            Role::PreCandidate => ProtocolRole::PreCandidate,
            Role::Candidate => ProtocolRole::Candidate,
            Role::Leader => ProtocolRole::Leader,
        }
    }

    /// The token and the end of trust while this member leads.
    pub fn leadership(&self, #[wasm_bindgen(js_name = nowMs)] now: f64) -> RaftLeadershipObject {
        output::leadership(&self.raft.leadership(instant(now)))
    }

    /// The member's term.
    pub fn term(&self) -> f64 {
        self.raft.term() as f64
    }

    /// The member's incarnation.
    pub fn incarnation(&self) -> f64 {
        self.raft.config().incarnation.get() as f64
    }

    /// The longest data of a proposal, in bytes.
    #[wasm_bindgen(js_name = maxData)]
    pub fn max_data(&self) -> u32 {
        self.raft.config().max_data as u32
    }

    /// The leader of the member's term, as far as it knows.
    pub fn leader(&self) -> Option<String> {
        self.raft.leader().map(|id| id.as_str().to_owned())
    }

    /// The voter to hand leadership to: of those that answer, one that has the newest record or is nearest to
    /// that. `undefined` unless this member leads and another voter that may lead answers.
    pub fn successor(&self) -> Option<String> {
        self.raft.successor().map(|id| id.as_str().to_owned())
    }

    /// The members as the newest record lists them.
    pub fn members(&self) -> Vec<RaftMemberObject> {
        self.raft.membership().members().iter().map(output::member).collect()
    }

    /// The members as the newest committed record lists them.
    #[wasm_bindgen(js_name = committedMembers)]
    pub fn committed_members(&self) -> Vec<RaftMemberObject> {
        self.raft.committed().membership.members().iter().map(output::member).collect()
    }

    /// The newest committed data; empty if there is none yet.
    pub fn data(&self) -> Vec<u8> {
        self.raft.committed().data.to_vec()
    }

    /// The name of the member's relation to a cluster.
    pub fn standing(&self) -> String {
        output::standing(self.raft.standing()).to_owned()
    }

    /// The cluster that the member belongs to or left, as 32 hexadecimal digits.
    pub fn cluster(&self) -> Option<String> {
        output::named(self.raft.committed().cluster)
    }

    /// How many messages the member refused.
    #[wasm_bindgen(js_name = refusedInAll)]
    pub fn refused_in_all(&self) -> f64 {
        let Refused { invalid, cluster, address, protocol } = self.raft.refused();
        (invalid + cluster + address + protocol) as f64
    }

    /// How many messages the member refused, by reason.
    pub fn refused(&self) -> RaftRefusedObject {
        output::refused_messages(self.raft.refused())
    }

    /// Panics as a bug in this machine would, for tests of a host's error handling.
    ///
    /// # Panics
    /// Always.
    pub fn panic(&mut self, message: &str) {
        panic!("{message}");
    }
}

/// The membership of a founding list.
fn founding(list: Vec<Founder>) -> Result<Membership, JsError> {
    let mut members = Vec::with_capacity(list.len());
    for founder in list {
        let mut profile = Profile::new(MemberId::new(&founder.founder_id())?);
        profile.is_witness = founder.founds_as_witness();
        members.push(Member::voter(profile));
    }
    Ok(Membership::new(members)?)
}
