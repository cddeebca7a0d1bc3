//! The lease machine as a class. Give it an input, then poll until it says `wait`.

use wasm_bindgen::prelude::{JsError, wasm_bindgen};

use super::output::{self, LeaderObject, LeadershipObject, OutputObject};
use super::reply::{self, ReplyObject};
use crate::core::lease::{Config, Input, Lease};
use crate::core::{Name, TimingOptions};
use crate::wasm::object::{duration, instant};

#[wasm_bindgen]
extern "C" {
    /// `MachineOptions` in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "MachineOptions")]
    pub type MachineOptions;

    #[wasm_bindgen(method, getter, structural)]
    fn election(this: &MachineOptions) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn candidate(this: &MachineOptions) -> String;
    #[wasm_bindgen(method, getter, structural)]
    fn incarnation(this: &MachineOptions) -> u64;
    #[wasm_bindgen(method, getter, structural)]
    fn seed(this: &MachineOptions) -> u64;
    #[wasm_bindgen(method, getter, structural)]
    fn meta(this: &MachineOptions) -> Option<String>;
    #[wasm_bindgen(method, getter, structural, js_name = leaseMs)]
    fn lease_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural, js_name = renewMs)]
    fn renew_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural, js_name = jitterMs)]
    fn jitter_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural, js_name = retryMs)]
    fn retry_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural, js_name = marginMs)]
    fn margin_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural, js_name = graceMs)]
    fn grace_ms(this: &MachineOptions) -> Option<f64>;
    #[wasm_bindgen(method, getter, structural)]
    fn strict(this: &MachineOptions) -> Option<bool>;
    #[wasm_bindgen(method, getter, structural, js_name = progressGate)]
    fn progress_gate(this: &MachineOptions) -> Option<bool>;
}

/// One candidate of one election, without clock, timer or I/O. `nowMs` is a reading of the host's clock,
/// which only grows; an earlier reading counts as the latest seen.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Machine {
    lease: Lease,
}

#[wasm_bindgen]
impl Machine {
    /// A machine in standby. Throws an `Error` that names the numbers when an option is out of bounds.
    ///
    /// # Errors
    /// When a name or a timing is out of bounds.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &MachineOptions,
        #[wasm_bindgen(js_name = nowMs)] now: f64,
    ) -> Result<Machine, JsError> {
        let timing = TimingOptions {
            lease: options.lease_ms().map(duration),
            renew: options.renew_ms().map(duration),
            jitter: options.jitter_ms().map(duration),
            retry: options.retry_ms().map(duration),
            margin: options.margin_ms().map(duration),
            grace: options.grace_ms().map(duration),
        };
        let meta = options.meta();
        Name::check_text("meta text", meta.as_deref().unwrap_or_default())?;
        let config = Config {
            election: Name::new("election", &options.election())?,
            candidate: Name::new("candidate", &options.candidate())?,
            incarnation: options.incarnation(),
            meta: meta.map(Into::into),
            timing: timing.build()?,
            strict: options.strict().unwrap_or(false),
            progress_gate: options.progress_gate().unwrap_or(false),
            seed: options.seed(),
        };
        Ok(Machine { lease: Lease::new(config, instant(now)) })
    }

    /// The host wants to lead.
    pub fn campaign(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Campaign);
    }

    /// The host stands down at once.
    pub fn release(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Release);
    }

    /// The host stands down once its work in progress is done.
    pub fn drain(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Drain);
    }

    /// The host stands down once its work in progress is done. Until then the machine renews, for at most
    /// `drainMs`.
    #[wasm_bindgen(js_name = drainFor)]
    pub fn drain_for(
        &mut self,
        #[wasm_bindgen(js_name = nowMs)] now: f64,
        #[wasm_bindgen(js_name = drainMs)] drain: f64,
    ) {
        self.lease.handle_input(instant(now), Input::DrainFor(duration(drain)));
    }

    /// The work in progress of a draining host is done.
    pub fn drained(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Drained);
    }

    /// The host makes progress.
    pub fn alive(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Alive);
    }

    /// Time passed. May come early, late or twice.
    pub fn timeout(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Timeout);
    }

    /// The election may have become free: look now.
    pub fn hint(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Hint);
    }

    /// The lease protects nothing any more: stop trusting it at once.
    pub fn revoked(&mut self, #[wasm_bindgen(js_name = nowMs)] now: f64) {
        self.lease.handle_input(instant(now), Input::Revoked);
    }

    /// The store answered, or the host knows that it will not. Throws when the reply is invalid; the machine
    /// is unchanged then.
    ///
    /// # Errors
    /// When the outcome's name or a token is invalid.
    pub fn reply(
        &mut self,
        #[wasm_bindgen(js_name = nowMs)] now: f64,
        reply: &ReplyObject,
    ) -> Result<(), JsError> {
        let reply = reply::understood(reply).map_err(|problem| JsError::new(&problem))?;
        self.lease.handle_input(instant(now), Input::Reply(reply));
        Ok(())
    }

    /// The next output. Poll until it is a `wait`.
    pub fn poll(&mut self) -> OutputObject {
        output::output(&self.lease.poll_output())
    }

    /// Whether this candidate leads at `nowMs`: false from the instant on at which trust ends.
    pub fn leadership(&self, #[wasm_bindgen(js_name = nowMs)] now: f64) -> LeadershipObject {
        output::leadership(&self.lease.leadership(instant(now)))
    }

    /// The leader, as far as this machine knows.
    pub fn leader(&self) -> LeaderObject {
        output::leader(self.lease.leader())
    }

    /// This candidate's id as the store keeps it.
    #[wasm_bindgen(js_name = leaderId)]
    pub fn leader_id(&self) -> String {
        self.lease.leader_id().as_str().to_owned()
    }

    /// The lease in milliseconds.
    #[wasm_bindgen(js_name = leaseMs)]
    pub fn lease_ms(&self) -> f64 {
        self.lease.config().timing.lease().as_nanos() as f64 / 1e6
    }

    /// Whether the machine neither leads nor campaigns, and has nothing to send.
    #[wasm_bindgen(js_name = isSettled)]
    pub fn is_settled(&self) -> bool {
        self.lease.is_settled()
    }

    /// The number of times that every lease which the store held or might have held for this machine had
    /// ended. A release is done once this number is larger than it was before `release`, even if a campaign
    /// followed.
    pub fn settlements(&self) -> u64 {
        self.lease.settlements()
    }

    /// Panics as a bug in this machine would, for tests of a host's error handling.
    ///
    /// # Panics
    /// Always.
    pub fn panic(&mut self, message: &str) {
        panic!("{message}");
    }
}
