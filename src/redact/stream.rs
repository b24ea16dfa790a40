//! Secrets in what comes in pieces.
//!
//! Invariant: a line is let go when it is whole, and a private key when it is; so no border between
//! two pieces hides a secret, and memory stays bounded.

use std::sync::Arc;

use super::Secrets;

/// What is held back at most, in bytes: a line or a private key that is longer comes in parts.
const HELD: usize = 64 << 10;
/// What is still held of a line that is let go in parts: no key of a known kind is longer.
const OVERLAP: usize = 4 << 10;
/// How a private key begins and ends.
const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";

/// Takes secrets out of a stream.
#[derive(Debug)]
pub struct Stream {
    secrets: Arc<Secrets>,
    held: Vec<u8>,
}

impl Stream {
    /// Of what this process knows to be secret now.
    pub fn new() -> Self {
        Self::with(super::secrets())
    }

    pub(super) fn with(secrets: Arc<Secrets>) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// Takes in a piece, and gives what may be stored by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let settled = self.settled();
        let clean = self.secrets.take_out_of_bytes(&self.held[..settled]).into_owned();
        self.held.drain(..settled);
        clean
    }

    /// What is held back, as it would be stored if nothing more came.
    pub fn rest(&self) -> Vec<u8> {
        self.secrets.take_out_of_bytes(&self.held).into_owned()
    }

    /// How much of what is held cannot be changed by what comes.
    fn settled(&self) -> usize {
        let held = &self.held;
        let whole = memchr::memrchr(b'\n', held).map_or(0, |at| at + 1);
        let open = memchr::memmem::rfind(&held[..whole], BEGIN)
            .filter(|at| memchr::memmem::find(&held[*at..whole], END).is_none())
            .map(|at| memchr::memrchr(b'\n', &held[..at]).map_or(0, |line| line + 1));
        let settled = open.unwrap_or(whole);
        if held.len() - settled <= HELD {
            return settled;
        }
        // Not within what is found to be one.
        let cut = held.len() - OVERLAP;
        let found = self.secrets.find(held);
        let within = found.iter().find(|it| it.range.start < cut && cut < it.range.end);
        within.map_or(cut, |it| it.range.end)
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}
