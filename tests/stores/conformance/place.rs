//! A fresh place for one test, and how to talk to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use elector::core::lease::{Acquire, Failure, LeaderId, Op, Outcome, Request, RequestId, Row, Version};
use elector::core::{FencingToken, Name};
use elector::driver::clock;
use elector::driver::stores::url::StoreUrl;
use elector::driver::stores::{Answer, Hint, Job, Notifier, Store, StoreError};

#[cfg(all(feature = "postgres", target_os = "linux"))]
use elector_kit::cluster::{Release, fresh_database};
use elector_kit::waiting::patiently;

/// A lease of which half outlasts every test.
pub const LEASE: Duration = Duration::from_secs(240);
/// How long a test waits for what must come.
pub const SOON: Duration = Duration::from_secs(60);
/// A lease that a test waits for.
pub const SHORT: Duration = Duration::from_millis(120);

/// One place where leases are kept, gone with the test.
pub struct Place {
    url: StoreUrl,
    _directory: Option<tempfile::TempDir>,
}

impl Place {
    pub fn memory() -> Place {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        let url = format!("memory:conformance-{}", PLACES.fetch_add(1, Ordering::Relaxed));
        Place { url: StoreUrl::parse(&url).unwrap(), _directory: None }
    }

    #[cfg(feature = "sqlite")]
    pub fn sqlite() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("leases.db").display());
        Place { url: StoreUrl::parse(&url).unwrap(), _directory: Some(directory) }
    }

    /// A fresh database.
    #[cfg(all(feature = "postgres", target_os = "linux"))]
    pub fn postgres(release: Release) -> Place {
        Place { url: StoreUrl::parse(&fresh_database(release)).unwrap(), _directory: None }
    }

    pub fn open(&self) -> Handle {
        self.open_with(Arc::new(|_| {}))
    }

    /// A connection and what its bell says.
    pub fn open_listening(&self) -> (Handle, Receiver<Hint>) {
        let (tell, told) = channel();
        // The bell may be rung from any thread.
        let tell = std::sync::Mutex::new(tell);
        let bell: Notifier = Arc::new(move |hint| drop(tell.lock().unwrap().send(hint)));
        (self.open_with(bell), told)
    }

    fn open_with(&self, bell: Notifier) -> Handle {
        // A store may lose its patience with a busy machine.
        let handle = patiently(StoreError::is_permanent, || self.url.open(Arc::clone(&bell)));
        Handle(handle.unwrap())
    }
}

/// A connection with one method per operation.
pub struct Handle(pub Box<dyn Store>);

impl Handle {
    pub fn execute(&mut self, ops: Vec<(&str, Op)>) -> Vec<Answer> {
        static REQUESTS: AtomicU64 = AtomicU64::new(1);
        let deadline = clock::now().saturating_add(SOON);
        let job = |(election, op): (&str, Op)| {
            let id = RequestId(REQUESTS.fetch_add(1, Ordering::Relaxed));
            Job { election: name(election), request: Request { id, deadline, op } }
        };
        let jobs: Vec<Job> = ops.into_iter().map(job).collect();
        let mut answers = self.0.execute(&jobs);
        // A store may lose its patience before the deadline, having done nothing: on a slow disk, say.
        let unsent = |answer: &Answer| answer.reply.outcome == Outcome::Failed(Failure::Unsent);
        while answers.iter().all(unsent) && !answers.is_empty() && clock::now() < deadline {
            answers = self.0.execute(&jobs);
        }
        assert_eq!(answers.len(), jobs.len());
        for (job, answer) in jobs.iter().zip(&answers) {
            assert_eq!(job.request.id, answer.reply.id);
            assert!(answer.error.is_none(), "{:?}: {answer:?}", job.election);
        }
        answers
    }

    pub fn one(&mut self, election: &str, op: Op) -> Outcome {
        self.execute(vec![(election, op)]).remove(0).reply.outcome
    }

    pub fn look(&mut self, election: &str) -> Option<Row> {
        match self.one(election, Op::Look) {
            Outcome::Seen(row) => row,
            other => panic!("a look was answered with {other:?}"),
        }
    }

    pub fn acquire(&mut self, election: &str, who: &str, lease: Duration) -> Outcome {
        self.one(election, acquire(who, lease))
    }

    /// Acquires what must be free.
    pub fn granted(&mut self, election: &str, who: &str, lease: Duration) -> FencingToken {
        match self.acquire(election, who, lease) {
            Outcome::Granted { token } => token,
            other => panic!("{election} was not granted to {who}: {other:?}"),
        }
    }

    /// Acquires again and again until it is granted; how long that took.
    pub fn granted_at_last(&mut self, election: &str, who: &str) -> (FencingToken, Duration) {
        let start = Instant::now();
        loop {
            match self.acquire(election, who, LEASE) {
                Outcome::Granted { token } => return (token, start.elapsed()),
                Outcome::Seen(Some(row)) => assert!(row.remaining <= LEASE, "{row:?}"),
                other => panic!("{other:?}"),
            }
            assert!(start.elapsed() < SOON, "{election} never became free");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes dead rows, and says how many.
    pub fn clean_up(&mut self) -> u64 {
        patiently(StoreError::is_permanent, || self.0.clean_up()).unwrap()
    }

    pub fn acquire_unchanged(&mut self, election: &str, who: &str, version: Version) -> Outcome {
        let Op::Acquire(acquire) = acquire(who, LEASE) else { unreachable!() };
        self.one(election, Op::Acquire(Acquire { unchanged: Some(version), ..acquire }))
    }

    pub fn renew(&mut self, election: &str, who: &str, token: FencingToken) -> Outcome {
        self.one(election, Op::Renew { token, holder: id(who), lease: LEASE })
    }

    pub fn release(&mut self, election: &str, who: &str, token: FencingToken) {
        assert_eq!(self.one(election, Op::Release { token, holder: id(who) }), Outcome::Released);
    }
}

pub fn name(election: &str) -> Name {
    Name::new("election", election).unwrap()
}

pub fn id(who: &str) -> LeaderId {
    LeaderId::new(&Name::new("candidate", who).unwrap(), 7)
}

pub fn acquire(who: &str, lease: Duration) -> Op {
    Op::Acquire(Acquire { holder: id(who), meta: Some(format!("{who}'s").into()), lease, unchanged: None })
}
