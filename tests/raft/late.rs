//! Messages that come late, and members that come and go meanwhile: each schedule, step by step.

use elector::core::raft::{Input, Standing};

use crate::begin::{WAIT, between, blanks, cluster_of, config, nothing, restart, voters};
use crate::drive::id;

#[test]
fn a_founder_that_starts_with_another_address_asks_before_it_is_established() {
    let mut cluster = blanks(&["a", "b"], &[]);
    cluster.run(WAIT, nothing);
    // Both found alone. They start again with other addresses, learn of each other, and are apart at first.
    for (name, number) in [("a", 11), ("b", 12)] {
        let mut settings = config(name, number);
        settings.address = "elsewhere".into();
        restart(&mut cluster, settings);
    }
    cluster.input(id("a"), Input::Known(id("b")));
    cluster.input(id("b"), Input::Known(id("a")));
    cluster.run(WAIT, between("a", "b"));
    assert_eq!(cluster.raft("a").standing(), Standing::Founding);
    cluster.run(3 * WAIT, nothing);
    assert_eq!(cluster_of(&cluster, "a"), cluster_of(&cluster, "b"));
    for member in cluster.raft("b").committed().membership.members() {
        assert_eq!(&*member.profile.address, "elsewhere");
    }
    assert_eq!((cluster.leaders(), voters(&cluster, "a")), (vec![id("a")], vec![id("a"), id("b")]));
}
