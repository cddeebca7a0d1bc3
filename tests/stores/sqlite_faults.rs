//! What the SQLite store does when files, disks, other programs and processes misbehave.

mod descriptors;
mod files;
mod places;
mod processes;
mod rows;
mod site;
mod terms;
mod timed;
