//! A log that blocks may cost its process a term, and no other process the lease: trust ends by the clock.
//!
//! It blocks in each place from which it is called: under the candidate's lock in the hub's thread and in a
//! thread of the host, and in the thread of the store.

use std::fmt::Debug;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::lease::{DeposedReason, Event};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// For what must come.
const SOON: Duration = Duration::from_secs(60);
/// Trust ends seconds before it, so that a busy machine is not taken for a fault.
const LEASE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(4);

/// Whether those that block go on.
static FREE: AtomicBool = AtomicBool::new(false);
/// Whether the threads of stores block.
static STORES_BLOCK: AtomicBool = AtomicBool::new(false);

fn block() {
    while !FREE.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Blocks in the event that an election is named after.
struct Blocks;

impl<S: tracing::Subscriber> Layer<S> for Blocks {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        if seen.message == seen.election {
            block();
        }
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if STORES_BLOCK.load(Ordering::Relaxed) && attributes.metadata().name() == "elector.store.execute" {
            block();
        }
    }
}

#[derive(Default)]
struct Seen {
    message: String,
    election: String,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "election" {
            value.clone_into(&mut self.election);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// Another process that campaigns for `election`, and writes a file when it leads.
struct Other(Child);

impl Other {
    fn start(election: &str, folder: &Path) -> Other {
        let store = format!("--store=sqlite:{}", folder.join(format!("{election}.db")).display());
        let script = format!("touch {}; exec sleep 300", folder.join(election).display());
        let mut run = Command::new(env!("CARGO_BIN_EXE_elector"));
        run.args(["run", "--quiet", "-e", election, &store, "--", "sh", "-c", &script]);
        Other(run.stdin(Stdio::null()).spawn().expect("elector run"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "waited for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_log_that_blocks_ends_its_own_terms_and_renews_none_for_ever() {
    if !crate::is_alone("blocking_subscribers::a_log_that_blocks_ends_its_own_terms_and_renews_none_for_ever")
    {
        return;
    }
    tracing_subscriber::registry().with(Blocks).init();
    let folder = tempfile::tempdir().expect("a folder");
    let leads = |election: &str| {
        let elector = Elector::builder(election)
            .store(format!("sqlite:{}", folder.path().join(format!("{election}.db")).display()))
            .lease(LEASE)
            .margin(MARGIN)
            .build()
            .expect("right options");
        elector.campaign();
        wait_for("the first leader", || elector.am_i_leader());
        elector
    };
    // The messages of `src/driver/hub/telemetry.rs`; nothing is told of the last one.
    let (elected, renewed, deposed) = (leads("elected"), leads("renewed"), leads("deposed"));
    let store = leads("store");
    STORES_BLOCK.store(true, Ordering::Relaxed);
    let mut changes = store.changes();
    let releasing = deposed.clone();
    let release = thread::spawn(move || releasing.release());
    wait_for("the end of trust in the thread that releases", || !deposed.am_i_leader());
    let firsts = [elected, renewed, deposed, store];
    let elections = ["elected", "renewed", "deposed", "store"];
    let others = elections.map(|election| Other::start(election, folder.path()));
    for (first, election) in firsts.iter().zip(elections) {
        let next_leads = folder.path().join(election);
        wait_for("the next leader", || next_leads.exists());
        assert!(!first.am_i_leader() && first.token().is_none(), "{election}");
    }
    FREE.store(true, Ordering::Relaxed);
    release.join().expect("the release");
    let reasons = std::iter::from_fn(|| changes.next_timeout(SOON)).filter_map(|change| match change.event {
        Event::Deposed { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reasons.take(1).collect::<Vec<_>>(), [DeposedReason::Expired]);
    drop(others);
}
