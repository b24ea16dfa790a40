//! The ids of traces and spans.
//!
//! Invariant: they follow from the session's id and the place in its journal alone, so that a
//! session that goes on, on whatever machine, goes on in the same trace.

use ring::digest::{SHA256, digest};

use super::span::{Id, SpanId, TraceId};

/// The trace of a session.
pub(super) fn trace(session: &str) -> TraceId {
    Id(first(&format!("git-agent trace {session}")))
}

/// The span of what begins, or is told, at this byte of the journal; several begin at one.
pub(super) fn span(session: &str, kind: &str, at: u64) -> SpanId {
    Id(first(&format!("git-agent span {session} {kind} {at}")))
}

/// The first bytes of the hash: as good as random, and never all zero.
fn first<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otel_ids_are_the_same_each_time_and_differ_by_session_kind_and_place() {
        assert_eq!(trace("a-7f3k"), trace("a-7f3k"));
        assert_ne!(trace("a-7f3k"), trace("b-7f3k"));
        let spans = [("a", "chat", 0), ("a", "chat", 1), ("a", "tool", 0), ("b", "chat", 0)];
        let ids: std::collections::HashSet<_> =
            spans.iter().map(|(session, kind, at)| span(session, kind, *at)).collect();
        assert_eq!(ids.len(), spans.len());
        assert_eq!(trace("a").to_string().len(), 32);
    }
}
