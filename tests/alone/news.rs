//! A log writer that is told of a change and then asks for the leadership gets the answer that fits the
//! change.
//!
//! A log writer runs on the thread that handles the change, and may call the elector. So its answers show
//! whether a change is published before it is reported, whatever the scheduler does.

use std::sync::Mutex;
use std::time::Duration;

use elector::Elector;
use elector::core::FencingToken;

static ELECTOR: Mutex<Option<Elector>> = Mutex::new(None);
/// What was told, and what was answered then.
static HEARD: Mutex<Vec<(&str, bool, Option<FencingToken>)>> = Mutex::new(Vec::new());

/// A log writer that asks for the leadership at each line that reports the start or end of a term.
struct Asks;

impl std::io::Write for Asks {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(line);
        let told = ["elected", "deposed"].into_iter().find(|word| line.contains(&format!(": {word} ")));
        let elector = ELECTOR.lock().expect("no panic").clone();
        if let (Some(told), Some(elector)) = (told, elector) {
            HEARD.lock().expect("no panic").push((told, elector.am_i_leader(), elector.token()));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_is_told_of_a_term_and_asks_gets_the_answer_that_fits() {
    if !crate::is_alone("news::who_is_told_of_a_term_and_asks_gets_the_answer_that_fits") {
        return;
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Asks).init();
    let soon = Duration::from_secs(60);
    let elector = Elector::builder("e").store("memory:news").lease(soon).build().expect("right options");
    *ELECTOR.lock().expect("no panic") = Some(elector.clone());
    let mut expected = Vec::new();
    for _ in 0..3 {
        elector.campaign();
        let token = elector.wait_until_leader(soon).expect("no other candidate leads");
        elector.release_and_wait(soon).expect("the store answers");
        expected.extend([("elected", true, Some(token)), ("deposed", false, None)]);
    }
    assert_eq!(*HEARD.lock().expect("no panic"), expected);
    *ELECTOR.lock().expect("no panic") = None;
}
