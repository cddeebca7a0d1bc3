//! Graceful hand-over between two processes, beside what it consists of: two commits and a notification.

use std::time::{Duration, Instant};

use elector_kit::candidate::{Source, Stand};
use elector_kit::clock;
use elector_kit::peer::Peer;
use serde_json::json;
use tokio_postgres::{AsyncMessage, NoTls};

use super::server;
use crate::crowd::Crowd;
use crate::figure::{Figure, percentile_ms};

const ROUNDS: usize = 200;

pub fn graceful() -> Vec<Figure> {
    let cluster = server().start();
    let mut floor = two_commits_and_a_notification(&cluster.url());
    let mut ours = between_two_processes(&cluster.url());
    let mut peers = of_the_peer(&cluster.database("peer"));
    let floor_p50 = percentile_ms(&mut floor, 50);
    let what = format!(
        "hand-over, {ROUNDS} times: max {:.1} ms; two commits and a notification {floor_p50:.1} ms; p50",
        percentile_ms(&mut ours, 100)
    );
    vec![
        Figure::new(what, percentile_ms(&mut ours, 50), 8.0, "ms"),
        Figure::new("hand-over p99", percentile_ms(&mut ours, 99), 60.0, "ms"),
        Figure::new(
            "nest-leader-election 1.1.2, renewal 1 s: p50",
            percentile_ms(&mut peers, 50),
            5_000.0,
            "ms",
        ),
    ]
}

fn between_two_processes(url: &str) -> Vec<Duration> {
    let mut crowd = Crowd::start(Stand::on(url, Source::Changes), 2);
    crowd.follow();
    let round = |_| {
        // The other has settled down to waiting, and the pace of hints is not what is measured.
        std::thread::sleep(Duration::from_millis(150));
        crowd.hand_over()
    };
    (0..ROUNDS).map(round).collect()
}

/// One client commits and notifies; another hears it and commits.
fn two_commits_and_a_notification(url: &str) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (first, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let (second, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let (heard, mut hear) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) =
                std::future::poll_fn(|context| connection.poll_message(context)).await
            {
                if matches!(message, AsyncMessage::Notification(_)) && heard.send(()).is_err() {
                    return;
                }
            }
        });
        first.batch_execute("CREATE TABLE floor AS SELECT 1 AS id, 0 AS n").await.unwrap();
        second.batch_execute("LISTEN floor").await.unwrap();
        let tell =
            first.prepare("UPDATE floor SET n = n + 1 RETURNING pg_notify('floor', '')").await.unwrap();
        let take = second.prepare("UPDATE floor SET n = n + 1").await.unwrap();
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let start = Instant::now();
            // The first one's own answer is not waited for.
            let told = first.query(&tell, &[]);
            let taken = async {
                hear.recv().await.expect("a notification");
                second.execute(&take, &[]).await.unwrap();
                start.elapsed()
            };
            let (told, taken) = tokio::join!(told, taken);
            told.unwrap();
            took.push(taken);
        }
        took
    })
}

/// It polls at its renewal interval, and a replica that released never stands again.
fn of_the_peer(url: &str) -> Vec<Duration> {
    let mut leader = Peer::start(url, "0", json!({}));
    leader.elected();
    let mut took = Vec::new();
    for round in 1..=5 {
        let mut next = Peer::start(url, &round.to_string(), json!({}));
        std::thread::sleep(Duration::from_millis(1_000 + 170 * round));
        let released = clock::now();
        leader.say("release");
        took.push(next.elected().saturating_since(released));
        leader = next;
    }
    took
}
