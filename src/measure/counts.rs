//! How many tests passed and failed, from what test programs print at their end.
//!
//! Invariant: only the last words of programs that are known here count; of an output that was cut
//! there is no number.

use std::sync::LazyLock;

use regex::Regex;

/// Tests of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that passed.
    pub passed: u64,
    /// Those that did not.
    pub failed: u64,
}

/// Each known line, with the names of its numbers: `p` and `f`.
static KNOWN: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let patterns = [
        // cargo test
        r"^test result: [A-Za-z]+\. (?<p>[0-9]+) passed; (?<f>[0-9]+) failed;",
        // cargo nextest
        r"^[ ]*Summary \[.*?\] +[0-9]+ tests? run: (?<p>[0-9]+) passed(?: \([^)]*\))?(?:, (?<f>[0-9]+) failed)?",
        // jest, vitest
        r"^[ ]*Tests:? +(?:(?<f>[0-9]+) failed(?: \||,) +)?(?:[0-9]+ (?:skipped|todo)(?: \||,) +)*(?<p>[0-9]+) passed",
        // unittest
        r"^Ran (?<p>[0-9]+) tests? in ",
        // mocha
        r"^[ ]+(?<p>[0-9]+) passing",
        r"^[ ]+(?<f>[0-9]+) failing$",
        // node's own, tap
        r"^(?:#|ℹ) pass (?<p>[0-9]+)$",
        r"^(?:#|ℹ) fail (?<f>[0-9]+)$",
    ];
    patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect()
});

/// pytest names in any order what there was: `= 1 failed, 12 passed in 0.1s =`.
static PYTEST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^=*[ ]?((?:[0-9]+ [A-Za-z]+, )*[0-9]+ [A-Za-z]+) in [0-9][0-9.]*s.*$").ok()
});

/// What an output says, added up; none where no known program says anything.
pub fn read(output: &str) -> Option<Counts> {
    // What stands where the middle of an output was left out.
    if output.lines().any(|line| line.starts_with("… ") && line.contains(" left out, all in ")) {
        return None;
    }
    let mut found = None;
    let mut ran = None;
    for line in output.lines() {
        let mut add = |passed: u64, failed: u64| {
            let counts: &mut Counts = found.get_or_insert_default();
            counts.passed += passed;
            counts.failed += failed;
        };
        let known = KNOWN.iter().find_map(|pattern| pattern.captures(line));
        if let Some(known) = known {
            let number = |name| known.name(name).and_then(|it| it.as_str().parse::<u64>().ok());
            if line.starts_with("Ran ") {
                ran = number("p");
                continue;
            }
            add(number("p").unwrap_or(0), number("f").unwrap_or(0));
            continue;
        }
        if let Some(all) = ran.take_if(|_| line == "OK" || line.starts_with("OK (")) {
            add(all, 0);
        } else if let Some(all) = ran.take_if(|_| line.starts_with("FAILED (")) {
            let failed: u64 = numbers(line).filter(|(word, _)| is_red(word)).map(|it| it.1).sum();
            add(all.saturating_sub(failed), failed);
        }
        let summary = PYTEST.as_ref().and_then(|pattern| pattern.captures(line));
        if let Some(summary) = summary.and_then(|it| it.get(1)) {
            let parts = summary.as_str().split(", ").filter_map(|part| part.split_once(' '));
            let parts = parts.filter_map(|(count, word)| Some((word, count.parse::<u64>().ok()?)));
            let sum = |wanted: fn(&str) -> bool| {
                parts.clone().filter(|(word, _)| wanted(word)).map(|it| it.1).sum::<u64>()
            };
            let (passed, failed) = (sum(|word| word == "passed"), sum(is_red));
            if passed + failed > 0 {
                add(passed, failed);
            }
        }
    }
    found
}

/// `failures=1, errors=2`, each word with its number.
fn numbers(line: &str) -> impl Iterator<Item = (&str, u64)> {
    let parts = line.split(['(', ')', ',', ' ']);
    parts.filter_map(|part| part.split_once('=')).filter_map(|(word, count)| {
        let count = count.parse().ok()?;
        Some((word, count))
    })
}

fn is_red(word: &str) -> bool {
    matches!(word, "failed" | "error" | "errors" | "failures")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &str) -> Option<(u64, u64)> {
        read(output).map(|Counts { passed, failed }| (passed, failed))
    }

    #[test]
    fn the_last_words_of_known_programs_are_added_up() {
        let cargo = "running 2 tests\ntest a ... ok\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(said(cargo), Some((15, 2)));
        let nextest =
            "     Summary [   1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 0 skipped\n";
        assert_eq!(said(nextest), Some((4, 1)));
        assert_eq!(said("=== 1 failed, 12 passed, 2 warnings in 0.12s ===\n"), Some((12, 1)));
        assert_eq!(said("3 passed in 0.01s\n"), Some((3, 0)));
        assert_eq!(said("Tests:       1 failed, 2 skipped, 12 passed, 15 total\n"), Some((12, 1)));
        assert_eq!(said("      Tests  2 failed | 7 passed (9)\n"), Some((7, 2)));
        assert_eq!(said("..F\nRan 3 tests in 0.001s\n\nFAILED (failures=1)\n"), Some((2, 1)));
        assert_eq!(said("Ran 3 tests in 0.001s\n\nOK\n"), Some((3, 0)));
        assert_eq!(said("  4 passing (9ms)\n  1 failing\n"), Some((4, 1)));
        assert_eq!(said("# tests 3\n# pass 2\n# fail 1\n"), Some((2, 1)));
    }

    #[test]
    fn what_is_not_known_or_not_whole_has_no_number() {
        assert_eq!(said(""), None);
        assert_eq!(said("all 12 tests passed\n"), None);
        assert_eq!(said("I ran 3 tests in my head\n2 files in 3s\n"), None);
        let cut = "test result: ok. 1 passed; 0 failed; 0 ignored\n\
                   … 120 lines (9 KB) left out, all in out/1.txt …\n";
        assert_eq!(said(cut), None);
    }
}
