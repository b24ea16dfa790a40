//! Files stay small enough to be read in one go.
//!
//! Invariant: there is no list of exceptions.

use super::{Source, assert_none, rust_sources};

/// The most lines of code in a file.
const LIMIT: usize = 500;
/// The most lines of code in `src/main.rs`.
const MAIN_LIMIT: usize = 20;

fn complaints(sources: &[Source]) -> Vec<String> {
    let over = sources.iter().filter_map(|source| {
        let limit = if source.path == "src/main.rs" { MAIN_LIMIT } else { LIMIT };
        let lines = code_lines(&source.text);
        (lines > limit).then(|| {
            format!(
                "{}:1: {lines} lines of code, the limit is {limit}: find the second idea in it and \
                 give it a file of its own",
                source.path
            )
        })
    });
    over.collect()
}

/// Lines that are not blank, not a comment, and not in an inline module of tests.
fn code_lines(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if line == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            // Formatted code closes a module of the top level at the line's beginning.
            lines.by_ref().find(|line| *line == "}");
        } else if !line.trim().is_empty() && !line.trim_start().starts_with("//") {
            count += 1;
        }
    }
    count
}

#[test]
fn files_are_small() {
    assert_none(&complaints(&rust_sources()));
}

#[test]
fn a_long_file_is_noticed() {
    let code = |lines: usize| "let x = 1;\n".repeat(lines);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(900));
    let padded = format!("{}\n\n// no code\n{tests}", code(LIMIT));
    let fine = [Source::new("src/a.rs", &padded), Source::new("src/main.rs", &code(MAIN_LIMIT))];
    assert_eq!(complaints(&fine), Vec::<String>::new());
    let after_tests = format!("{tests}{}", code(LIMIT + 1));
    let broken =
        [Source::new("src/a.rs", &after_tests), Source::new("src/main.rs", &code(MAIN_LIMIT + 1))];
    let told = complaints(&broken);
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("src/a.rs:1: 501 lines of code, the limit is 500"), "{told:?}");
    assert!(told[1].starts_with("src/main.rs:1: 21 lines of code, the limit is 20"), "{told:?}");
}
