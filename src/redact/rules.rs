//! What keys of known kinds look like: the rules that are shipped as data.
//!
//! Invariant: a rule's regex is run only where one of its words is in the text, and is made when
//! that happens first; so a text without any costs one pass, and a start costs nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::Finding;

/// gitleaks' own, and ours.
const DATA: [&str; 2] = [include_str!("gitleaks.toml"), include_str!("own.toml")];

static RULES: LazyLock<Rules> = LazyLock::new(Rules::load);

struct Rules {
    rules: Vec<Rule>,
    /// Each word once.
    words: Vec<&'static str>,
    /// For each word the rules that it is of.
    of_word: Vec<Vec<usize>>,
    /// Finds all words at once, in any case. It takes as long to make as the whole of a small
    /// command, so that a command which says but a line or two does without.
    automaton: OnceLock<Option<AhoCorasick>>,
    /// Texts that were searched without it.
    searched: AtomicUsize,
}

struct Rule {
    id: &'static str,
    regex: &'static str,
    keywords: Vec<&'static str>,
    entropy: f64,
    made: OnceLock<Option<Regex>>,
}

/// Texts of more bytes, and more texts, than these are searched for all words at once.
const SHORT: usize = 1024;
const FEW: usize = 64;

/// Adds what fits a rule.
pub(super) fn find(text: &[u8], found: &mut Vec<Finding>) {
    let rules = &*RULES;
    let mut hit = [0_u64; 4];
    rules.words_in(text, |word| {
        for &rule in &rules.of_word[word] {
            hit[rule / 64] |= 1 << (rule % 64);
        }
    });
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
        let rules: Vec<_> = DATA.into_iter().flat_map(read).collect();
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
        Self { rules, words, of_word, automaton: OnceLock::new(), searched: AtomicUsize::new(0) }
    }

    /// Tells of each word that is in the text, in any case, by its number.
    fn words_in(&self, text: &[u8], mut tell: impl FnMut(usize)) {
        let is_made = self.automaton.get().is_some();
        // Nothing but speed follows from the count.
        if !is_made && text.len() <= SHORT && self.searched.fetch_add(1, Ordering::Relaxed) < FEW {
            let text = text.to_ascii_lowercase();
            let words = self.words.iter().enumerate();
            let found = words.filter(|(_, word)| memmem::find(&text, word.as_bytes()).is_some());
            return found.for_each(|(word, _)| tell(word));
        }
        let automaton = self.automaton.get_or_init(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&self.words)
                .inspect_err(|error| tracing::error!(%error, "no secret is looked for by its form"))
                .ok()
        });
        let found = automaton.iter().flat_map(|words| words.find_overlapping_iter(text));
        found.for_each(|word| tell(word.pattern().as_usize()));
    }
}

/// The rules of a file. Each line of it is one key with its value, which a reader of all of TOML
/// takes twenty times as long for; a test holds it to that one.
fn read(data: &'static str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for line in data.lines() {
        if line == "[[rule]]" {
            let made = OnceLock::new();
            rules.push(Rule { id: "", regex: "", keywords: Vec::new(), entropy: 0.0, made });
        }
        let Some(rule) = rules.last_mut() else { continue };
        if let Some(id) = line.strip_prefix("id = ") {
            rule.id = id.trim_matches('"');
        } else if let Some(regex) = line.strip_prefix("regex = ") {
            rule.regex = regex.trim_matches('\'');
        } else if let Some(words) = line.strip_prefix("keywords = ") {
            rule.keywords = words.split('"').skip(1).step_by(2).collect();
        } else if let Some(entropy) = line.strip_prefix("entropy = ") {
            rule.entropy = entropy.parse().unwrap_or_default();
        }
    }
    rules
}

impl Rule {
    fn find(&self, text: &[u8], found: &mut Vec<Finding>) {
        let Some(regex) = self.made.get_or_init(|| self.make()) else { return };
        for groups in regex.captures_iter(text) {
            let whole = groups.get(0);
            let secret = groups.iter().skip(1).flatten().find(|group| !group.is_empty()).or(whole);
            let Some(secret) = secret else { continue };
            if entropy(secret.as_bytes()) > self.entropy && !is_example(secret.as_bytes()) {
                found.push(Finding { rule: self.id.to_owned(), range: secret.range() });
            }
        }
    }

    fn make(&self) -> Option<Regex> {
        // As Go's, where the rules are from: of ASCII alone.
        let made = RegexBuilder::new(self.regex).unicode(false).size_limit(8 << 20).build();
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
        let mut ids: Vec<_> = rules.rules.iter().map(|rule| rule.id).collect();
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
    fn the_files_are_read_as_any_reader_of_toml_does() {
        #[derive(serde::Deserialize)]
        struct File {
            rule: Vec<Told>,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Told {
            id: String,
            regex: String,
            keywords: Vec<String>,
            #[serde(default)]
            entropy: f64,
        }
        for data in DATA {
            let ours = read(data).into_iter().map(|rule| Told {
                id: rule.id.to_owned(),
                regex: rule.regex.to_owned(),
                keywords: rule.keywords.into_iter().map(str::to_owned).collect(),
                entropy: rule.entropy,
            });
            assert_eq!(ours.collect::<Vec<_>>(), toml::from_str::<File>(data).unwrap().rule);
        }
    }

    #[test]
    fn words_are_found_one_by_one_as_they_are_all_at_once() {
        let words_in = |rules: &Rules, text: &str| {
            let mut found = Vec::new();
            rules.words_in(text.as_bytes(), |word| found.push(word));
            found.sort_unstable();
            found.dedup();
            found
        };
        let at_once = Rules::load();
        words_in(&at_once, &"x".repeat(SHORT + 1));
        assert!(at_once.automaton.get().is_some());
        let all = at_once.words.join(" ");
        let texts = at_once.words.iter().map(|word| format!("a{}z", word.to_ascii_uppercase()));
        for text in texts.chain([all[..SHORT].to_owned(), String::new()]) {
            let one_by_one = Rules::load();
            assert_eq!(words_in(&one_by_one, &text), words_in(&at_once, &text), "{text}");
            assert!(one_by_one.automaton.get().is_none());
        }
        let many = Rules::load();
        (0..=FEW).for_each(|_| drop(words_in(&many, "")));
        assert!(many.automaton.get().is_some());
    }

    #[test]
    fn entropy_is_in_bits_a_byte() {
        assert_eq!(entropy(b""), 0.0);
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abab"), 1.0);
        assert_eq!(entropy(b"abcdefgh"), 3.0);
    }
}
