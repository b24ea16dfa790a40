//! Imports go down: the table in `src/lib.rs` is the rule.
//!
//! Invariant: the table is read, not repeated; a module that stands in no layer is a complaint.

use std::collections::HashMap;

use super::{Source, assert_none, rust_sources};

/// What `agent` must not name, whatever the layers allow: it knows no git, no session, no disk.
const NOT_IN_AGENT: [&str; 5] = ["std::fs", "fs_err", "tokio::fs", "File::", "OpenOptions"];

/// The layers, as the doc of `src/lib.rs` has them.
struct Layers {
    of: HashMap<String, u32>,
    /// `a` may know `b` although they are of one layer.
    inner: Vec<(String, String)>,
}

impl Layers {
    /// Reads the fenced table, and after it the sentence that begins with "Within": in each of
    /// its clauses, a module knows those that are named after it.
    fn parse(lib: &str) -> Self {
        let doc: Vec<&str> = lib.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let doc = doc.join("\n");
        let (_, table) = doc.split_once("```text\n").expect("src/lib.rs has the layer table");
        let (table, after) = table.split_once("```").expect("the table ends");
        let mut of = HashMap::new();
        for line in table.lines() {
            let mut words = line.split_whitespace();
            let Some(layer) = words.next() else { continue };
            let layer = layer.parse().expect("a line of the table begins with its number");
            of.extend(words.map(|module| (module.to_owned(), layer)));
        }
        let within = after.find("Within").map_or("", |at| &after[at..]);
        let sentence = within.split(".\n").next().unwrap_or_default();
        let mut inner = Vec::new();
        for clause in sentence.split(';') {
            let names: Vec<&str> = clause.split('`').skip(1).step_by(2).collect();
            for (index, name) in names.iter().enumerate() {
                let later = names[index + 1..].iter();
                inner.extend(later.map(|later| ((*name).to_owned(), (*later).to_owned())));
            }
        }
        Self { of, inner }
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        from == to
            || self.of[to] < self.of[from]
            || self.inner.contains(&(from.to_owned(), to.to_owned()))
    }
}

fn complaints(layers: &Layers, sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix("src/") else { continue };
        if matches!(inside, "lib.rs" | "main.rs") {
            continue;
        }
        let room = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        if !layers.of.contains_key(room) {
            complaints.push(format!(
                "{}:1: `{room}` stands in no layer: add it to the table in src/lib.rs",
                source.path
            ));
            continue;
        }
        for (line, name) in imports(source) {
            if layers.of.contains_key(&name) && !layers.allows(room, &name) {
                complaints.push(format!(
                    "{}:{line}: `{room}` (layer {}) imports `{name}` (layer {}): a module imports \
                     from lower layers only. Move what is shared down, or pass it in as a value or \
                     a trait.",
                    source.path, layers.of[room], layers.of[&name]
                ));
            }
        }
        if room == "agent" {
            complaints.extend(disk_in_agent(source));
        }
    }
    complaints
}

fn disk_in_agent(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    // Its tests give the tools real files to work on.
    if source.path.ends_with("/tests.rs") {
        return complaints;
    }
    for (number, line) in source.lines() {
        let code = code_of(line);
        let names = NOT_IN_AGENT.into_iter().filter(|name| code.contains(name));
        complaints.extend(names.map(|name| {
            format!(
                "{}:{number}: `agent` names `{name}`: the loop knows no git and no disk. Declare a \
                 trait there and implement it in `runner`.",
                source.path
            )
        }));
    }
    complaints.extend(imports(source).into_iter().filter(|(_, name)| name == "session" || name == "git").map(
        |(line, name)| {
            format!(
                "{}:{line}: `agent` imports `{name}`: the loop knows no git and no disk. Declare a \
                 trait there and implement it in `runner`.",
                source.path
            )
        },
    ));
    complaints
}

/// The top modules that a file names, by `crate::` or by climbing there with `super::`, each with
/// its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let depth = depth(&source.path);
    let mut code = String::new();
    for (_, line) in source.lines() {
        code.push_str(code_of(line));
        code.push('\n');
    }
    let mut found = Vec::new();
    let climbs = "super::".repeat(depth);
    for root in ["crate::", climbs.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + root.len()..];
            for (offset, name) in names(rest) {
                found.push((line + rest[..offset].matches('\n').count(), name.to_owned()));
            }
        }
    }
    found
}

/// How many modules deep the file is: 1 for `src/a.rs` and `src/a/mod.rs`.
fn depth(path: &str) -> usize {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').skip(1).collect();
    if parts.last() == Some(&"mod") { parts.len() - 1 } else { parts.len() }
}

/// The first names of a path, or of each path of a group in braces, with where they stand.
fn names(path: &str) -> Vec<(usize, &str)> {
    let name_at = |at: usize| {
        let name = &path[at..];
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        (at, &name[..end])
    };
    if !path.starts_with('{') {
        return vec![name_at(0)];
    }
    let mut found = Vec::new();
    let mut depth = 0;
    let mut expects_name = false;
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if expects_name && !c.is_whitespace() => found.push(name_at(at)),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        expects_name = depth == 1 && (matches!(c, '{' | ',') || expects_name && c.is_whitespace());
    }
    found
}

/// The line without its comment.
fn code_of(line: &str) -> &str {
    match line.find("//") {
        Some(at) if line[..at].matches('"').count().is_multiple_of(2) => &line[..at],
        _ => line,
    }
}

#[test]
fn imports_go_down() {
    let sources = rust_sources();
    let lib = sources.iter().find(|source| source.path == "src/lib.rs").expect("it is the map");
    assert_none(&complaints(&Layers::parse(&lib.text), &sources));
}

#[test]
fn an_import_upwards_is_noticed() {
    let lib = "//! ```text\n//! 3 agent land\n//! 2 cli error git session\n//! 1 file\n//! ```\n\
               //! Within layer 2, `cli` knows\n//! `error`; and `git` knows `session`.\n";
    let layers = Layers::parse(lib);
    let told = |path: &str, text: &str| complaints(&layers, &[Source::new(path, text)]);
    let fine = [
        ("src/cli.rs", "use crate::error::E;\nuse crate::{file, error};\nuse git::x;\n"),
        ("src/git/mod.rs", "use crate::git::refs;\nuse crate::session;\n"),
        ("src/error.rs", "//! [`crate::land`]\nfn f() {} // crate::land\n"),
        ("src/land.rs", "use crate::{git::{agent, x}, file};\n"),
        ("src/git/refs.rs", "use super::land;\nuse super::super::file;\n"),
        ("src/main.rs", "use crate::land;\n"),
        ("tests/main.rs", "use crate::land;\n"),
    ];
    for (path, text) in fine {
        assert_eq!(told(path, text), Vec::<String>::new(), "{path}");
    }
    let broken = [
        (
            "src/git/refs.rs",
            "\nuse crate::land::x;\n",
            "src/git/refs.rs:2: `git` (layer 2) imports `land`",
        ),
        ("src/error.rs", "use crate::cli;\n", "src/error.rs:1: `error` (layer 2) imports `cli`"),
        ("src/file.rs", "use crate::{\n    x,\n    git::{a, b},\n};\n", "src/file.rs:3: `file`"),
        ("src/land.rs", "fn f() { crate::agent::run() }\n", "src/land.rs:1: `land`"),
        (
            "src/git/a.rs",
            "use super::super::land;\n",
            "src/git/a.rs:1: `git` (layer 2) imports `land`",
        ),
        ("src/odd.rs", "", "src/odd.rs:1: `odd` stands in no layer"),
        ("src/agent/mod.rs", "use crate::git;\n", "src/agent/mod.rs:1: `agent` imports `git`"),
        ("src/agent/mod.rs", "use fs_err as fs;\n", "src/agent/mod.rs:1: `agent` names `fs_err`"),
    ];
    for (path, text, wanted) in broken {
        let told = told(path, text);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "wanted {wanted}, got {told:?}");
    }
}
