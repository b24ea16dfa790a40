//! What keys of known kinds look like: the rules that are shipped as data.
//!
//! Invariant: a rule's regex is run only where one of its words is in the text, and is made when
//! that happens first; so a text without any costs one pass, and a start costs nothing.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::Finding;

/// gitleaks' own, and ours.
const DATA: [&str; 2] = [include_str!("gitleaks.toml"), include_str!("own.toml")];

static RULES: LazyLock<Rules> = LazyLock::new(Rules::load);

struct Rules {
    rules: Vec<Rule>,
    /// Finds the words of all rules at once, in any case.
    words: Option<AhoCorasick>,
    /// For each word the rules that it is of.
    of_word: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    regex: String,
    keywords: Vec<String>,
    #[serde(default)]
    entropy: f64,
    #[serde(skip)]
    made: OnceLock<Option<Regex>>,
}

/// Adds what fits a rule.
pub(super) fn find(text: &[u8], found: &mut Vec<Finding>) {
    let rules = &*RULES;
    let mut hit = [0_u64; 4];
    let words = rules.words.iter().flat_map(|words| words.find_overlapping_iter(text));
    for word in words {
        for &rule in &rules.of_word[word.pattern().as_usize()] {
            hit[rule / 64] |= 1 << (rule % 64);
        }
    }
    for (index, rule) in rules.rules.iter().enumerate() {
        if hit[index / 64] & 1 << (index % 64) != 0 {
            rule.find(text, found);
        }
    }
}

/// Whether there is a rule of this name.
pub(super) fn is_rule(id: &str) -> bool {
    RULES.rules.iter().any(|rule| rule.id == id)
}

/// How much a byte of it tells, in bits (Shannon).
pub(super) fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let len = bytes.len().max(1) as f64;
    let parts = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / len);
    -parts.map(|part| part * part.log2()).sum::<f64>()
}

impl Rules {
    fn load() -> Self {
        #[derive(Deserialize)]
        struct File {
            rule: Vec<Rule>,
        }
        let mut rules = Vec::new();
        for data in DATA {
            match toml::from_str::<File>(data) {
                Ok(file) => rules.extend(file.rule),
                Err(error) => tracing::error!(%error, "rules for secrets are not to be read"),
            }
        }
        let mut words: Vec<&str> = Vec::new();
        let mut of_word: Vec<Vec<usize>> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            for word in &rule.keywords {
                match words.iter().position(|known| known == word) {
                    Some(at) => of_word[at].push(index),
                    None => {
                        words.push(word);
                        of_word.push(vec![index]);
                    }
                }
            }
        }
        let searched = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&words);
        let words = searched
            .inspect_err(|error| tracing::error!(%error, "no secret is looked for by its form"))
            .ok();
        Self { rules, words, of_word }
    }
}

impl Rule {
    fn find(&self, text: &[u8], found: &mut Vec<Finding>) {
        let Some(regex) = self.made.get_or_init(|| self.make()) else { return };
        for groups in regex.captures_iter(text) {
            let whole = groups.get(0);
            let secret = groups.iter().skip(1).flatten().find(|group| !group.is_empty()).or(whole);
            let Some(secret) = secret else { continue };
            if entropy(secret.as_bytes()) > self.entropy && !is_example(secret.as_bytes()) {
                found.push(Finding { rule: self.id.clone(), range: secret.range() });
            }
        }
    }

    fn make(&self) -> Option<Regex> {
        // As Go's, where the rules are from: of ASCII alone.
        let made = RegexBuilder::new(&self.regex).unicode(false).size_limit(8 << 20).build();
        made.inspect_err(|error| tracing::error!(rule = self.id, %error, "a rule is left out")).ok()
    }
}

/// Whether it is one of those that stand in documentation.
fn is_example(secret: &[u8]) -> bool {
    /// `{"sub":"1234567890","`, of the token that every text on JWT shows.
    const JWT: &str = ".eyJzdWIiOiIxMjM0NTY3ODkwI";
    let Ok(secret) = std::str::from_utf8(secret) else { return false };
    let lower = secret.to_ascii_lowercase();
    let words = ["example", "xxxxx", "your_", "your-", "placeholder", "abcdefghijklmnopqrstuvwxyz"];
    secret.contains(JWT) || words.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_read_and_has_words_that_its_regex_needs() {
        let rules = &*RULES;
        assert!(rules.rules.len() >= 100, "{}", rules.rules.len());
        assert!(rules.rules.len() <= 256, "they have a bit each");
        let mut ids: Vec<_> = rules.rules.iter().map(|rule| &rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rules.rules.len());
        for rule in &rules.rules {
            assert!(rule.make().is_some(), "{}", rule.id);
            assert!(!rule.keywords.is_empty(), "{}", rule.id);
            for word in &rule.keywords {
                assert_eq!(*word, word.to_ascii_lowercase(), "{}", rule.id);
            }
        }
    }

    #[test]
    fn entropy_is_in_bits_a_byte() {
        assert_eq!(entropy(b""), 0.0);
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abab"), 1.0);
        assert_eq!(entropy(b"abcdefgh"), 3.0);
    }
}
