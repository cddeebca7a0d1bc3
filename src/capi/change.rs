//! What C is told of one change.

use std::ffi::c_char;

use super::boundary::Growing;
use super::leadership::{elector_event, elector_reason};
use super::text;
use crate::core::lease::Event;
use crate::driver::hub::changes::Change;

/// One change of one elector. Initialise it with ELECTOR_CHANGE_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct elector_change {
    /// Set it to sizeof this struct.
    pub struct_size: u32,
    /// What happened.
    pub event: elector_event,
    /// The number of the change: the changes of an elector are numbered from 1, without gaps.
    pub revision: u64,
    /// The time of the change, in milliseconds since 1970 on this machine's wall clock. For people to read:
    /// the clock may be stepped.
    pub at_unix_ms: u64,
    /// The fencing token of the event's term; 0 for an event without a term.
    pub token: u64,
    /// DEPOSED: why the term ended.
    pub reason: elector_reason,
    /// LEADER_CHANGED: the name of the candidate that leads now, or "" if none does. NUL-terminated.
    pub leader: [c_char; 256],
}

// SAFETY: `repr(C)`, begins with its size, only ever read by us where we filled it.
unsafe impl Growing for elector_change {
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl elector_change {
    pub(super) fn of(change: &Change) -> elector_change {
        let mut made = elector_change {
            struct_size: u32::try_from(size_of::<elector_change>()).expect("it is small"),
            event: elector_event::of(&change.event),
            revision: change.revision,
            at_unix_ms: change.at_unix_ms,
            token: elector_event::token(&change.event),
            reason: elector_event::reason(&change.event),
            leader: [0; 256],
        };
        if let Event::LeaderChanged { leader: Some(leader) } = &change.event {
            // SAFETY: the array is as long as it says.
            unsafe { text::write(made.leader.as_mut_ptr(), made.leader.len(), &[leader.id.candidate()]) };
        }
        made
    }
}
