//! The server, asked with bytes: that it serves, goes wrong as told, and refuses what is wrong.
//!
//! Invariant: every rule has a request that keeps it and one that breaks it.

mod client;
mod faults;
mod refusals;
mod script;
