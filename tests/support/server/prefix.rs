//! How much of each request a provider's prompt cache would find again.
//!
//! Invariant: marks that tell where to cache are not part of what is cached.

/// The share of the bytes of each request that the next one begins with; 1 for fewer than two.
///
/// Cache marks are left out on both sides. The closing brackets of a request never recur, so
/// even an ideal client stays just below 1.
pub fn prefix_stability(bodies: &[Vec<u8>]) -> f64 {
    let bodies: Vec<Vec<u8>> = bodies.iter().map(|body| without_marks(body)).collect();
    let (mut common, mut all) = (0, 0);
    for pair in bodies.windows(2) {
        common += pair[0].iter().zip(&pair[1]).take_while(|(a, b)| a == b).count();
        all += pair[0].len();
    }
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

/// The body without its `"cache_control":{…}` members, and without the comma before or after.
fn without_marks(body: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = br#""cache_control":{"#;
    let mut rest = body;
    let mut kept = Vec::with_capacity(body.len());
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        let Some(end) = rest[at..].iter().position(|byte| *byte == b'}') else { break };
        kept.extend_from_slice(&rest[..at]);
        rest = &rest[at + end + 1..];
        if kept.last() == Some(&b',') {
            kept.pop();
        } else if rest.first() == Some(&b',') {
            rest = &rest[1..];
        }
    }
    kept.extend_from_slice(rest);
    kept
}
