//! How many messages members send that found a cluster, and that join one.

use std::cell::Cell;

use elector::core::raft::{Input, MemberId, Message};

use crate::begin::{WAIT, config, voters};
use crate::cluster::Cluster;
use crate::drive::{MS, id};

/// The number of messages that are sent in a time.
fn sent(cluster: &mut Cluster, span: std::time::Duration) -> usize {
    let count = Cell::new(0);
    let counted = |_: &Message| {
        count.set(count.get() + 1);
        false
    };
    cluster.run(span, counted);
    count.get()
}

#[test]
fn members_that_start_together_send_each_other_one_message_a_heartbeat_and_its_answer() {
    let names: Vec<String> = (10..42).map(|number| format!("n{number}")).collect();
    let ids: Vec<MemberId> = names.iter().map(|name| id(name)).collect();
    let mut cluster = Cluster::new();
    for (number, name) in names.iter().enumerate() {
        cluster.add_blank(config(name, number as u64 + 11));
    }
    // All know one, which hears of them one by one.
    for other in &ids[1..] {
        cluster.input(*other, Input::Known(ids[0]));
    }
    let pairs = ids.len() * (ids.len() - 1);
    let first = sent(&mut cluster, 50 * MS);
    assert!(first <= 4 * pairs, "{first} messages until all know each other");
    assert_eq!(sent(&mut cluster, 100 * MS), 2 * pairs);
    sent(&mut cluster, 9 * WAIT);
    assert_eq!((cluster.leaders(), voters(&cluster, &names[1])), (vec![ids[0]], ids.clone()));
    assert_eq!(sent(&mut cluster, 100 * MS), 2 * (ids.len() - 1), "heartbeats alone");
}
