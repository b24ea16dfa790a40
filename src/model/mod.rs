//! Models, one wire format a file.
//!
//! Invariant: an answer goes back byte for byte, and a request only ever grows at its end.
