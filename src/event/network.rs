//! What a session's commands wanted of the network.
//!
//! Invariant: each host is told once a call, as it was dialled or would have been.

use serde::{Deserialize, Serialize};

/// A host that a command asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The host and port, `example.com:443`.
    pub place: String,
    /// What became of it.
    pub access: Access,
    /// Bytes that came from there.
    #[serde(default)]
    pub received: u64,
}

/// What became of a wish for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It was let through.
    Allowed,
    /// It is not among the hosts of the session.
    NotAllowed,
    /// It leads to an address that is not in the internet.
    Private,
    /// Something that a newer program says.
    #[serde(other)]
    Unknown,
}
