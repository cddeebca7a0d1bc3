//! Candidates of the tests' own process that lead.

use elector::Elector;
use elector::core::FencingToken;
use elector_kit::waiting::SOON;

/// Waits until this candidate of the tests' own process leads.
#[track_caller]
pub fn lead(elector: &Elector) -> FencingToken {
    elector.wait_until_leader(SOON).unwrap_or_else(|| panic!("{:?}", elector.last_error()))
}

/// Lets the elector campaign, and waits until it leads.
#[track_caller]
pub fn leading(elector: Elector) -> Elector {
    elector.campaign();
    lead(&elector);
    elector
}
