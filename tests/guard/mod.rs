//! The rules of the house that no compiler holds.
//!
//! Invariant: each rule is a function from sources to complaints, and is shown to complain.

mod docs;
mod generated;
mod layers;
mod size;
mod words;

use std::fs;
use std::path::Path;

/// One file of this repository.
struct Source {
    /// Relative to the top, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// All text files below these folders (or these files), in order; what is not there is left out.
fn sources(tops: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for top in tops {
        collect(top, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The Rust files of the program, its tests and its benches.
fn rust_sources() -> Vec<Source> {
    let mut sources = sources(&["src", "tests", "benches"]);
    sources.retain(|source| source.path.ends_with(".rs"));
    assert!(sources.iter().any(|source| source.path == "src/main.rs"), "run at the top");
    sources
}

fn collect(path: &str, found: &mut Vec<Source>) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if place.is_dir() {
        for entry in fs::read_dir(&place).expect("a folder").flatten() {
            let name = entry.file_name().into_string().expect("names are ASCII");
            collect(&format!("{path}/{name}"), found);
        }
    } else if let Ok(text) = fs::read_to_string(&place) {
        found.push(Source::new(path, &text));
    }
}

/// Fails with all complaints.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
