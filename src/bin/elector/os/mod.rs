//! What this program asks of the operating system: signals, processes, the terminal. Imports nothing from the
//! rest of the program.

pub mod child;
pub mod ended;
#[cfg(target_os = "linux")]
pub mod processes;
pub mod signals;
#[cfg(target_os = "linux")]
pub mod terminal;
