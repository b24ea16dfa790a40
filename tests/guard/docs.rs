//! Each file says what it is for, and each of the program's what always holds in it.
//!
//! Invariant: the map and the entry alone have no invariant of their own.

use super::{Source, assert_none, rust_sources};

fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in sources {
        if !text.starts_with("//! ") {
            complaints.push(format!("{path}:1: begin the file with `//! ` and what it is for"));
        }
        let needs = path.starts_with("src/") && path != "src/lib.rs" && path != "src/main.rs";
        let mut doc = text.lines().take_while(|line| line.starts_with("//!"));
        if needs && !doc.any(|line| line.starts_with("//! Invariant: ")) {
            complaints.push(format!(
                "{path}:1: add a line `//! Invariant: …` to its doc: what always holds here"
            ));
        }
    }
    complaints
}

#[test]
fn files_say_what_they_are_for() {
    assert_none(&complaints(&rust_sources()));
}

#[test]
fn a_silent_file_is_noticed() {
    let told = complaints(&[
        Source::new("src/a.rs", "//! A.\n//!\n//! Invariant: a.\n"),
        Source::new("src/main.rs", "//! Main.\n"),
        Source::new("tests/a.rs", "//! A.\n"),
        Source::new("src/b.rs", "//! B.\n\n// Invariant: not in the doc.\n"),
        Source::new("benches/c.rs", "use std::fs;\n"),
    ]);
    let wanted = [
        "src/b.rs:1: add a line `//! Invariant: …` to its doc: what always holds here",
        "benches/c.rs:1: begin the file with `//! ` and what it is for",
    ];
    assert_eq!(told, wanted);
}
