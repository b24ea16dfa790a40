//! Why a forge did not do what was asked.
//!
//! Invariant: what a forge says is one line here, without secrets and without endless pages.

use jiff::Timestamp;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// A setting makes no sense.
    #[error("{key} makes no sense: {why}")]
    BadAddress {
        /// The setting.
        key: String,
        /// Why.
        why: String,
    },
    /// A token holds what no header can.
    #[error("the token from {0} holds characters that no header can")]
    BadToken(String),
    /// There is no HTTP on this machine.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    /// The token is not good there.
    #[error("{host} does not take the token from {source_name}: {said}")]
    Unauthorized {
        /// The host.
        host: String,
        /// Where the token is from.
        source_name: String,
        /// What the forge said.
        said: String,
    },
    /// The forge says no.
    #[error("{host} refused: {said} ({status})")]
    Refused {
        /// The host.
        host: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The project or the thing asked for is not there, or not for this token.
    #[error("{host} knows no {what}, or does not show it to this token")]
    NotFound {
        /// The host.
        host: String,
        /// What.
        what: String,
    },
    /// It is elsewhere by now.
    #[error("{host} says that this has moved to {to}")]
    Moved {
        /// The host.
        host: String,
        /// Where to.
        to: String,
    },
    /// Too much was asked, for longer than is waited.
    #[error("{host} limits the rate until {until}")]
    Limited {
        /// The host.
        host: String,
        /// Until when.
        until: Timestamp,
    },
    /// It cannot be reached, or fails.
    #[error("{host} cannot be reached: {reason}")]
    Away {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// It answers in a way that nobody has promised.
    #[error("{host} answers with what is not understood: {what}")]
    Odd {
        /// The host.
        host: String,
        /// What is odd.
        what: String,
    },
    /// A helper program cannot be run.
    #[error(transparent)]
    Process(#[from] crate::process::ProcessError),
}
