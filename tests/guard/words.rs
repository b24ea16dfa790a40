//! Nothing of the machine it was written on is in the source.
//!
//! Invariant: a word counts where a path or a host begins, so that `a/work/b` is nobody's.

use super::{Source, assert_none, sources};

/// Beginnings of paths that are somebody's own, and hosts that packages come from; each in two
/// parts, so that this file does not hold them.
const FOREIGN: [(&str, &str); 8] = [
    ("/ro", "ot/"),
    ("/wo", "rk/"),
    ("/Us", "ers/"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("registry.np", "mjs.org"),
    ("pypi.o", "rg"),
    ("proxy.gol", "ang.org"),
];

fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for (number, line) in source.lines() {
            for (start, end) in FOREIGN {
                let word = format!("{start}{end}");
                if line.match_indices(&word).any(|(at, _)| begins(&line[..at])) {
                    complaints.push(format!(
                        "{}:{number}: `{word}` is of some machine: take a path of the test's own, \
                         or example.org",
                        source.path
                    ));
                }
            }
        }
    }
    complaints
}

/// Whether a word begins after this.
fn begins(before: &str) -> bool {
    let last = before.chars().next_back();
    before.ends_with("//") || !last.is_some_and(|c| c.is_alphanumeric() || "/._-}])*~".contains(c))
}

#[test]
fn no_machine_is_named() {
    assert_none(&complaints(&sources(&[
        "src",
        "tests",
        "benches",
        "hooks",
        "man",
        "completions",
        ".ci",
        "Cargo.toml",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        ".clippy.toml",
    ])));
}

#[test]
fn a_foreign_word_is_noticed() {
    let host = format!("https://{}{}/x", "registry.np", "mjs.org");
    let text = format!("wt/work/x\n\"{}{}x\"\nsee {host}\n", "/ro", "ot/");
    let told = complaints(&[Source::new("src/a.rs", &text)]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("src/a.rs:2: ") && told[1].starts_with("src/a.rs:3: "), "{told:?}");
}
