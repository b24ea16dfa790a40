//! Numbers that other programs' outputs hold: what of the code their tests run, how many passed.
//!
//! Invariant: a number is read or there is none; nothing is guessed from half of an output.

pub mod counts;
pub mod coverage;
