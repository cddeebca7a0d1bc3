//! Recorders and logs that panic take nothing else with them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use elector::Elector;
use elector::core::lease::Event;

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
    if !crate::is_alone("panicking_subscribers::recorders_and_logs_that_panic_cost_no_term_and_end_no_thread")
    {
        return;
    }
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        TOLD.fetch_add(1, Ordering::Relaxed);
    }));
    metrics::set_global_recorder(Panics).unwrap_or_else(|_| panic!("the only recorder"));
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Panics).init();
    let make = |election: &str, store: &str| {
        Elector::builder(election)
            .store(store)
            .lease(Duration::from_secs(60))
            .renew(Duration::from_millis(100))
            .retry(Duration::from_millis(50))
            .build()
            .expect("right options")
    };
    let soon = Duration::from_secs(60);
    let elector = make("a", "memory:panics");
    let mut changes = elector.changes();
    elector.campaign();
    let token = elector.wait_until_leader(soon).expect("elected all the same");
    for _ in 0..5 {
        let renewed = |event: &Event| matches!(event, Event::Renewed { .. });
        while !renewed(&changes.next_timeout(soon).expect("renewed all the same").event) {}
    }
    assert_eq!(elector.token(), Some(token));
    elector.release_and_wait(soon).expect("released all the same");
    let told = TOLD.swap(0, Ordering::Relaxed);
    assert!(told > 0, "recorder or log was told");
    // A store that cannot be opened is told of, too.
    let unfit = make("a", "sqlite:/proc/none/e.db");
    assert!(unfit.connect(soon).is_err());
    unfit.campaign();
    let end = Instant::now() + soon;
    while unfit.last_error().is_none() {
        assert!(Instant::now() < end, "its campaign fails, too");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(unfit.connect(soon).is_err(), "its thread still answers");
    assert!(TOLD.load(Ordering::Relaxed) > 0);
}
