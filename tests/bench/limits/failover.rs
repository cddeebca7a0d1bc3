//! Real processes on a real SQLite file: start, kill, hand over.

use std::time::Duration;

use elector_kit::answers;
use elector_kit::candidate::{Source, Stand};
use elector_kit::clock;

use crate::crowd::Crowd;
use crate::figure::{Figure, percentile_ms};

const ROUNDS: usize = 200;

fn stand(folder: &tempfile::TempDir) -> Stand {
    Stand::on(&format!("sqlite:{}", folder.path().join("bench.db").display()), Source::Changes)
}

/// From starting a process to its leading, on a file that does not exist yet.
pub fn start_to_leader() -> Vec<Figure> {
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let started = clock::now();
            Crowd::start(stand(&folder), 1).follow().saturating_since(started)
        })
        .collect();
    let what =
        format!("process start to leader, fresh SQLite file: p50 {:.1}, max", percentile_ms(&mut times, 50));
    vec![Figure::new(what, percentile_ms(&mut times, 100), 50.0, "ms")]
}

/// Measures, among three candidates, the time from the kill or the release of the leader to the election of
/// the next one.
pub fn kill_and_hand_over() -> Vec<Figure> {
    let [folder, answers] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let stand = Stand { answers: Some(answers.path().to_owned()), ..stand(&folder) };
    let mut crowd = Crowd::start(stand, 3);
    crowd.follow();
    let mut kills: Vec<Duration> = (0..ROUNDS).map(|_| kill(&mut crowd)).collect();
    let mut hand_overs: Vec<Duration> = (0..ROUNDS).map(|_| hand_over(&mut crowd)).collect();
    let mut figures = Vec::new();
    for (what, times, limit) in [("kill -9", &mut kills, 100.0), ("hand-over", &mut hand_overs, 50.0)] {
        let (p50, max) = (percentile_ms(times, 50), percentile_ms(times, 100));
        let what = format!("{what}, SQLite, {ROUNDS} times: p50 {p50:.1}, max {max:.1}, p99");
        figures.push(Figure::new(what, percentile_ms(times, 99), limit, "ms"));
    }
    figures.push(Figure::new("tokens that did not grow", crowd.regressions as f64, 0.0, ""));
    // Ends all processes; what they answered is left.
    drop(crowd);
    let judged = answers::judge(answers.path());
    assert!(judged.terms >= 2 * ROUNDS, "{judged:?}");
    let what = format!("two leaders at once, in {} answers of {} terms", judged.answers, judged.terms);
    figures.push(Figure::new(what, judged.overlap.as_secs_f64() * 1_000.0, 0.0, "ms"));
    figures
}

fn kill(crowd: &mut Crowd) -> Duration {
    // The others have settled down to waiting.
    std::thread::sleep(Duration::from_millis(150));
    let killed = crowd.kill_leader();
    let took = crowd.follow().saturating_since(killed);
    crowd.add();
    took
}

fn hand_over(crowd: &mut Crowd) -> Duration {
    std::thread::sleep(Duration::from_millis(100));
    crowd.hand_over()
}
