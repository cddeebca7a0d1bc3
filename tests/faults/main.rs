//! Hosts that misbehave, processes that are killed, and machines that run out of something.

#[cfg(all(target_os = "linux", feature = "sqlite"))]
mod candidate;
#[cfg(all(target_os = "linux", feature = "sqlite"))]
mod descriptors;
#[cfg(all(unix, feature = "driver"))]
mod hostile;
#[cfg(all(target_os = "linux", feature = "sqlite"))]
mod kills;
#[cfg(all(target_os = "linux", feature = "sqlite"))]
mod sweep;
