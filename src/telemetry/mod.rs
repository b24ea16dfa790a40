//! Traces of sessions for an OpenTelemetry collector, in the words of its conventions for
//! generative AI; only with the cargo feature `otel`, which is on by default.
//!
//! [`Fold`] makes spans of events, [`Collector`] sends them.
//!
//! Invariant: a span says when something happened as the journal says it, and the same journal
//! gives the same spans with the same ids, whoever reads it and however often.

mod collector;
mod content;
mod fold;
mod id;
mod span;

pub use collector::{Collector, NotSent, Where};
pub use fold::Fold;
pub use span::Span;
