//! The pure core, without any driver: transcripts of its machine. `tests/sim` plays whole worlds with it.

mod lease;
