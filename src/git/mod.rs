//! git, one noun a file.
//!
//! Invariant: every ref write compares the old value; no git call of ours obeys config that an agent could have written.
mod filter;
mod index;
mod scan;
pub mod snapshot;
mod take;
