//! What hosts ask of their members, and what the answers promise.

use alloc::format;
use alloc::sync::Arc;

use super::super::checks::{Broken, History};

/// What a host asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Transfer,
    Change,
    /// Proposals are numbered downwards to 1. One with an expected index may replace only the record there.
    Proposal {
        number: u8,
        expected: Option<u64>,
    },
}

impl Request {
    /// The number that the host chooses. It says all of the request, so an answer can be checked without a
    /// memory of the requests, which would make states differ.
    pub(super) fn number(self) -> u64 {
        match self {
            Request::Transfer => 0,
            Request::Change => 1 << 8,
            Request::Proposal { number, expected } => {
                expected.map_or(0, |expected| expected + 1) << 8 | u64::from(number)
            }
        }
    }

    fn of(number: u64) -> Request {
        match ((number & 0xFF) as u8, number >> 8) {
            (0, 0) => Request::Transfer,
            (0, _) => Request::Change,
            (number, expected) => Request::Proposal { number, expected: expected.checked_sub(1) },
        }
    }

    /// The data of a proposal. A search must not merge records whose answers promise different things: so a
    /// proposal with an expected index has data of its own.
    pub(super) fn data(self) -> Arc<[u8]> {
        match self {
            Request::Proposal { number, expected } => [number, expected.is_some().into()].into(),
            Request::Transfer | Request::Change => Arc::default(),
        }
    }
}

/// Whether the answer `Ok(index)` to the request with this number holds: the record with this index is
/// committed, and has what was proposed.
pub(super) fn check_answer(number: u64, index: u64, history: Option<&History>) -> Result<(), Broken> {
    let request = Request::of(number);
    if request == Request::Transfer {
        return Ok(());
    }
    let Some((record, before)) = history.and_then(|history| history.committed_at(index)) else {
        return Err(format!("{request:?} is answered with index {index}, where no record is committed"));
    };
    let holds = match request {
        Request::Proposal { expected: Some(expected), .. } => {
            before.index == expected && record.data == request.data()
        }
        // The data may be that of a later proposal for the same record.
        Request::Proposal { number, expected: None } => {
            matches!(*record.data, [of, 0] if (1..=number).contains(&of))
        }
        Request::Transfer | Request::Change => true,
    };
    if holds {
        return Ok(());
    }
    let data = &record.data;
    Err(format!("{request:?} is answered with index {index}, committed with {data:?} in place of {before}"))
}
