//! Proposals that wait for a record, and those whose record is not committed yet.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::message::Refusal;

/// Maximum number of proposals that wait for an answer.
const MAX_WAITING: usize = 1024;

/// The proposals of one leader. While a record is in flight the next one is collected: later data replaces
/// earlier, and all proposals in it are answered with its index.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposals {
    /// The data of the record after the one in flight.
    next: Option<Arc<[u8]>>,
    /// The requests that are in it.
    next_requests: Vec<u64>,
    /// Requests in the record in flight, with its index.
    in_flight: VecDeque<(u64, u64)>,
}

impl Proposals {
    /// Adds a proposal. `newest` is the index of the newest record.
    pub(super) fn add(
        &mut self,
        request: u64,
        expected: Option<u64>,
        data: Arc<[u8]>,
        newest: u64,
    ) -> Result<(), Refusal> {
        // Judged against the record that it would replace: with one being collected already, that is the one.
        let preceding = if self.next.is_some() { newest + 1 } else { newest };
        if expected.is_some_and(|expected| expected != preceding) {
            return Err(Refusal::IndexMismatch(preceding));
        }
        if expected.is_some() && self.next.is_some() {
            return Err(Refusal::Busy);
        }
        if self.next_requests.len() + self.in_flight.len() >= MAX_WAITING {
            return Err(Refusal::Busy);
        }
        self.next = Some(data);
        self.next_requests.push(request);
        Ok(())
    }

    /// The data for a record with this index, if a proposal wants one.
    pub(super) fn take(&mut self, index: u64) -> Option<Arc<[u8]>> {
        let data = self.next.take()?;
        self.in_flight.extend(self.next_requests.drain(..).map(|request| (request, index)));
        Some(data)
    }

    /// The requests whose record is committed, now that `index` is, with the index of their record.
    pub(super) fn committed(&mut self, index: u64) -> Vec<(u64, u64)> {
        let done = self.in_flight.iter().take_while(|(_, of)| *of <= index).count();
        self.in_flight.drain(..done).collect()
    }

    /// All requests, for a leader that leads no more: those that took no effect, and those of which that is
    /// not known.
    pub(super) fn give_up(&mut self) -> (Vec<u64>, Vec<u64>) {
        self.next = None;
        let unknown = self.in_flight.drain(..).map(|(request, _)| request).collect();
        (::core::mem::take(&mut self.next_requests), unknown)
    }
}
