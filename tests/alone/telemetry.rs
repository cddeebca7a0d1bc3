//! What an operator's dashboards and logs get.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use elector::Elector;
use elector::core::lease::{Event, Failure};
use elector::driver::stores::StoreError;
use elector::driver::stores::memory::MemoryStore;
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All metrics by `name{label=value,…}`; a histogram shows how many values it has. The debugging recorder
/// starts from zero after each snapshot, gauges included.
fn scrape(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let show = |(key, _, _, value): (CompositeKey, _, _, DebugValue)| {
        let label = |label: &metrics::Label| format!("{}={}", label.key(), label.value());
        let labels: Vec<String> = key.key().labels().map(label).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
    };
    snapshotter.snapshot().into_vec().into_iter().map(show).collect()
}

/// How long the test waits for what must come, and half of the lease.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_term_shows_in_the_metrics_and_in_the_log() {
    if !crate::is_alone("telemetry::a_term_shows_in_the_metrics_and_in_the_log") {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();

    // No candidate of this process has led this election yet, and the metric must say so for an alert.
    let down = MemoryStore::named("telemetry-down");
    down.fail_with(Some(StoreError::new(Failure::Unsent, "down")));
    let vacant = Elector::builder("vacant").store("memory:telemetry-down").build().unwrap();
    vacant.campaign();
    assert_eq!(scrape(&snapshotter)["elector_is_leader{election=vacant}"], 0.0);
    drop(vacant);

    let elector = Elector::builder("billing")
        .store("memory:telemetry")
        .candidate("api-7")
        .lease(2 * SOON)
        .margin(Duration::from_millis(50))
        .renew(Duration::from_millis(100))
        .build()
        .unwrap();
    let mut changes = elector.changes();
    elector.campaign();
    let token = elector.wait_until_leader(SOON).unwrap();
    for _ in 0..2 {
        let renewed = |event: &Event| matches!(event, Event::Renewed { .. });
        while !renewed(&changes.next_timeout(SOON).expect("a renewal").event) {}
    }
    let seen = scrape(&snapshotter);
    assert_eq!(seen["elector_is_leader{election=billing}"], 1.0);
    assert_eq!(seen["elector_token{election=billing}"], token.get() as f64);
    let trusted = seen["elector_trusted_seconds{election=billing}"];
    // 99 % of the lease less the margin, from the send of the renewal on.
    assert!(trusted > 50.0 && trusted < 118.75, "{trusted}");
    assert_eq!(seen["elector_transitions_total{election=billing,reason=elected}"], 1.0);
    assert_eq!(seen["elector_store_jobs_total{op=acquire,outcome=granted}"], 1.0);
    assert!(seen["elector_store_op_seconds{op=renew,outcome=renewed}"] >= 2.0);

    elector.release_and_wait(SOON).unwrap();
    let seen = scrape(&snapshotter);
    assert_eq!(seen["elector_is_leader{election=billing}"], 0.0);
    assert_eq!(seen["elector_trusted_seconds{election=billing}"], 0.0);
    assert_eq!(seen["elector_transitions_total{election=billing,reason=released}"], 1.0);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let work = elector.run_as_leader(async |term| {
        tracing::info!("at work");
        term.token()
    });
    let token_of_work = runtime.block_on(work).unwrap();

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{text}"));
    for part in ["election=\"billing\"", "candidate=\"api-7\"", &format!("token={token}")] {
        assert!(line("elected").contains(part), "{text}");
    }
    assert!(line("deposed").contains("reason=\"released\""), "{text}");
    let span = format!("term{{election=\"billing\" candidate=\"api-7\" token={token_of_work}}}");
    assert!(line("at work").contains(&span), "{text}");
}
