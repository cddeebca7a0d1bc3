//! A store that a test asks by itself, without a machine between: one method per operation.

use std::sync::Arc;
use std::time::Duration;

use elector::core::lease::{Acquire, LeaderId, Op, Outcome, Request, RequestId, Row, Version};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::url::StoreUrl;
use elector::driver::stores::{Answer, Job, Store, StoreError};

use elector_kit::waiting::SOON;
use elector_kit::waiting::patiently;

pub struct Handle {
    pub store: Box<dyn Store>,
    holder: LeaderId,
}

impl Handle {
    pub fn open(url: &str) -> Handle {
        let url = StoreUrl::parse(url).unwrap();
        let holder = LeaderId::new(&Name::new("candidate", "me").unwrap(), 7);
        let store = patiently(StoreError::is_permanent, || url.open(Arc::new(|_| {})));
        Handle { store: store.unwrap_or_else(|error| panic!("{error}")), holder }
    }

    pub fn execute(&mut self, jobs: &[Job]) -> Vec<Answer> {
        self.store.execute(jobs)
    }

    fn one(&mut self, election: &str, op: Op) -> Outcome {
        self.execute(&[job(election, op)]).remove(0).reply.outcome
    }

    /// Takes the row if it is free.
    pub fn acquire(&mut self, election: &str, lease_ms: u64) -> Option<FencingToken> {
        self.acquire_if(election, lease_ms, None)
    }

    /// The same for a strict candidate, which has seen the row so.
    pub fn acquire_if(
        &mut self,
        election: &str,
        lease_ms: u64,
        unchanged: Option<Version>,
    ) -> Option<FencingToken> {
        let (holder, lease) = (self.holder.clone(), Duration::from_millis(lease_ms));
        match self.one(election, Op::Acquire(Acquire { holder, meta: None, lease, unchanged })) {
            Outcome::Granted { token } => Some(token),
            Outcome::Seen(_) => None,
            other => panic!("an acquire was answered with {other:?}"),
        }
    }

    /// The job of a renewal, to be executed with others.
    pub fn renewal(&self, election: &str, token: FencingToken) -> Job {
        job(election, Op::Renew { token, holder: self.holder.clone(), lease: Duration::from_secs(60) })
    }

    pub fn renew(&mut self, election: &str, token: FencingToken) -> Outcome {
        let renewal = self.renewal(election, token);
        self.execute(&[renewal]).remove(0).reply.outcome
    }

    /// The job of a release, to be executed with others.
    pub fn ending(&self, election: &str, token: FencingToken) -> Job {
        job(election, Op::Release { token, holder: self.holder.clone() })
    }

    pub fn release(&mut self, election: &str, token: FencingToken) -> Outcome {
        let ending = self.ending(election, token);
        self.execute(&[ending]).remove(0).reply.outcome
    }

    pub fn look(&mut self, election: &str) -> Option<Row> {
        match self.one(election, Op::Look) {
            Outcome::Seen(row) => row,
            other => panic!("a look was answered with {other:?}"),
        }
    }
}

pub fn name(election: &str) -> Name {
    Name::new("election", election).unwrap()
}

fn job(election: &str, op: Op) -> Job {
    let deadline = clock::now().saturating_add(SOON);
    Job { election: name(election), request: Request { id: RequestId(1), deadline, op } }
}
