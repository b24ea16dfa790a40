//! What must hold of the source tree itself.
//!
//! Invariant: a guard that fails names the file, and the command or change that mends it.

mod generated;
