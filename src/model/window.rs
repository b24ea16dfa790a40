//! How many tokens a conversation with a model may have.
//!
//! Invariant: what is set comes first, then what is known of the very model, then what holds for
//! its family; of a model that nobody knows, little is expected.

use super::choice::Choice;

/// By what an id begins with, the longest beginnings first: windows in tokens, as the vendors'
/// pages and the model cards of November 2026 have them; the least of a family.
const FAMILIES: [(&str, u64); 20] = [
    ("gpt-4.1", 1_000_000),
    ("gpt-4o", 128_000),
    ("gpt-4", 128_000),
    ("gpt-3", 16_000),
    ("gpt-oss", 128_000),
    ("gpt-", 272_000),
    ("codex", 200_000),
    ("o1", 200_000),
    ("o3", 200_000),
    ("o4", 200_000),
    ("claude-", 200_000),
    ("gemini-", 1_000_000),
    ("deepseek", 128_000),
    ("kimi", 128_000),
    ("glm-", 128_000),
    ("grok-", 128_000),
    ("mistral", 128_000),
    ("devstral", 128_000),
    ("minimax", 192_000),
    ("qwen3-coder", 256_000),
];

/// Of a model that nobody knows, behind an address that is not this machine.
const UNKNOWN: u64 = 100_000;
/// Of any model on this machine: what a server there is mostly started with.
const LOCAL: u64 = 32_000;

/// The window that is counted with where nothing is set.
pub(super) fn window(choice: &Choice, known: Option<u64>) -> u64 {
    let is_local = choice.provider.base.starts_with("http:");
    let name = choice.model().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let family = FAMILIES.iter().find(|(begin, _)| name.starts_with(begin));
    match (known, family) {
        (Some(known), _) => known,
        // However much a model could take in, its server decides.
        _ if is_local => LOCAL,
        (None, Some((_, window))) => *window,
        (None, None) => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_that_is_known_decides() {
        let of = |choice: &str, known| window(&choice.parse().unwrap(), known);
        assert_eq!(of("anthropic/claude-next", None), 200_000);
        assert_eq!(of("anthropic/claude-next", Some(5)), 5);
        assert_eq!(of("openrouter/anthropic/claude-next", None), 200_000);
        assert_eq!(of("openai/gpt-4.1-mini", None), 1_000_000);
        assert_eq!(of("openai/gpt-9", None), 272_000);
        assert_eq!(of("chat/zephyr", None), 100_000);
        assert_eq!(of("ollama/qwen3-coder", None), 32_000);
    }

    #[test]
    fn no_family_hides_another() {
        for (at, (begin, _)) in FAMILIES.iter().enumerate() {
            let hidden = FAMILIES[..at].iter().find(|(earlier, _)| begin.starts_with(earlier));
            assert_eq!(hidden, None, "{begin}");
        }
    }
}
