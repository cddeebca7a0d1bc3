//! The messages between the members of an explored state. One that was delivered stays on its way, so it may
//! come again; one that is never delivered is lost. A message is taken out when newer ones fill its link, and
//! when its age no longer tells it from another one. A walk takes most of those out that it delivers.

use ::core::hash::Hasher;
use ::core::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::scope::MAX_ORDERS;
use super::seen::Mix;
use crate::core::Instant;
use crate::core::raft::Message;

/// The hashes of one thing, for each order of the members that is looked at.
pub(super) type Prints = [u64; MAX_ORDERS];

/// One message on its way.
pub(super) struct Packet {
    pub(super) message: Message,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) bytes: Arc<[u8]>,
    /// When the round of heartbeats began that it belongs to.
    pub(super) round_began: Option<Instant>,
    /// The hashes of all but the round.
    pub(super) prints: Prints,
}

impl Packet {
    /// How long ago its round began.
    pub(super) fn age(&self, now: Instant, horizon: Duration) -> Option<Duration> {
        self.round_began.map(|began| now.saturating_since(began).min(horizon))
    }
}

/// The messages on their way, in the order in which they were sent. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Network {
    packets: Arc<Vec<Arc<Packet>>>,
}

impl Network {
    pub(super) fn packets(&self) -> &[Arc<Packet>] {
        &self.packets
    }

    /// Adds a message. One that is on its way already becomes the newest again. Of too many from one member
    /// to another the oldest is lost.
    pub(super) fn send(&mut self, packet: Packet, most: usize) {
        let is_same =
            |other: &Arc<Packet>| other.prints == packet.prints && other.round_began == packet.round_began;
        let is_beside = |other: &Arc<Packet>| (other.from, other.to) == (packet.from, packet.to);
        let packets = Arc::make_mut(&mut self.packets);
        if let Some(at) = packets.iter().position(is_same) {
            packets.remove(at);
        } else if packets.iter().filter(|other| is_beside(other)).count() >= most {
            packets.iter().position(is_beside).map(|at| packets.remove(at));
        }
        packets.push(Arc::new(packet));
    }

    /// The hash of all messages, for each order of the members: with the age of each one's round, and with
    /// how many newer ones there are between the same two, which decides when it is lost.
    pub(super) fn prints(&self, now: Instant, horizon: Duration, orders: usize) -> Prints {
        let (mut sums, mut newer) = (Prints::default(), [0_u8; 64]);
        for packet in self.packets.iter().rev() {
            let link = &mut newer[packet.from * 8 + packet.to];
            *link += 1;
            let age = packet.age(now, horizon).map_or(u64::MAX, |age| age.as_nanos() as u64);
            for (sum, print) in sums.iter_mut().zip(packet.prints).take(orders) {
                let mut one = Mix::default();
                [print, age, (*link).into()].into_iter().for_each(|part| one.write_u64(part));
                *sum = sum.wrapping_add(one.finish());
            }
        }
        sums
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, packet: &Arc<Packet>) {
        Arc::make_mut(&mut self.packets).retain(|other| !Arc::ptr_eq(other, packet));
    }

    /// Time passed: messages that only the age of their round told apart may be the same now.
    pub(super) fn pass_time(&mut self, now: Instant, horizon: Duration) {
        let key = |packet: &Packet| (packet.prints[0], packet.age(now, horizon));
        let packets = &*self.packets;
        let is_first = |at: usize| packets[..at].iter().all(|earlier| key(earlier) != key(&packets[at]));
        if (0..packets.len()).all(is_first) {
            return;
        }
        let kept = (0..packets.len()).filter(|at| is_first(*at)).map(|at| packets[at].clone()).collect();
        self.packets = Arc::new(kept);
    }
}
