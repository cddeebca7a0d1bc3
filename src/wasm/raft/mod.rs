//! The Raft machine for JavaScript.

mod machine;
mod output;

use wasm_bindgen::prelude::wasm_bindgen;

pub use machine::{Founder, ProtocolRole, RaftMachine, RaftMachineOptions};
pub use output::{RaftLeadershipObject, RaftMemberObject, RaftOutputObject, RaftRefusedObject};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");
