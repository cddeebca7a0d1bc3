//! A member with raft-rs: its `RawNode` as its examples drive it, its `MemStorage`, and pre-vote and
//! check-quorum on, as they always are in Elector.

use protobuf::Message as _;
use raft::eraftpb::{Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::harness::{MEMBERS, Member, Queue};

pub struct Theirs {
    node: RawNode<MemStorage>,
    committed: Vec<u8>,
    /// The term of the newest committed entry.
    committed_term: u64,
}

fn send(messages: Vec<Message>, sent: &mut Queue) {
    for message in messages {
        let bytes = message.write_to_bytes().expect("a message can be encoded");
        sent.push_back((message.to as usize - 1, bytes));
    }
}

impl Theirs {
    /// Does what the node asks for. A write is durable at once.
    fn drain(&mut self, sent: &mut Queue) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            send(ready.take_messages(), sent);
            self.apply(ready.take_committed_entries());
            if !ready.entries().is_empty() {
                self.node.mut_store().wl().append(ready.entries()).expect("entries follow each other");
            }
            if let Some(state) = ready.hs() {
                self.node.mut_store().wl().set_hardstate(state.clone());
            }
            send(ready.take_persisted_messages(), sent);
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.mut_store().wl().mut_hard_state().set_commit(commit);
            }
            send(light.take_messages(), sent);
            self.apply(light.take_committed_entries());
            self.node.advance_apply();
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.committed_term = entry.term;
            self.committed = entry.data.into();
        }
    }
}

impl Member for Theirs {
    fn start(place: usize) -> Theirs {
        let voters = (1..=MEMBERS as u64).collect::<Vec<_>>();
        let storage = MemStorage::new_with_conf_state((voters, vec![]));
        let config = Config {
            id: place as u64 + 1,
            election_tick: 10,
            heartbeat_tick: 1,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, storage, &silent).expect("valid settings");
        Theirs { node, committed: Vec::new(), committed_term: 0 }
    }

    fn campaign(&mut self, sent: &mut Queue) {
        self.node.campaign().expect("a follower campaigns");
        self.drain(sent);
    }

    fn propose(&mut self, data: &[u8], sent: &mut Queue) {
        self.node.propose(Vec::new(), data.to_vec()).expect("the leader takes proposals");
        self.drain(sent);
    }

    fn receive(&mut self, bytes: Vec<u8>, sent: &mut Queue) {
        let message = Message::parse_from_bytes(&bytes).expect("a member reads what is sent");
        self.node.step(message).expect("a member handles what is sent");
        self.drain(sent);
    }

    fn is_leader(&self) -> bool {
        let raft = &self.node.raft;
        raft.state == StateRole::Leader && self.committed_term == raft.term
    }

    fn committed(&self) -> &[u8] {
        &self.committed
    }
}
