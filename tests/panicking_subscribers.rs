//! One test: recorder and subscriber are global to a process.
#![cfg(feature = "driver")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use elector::Elector;

/// Panics whenever it is told anything.
struct Panics;

impl metrics::Recorder for Panics {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        panic!("the test's recorder panics")
    }
    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        panic!("the test's recorder panics")
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        panic!("the test's recorder panics")
    }
}

/// Panics at every event of our crate; a span is let be.
impl std::io::Write for Panics {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("the test's log panics")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn recorders_and_logs_that_panic_cost_no_term_and_end_no_thread() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        TOLD.fetch_add(1, Ordering::Relaxed);
    }));
    metrics::set_global_recorder(Panics).unwrap_or_else(|_| panic!("the only recorder"));
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Panics).init();
    let make = |election: &str, store: &str| {
        Elector::builder(election)
            .store(store)
            .lease(Duration::from_millis(600))
            .margin(Duration::from_millis(50))
            .build()
            .expect("right options")
    };
    let soon = Duration::from_secs(10);
    let elector = make("a", "memory:panics");
    elector.campaign();
    let token = elector.wait_until_leader(soon).expect("elected all the same");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(elector.token(), Some(token), "renewed all the same");
    elector.release_and_wait(soon).expect("released all the same");
    let told = TOLD.swap(0, Ordering::Relaxed);
    assert!(told > 0, "recorder or log was told");
    // A store that cannot be opened is told of, too.
    let unfit = make("a", "sqlite:/proc/none/e.db");
    assert!(unfit.connect(soon).is_err());
    unfit.campaign();
    std::thread::sleep(Duration::from_millis(200));
    assert!(unfit.last_error().is_some() && unfit.connect(soon).is_err(), "its thread still answers");
    assert!(TOLD.load(Ordering::Relaxed) > 0);
}
