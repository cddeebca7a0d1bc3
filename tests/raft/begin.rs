//! What the tests of founding and joining share: members without durable state, and restarts.

use std::time::Duration;

use elector::core::raft::{
    Body, ClusterId, Config, Durable, Event, Incarnation, Input, KnownIds, Member, MemberId, Membership,
    Message, Profile, Standing,
};

use crate::cluster::Cluster;
use crate::drive::id;

/// A member without durable state, with this number as its incarnation.
pub fn config(name: &str, number: u64) -> Config {
    Config::new(id(name), Incarnation::new(number).unwrap(), number)
}

pub fn witness(mut config: Config) -> Config {
    config.is_witness = true;
    config
}

/// Members without durable state; each host names the others that `knows` lists.
pub fn blanks(names: &[&str], knows: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new();
    for (number, name) in names.iter().enumerate() {
        cluster.add_blank(config(name, number as u64 + 11));
    }
    for (who, whom) in knows {
        cluster.input(id(who), Input::Known(id(whom)));
    }
    cluster
}

/// A founding list: voters with these ids, listed without their incarnations.
pub fn list(names: &[&str]) -> Membership {
    let voter = |name: &&str| Member::voter(Profile::new(id(name)));
    Membership::new(names.iter().map(voter).collect()).unwrap()
}

/// What a member sends to a when it asks to be admitted to a cluster.
pub fn join(cluster: ClusterId, from: &str, number: u64, term: u64) -> Message {
    let known = KnownIds::default();
    Message {
        cluster,
        from: id(from),
        from_incarnation: Incarnation::new(number).unwrap(),
        to: id("a"),
        to_incarnation: Incarnation::UNKNOWN,
        term,
        body: Body::Join { address: "".into(), priority: 0, is_witness: false, known },
    }
}

pub fn nothing(_: &Message) -> bool {
    false
}

/// Messages between two members are lost.
pub fn between(a: &'static str, b: &'static str) -> impl Fn(&Message) -> bool {
    move |message| {
        let pair = [message.from, message.to];
        pair.contains(&id(a)) && pair.contains(&id(b))
    }
}

/// The members that vote, as one member sees it.
pub fn voters(cluster: &Cluster, of: &str) -> Vec<MemberId> {
    let members = cluster.raft(of).membership().members().iter().filter(|member| member.is_voter);
    members.map(|member| member.profile.id).collect()
}

pub fn cluster_of(cluster: &Cluster, name: &str) -> ClusterId {
    cluster.raft(name).committed().cluster
}

/// What a member kept when it was last asked.
pub fn durable(cluster: &Cluster, name: &str) -> Durable {
    let bytes = cluster.nodes[&id(name)].durable.clone().unwrap();
    Durable::from_bytes(&bytes).unwrap()
}

/// The process of a member starts again, with what its disk keeps.
pub fn restart(cluster: &mut Cluster, config: Config) {
    let durable = durable(cluster, &config.id);
    cluster.add(config, durable);
}

pub fn standings(cluster: &Cluster, name: &str) -> Vec<Standing> {
    let standing = |event: &Event| match event {
        Event::StandingChanged { standing, .. } => Some(*standing),
        _ => None,
    };
    cluster.nodes[&id(name)].events.iter().filter_map(standing).collect()
}

/// The longest time for which a founder waits: the maximum election time, and at most the minimum more.
pub const WAIT: Duration = Duration::from_millis(1_000);
