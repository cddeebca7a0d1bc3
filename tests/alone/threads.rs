//! How many threads a hub has. Alone, so that all threads are its own.

use std::time::{Duration, Instant};

use elector::Elector;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn electors_of_one_store_share_two_threads_which_end_with_them() {
    if !crate::is_alone("threads::electors_of_one_store_share_two_threads_which_end_with_them") {
        return;
    }
    let make = |n| Elector::builder(format!("shared-{n}")).store("memory:threads").build().unwrap();
    let electors: Vec<Elector> = (0..500).map(make).collect();
    electors.iter().for_each(Elector::campaign);
    for elector in &electors {
        elector.wait_until_leader(SOON).unwrap();
    }
    assert_eq!(hub_threads(), 2);
    drop(electors);
    let deadline = Instant::now() + SOON;
    while hub_threads() > 0 {
        assert!(Instant::now() < deadline, "the hub's threads must end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many of this process's threads belong to a hub.
fn hub_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("elector-"))
        .count()
}
