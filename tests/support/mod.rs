//! What tests stand on.
//!
//! Invariant: nothing here tests the product; it only makes it testable.

pub(crate) mod server;
