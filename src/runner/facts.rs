//! What a model is told at the start, so that it need not spend its first steps on finding out.
//!
//! Invariant: read from the base commit and the machine alone, without a model and without a
//! process started, so it takes milliseconds and a resumed session finds the same.

use std::path::Path;

use crate::agent::prompt::{Context, Facts};
use crate::event::Limit;
use crate::git::{Mode, ObjectError, ObjectId, Repo, TreeEntry};
use crate::session::spec::{Base, Spec};

/// How many paths of the first two levels are listed.
const LISTED: usize = 40;
/// How much of each file of instructions is passed on, in bytes.
const INSTRUCTIONS: usize = 8 * 1024;
/// How many subjects of commits are shown, for the style.
const SUBJECTS: usize = 5;

/// Files that tell how a project is built and checked, and the commands they suggest.
const MANIFESTS: [(&str, &str); 12] = [
    ("Cargo.toml", "cargo build, cargo test"),
    ("package.json", "the scripts in package.json"),
    ("pyproject.toml", "python -m pytest"),
    ("setup.py", "python -m pytest"),
    ("go.mod", "go build ./..., go test ./..."),
    ("Makefile", "make, make test"),
    ("CMakeLists.txt", "cmake -B build && cmake --build build, ctest --test-dir build"),
    ("meson.build", "meson setup build && meson test -C build"),
    ("pom.xml", "mvn test"),
    ("build.gradle", "gradle test"),
    ("Gemfile", "bundle exec rake"),
    ("composer.json", "composer test"),
];

/// Programs whose presence saves a look.
const PROGRAMS: [&str; 14] = [
    "bash", "cargo", "cc", "cmake", "docker", "go", "java", "make", "node", "npm", "python3", "rg",
    "ruby", "uv",
];

/// Collects the facts of a session.
///
/// # Errors
/// The base commit cannot be read.
pub(super) fn collect(repo: &Repo, spec: &Spec, base: ObjectId) -> Result<Facts, ObjectError> {
    let tree = repo.tree_of(base)?;
    let top = repo.list_tree(tree)?;
    let mut lines = vec![
        ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("worktree".to_owned(), spec.worktree.display().to_string()),
        ("branch".to_owned(), spec.branch_name().to_owned()),
        ("base".to_owned(), base_line(spec)),
        ("date".to_owned(), spec.created.to_string().chars().take(10).collect()),
        ("attended".to_owned(), attended(spec).to_owned()),
        ("files".to_owned(), listing(repo, &top)?),
    ];
    let manifests =
        MANIFESTS.iter().filter(|(name, _)| top.iter().any(|entry| entry.path == *name));
    let guesses: Vec<_> = manifests.map(|(name, how)| format!("{name}: {how}")).collect();
    if !guesses.is_empty() {
        lines.push(("checks (guessed)".to_owned(), guesses.join("; ")));
    }
    let limits = Limit::ALL.into_iter().filter_map(|limit| Some(limit.say(spec.limits.of(limit)?)));
    let limits = limits.collect::<Vec<_>>();
    if !limits.is_empty() {
        lines.push(("limits".to_owned(), limits.join(", ")));
    }
    for command in &spec.verify {
        lines.push(("will be run when you finish, and must exit 0".to_owned(), command.clone()));
    }
    let gates = spec.gates.lines().into_iter();
    lines.extend(gates.map(|line| ("will be measured when you finish".to_owned(), line)));
    let programs: Vec<_> = PROGRAMS.into_iter().filter(|name| which::which(name).is_ok()).collect();
    lines.push(("programs".to_owned(), programs.join(" ")));
    lines.push(("last commits".to_owned(), subjects(repo, base)?.join(" | ")));
    let context = spec.context.iter().map(|given| Context {
        what: given.what.clone(),
        untrusted: given.untrusted,
        text: given.text.clone(),
    });
    let instructions = instructions(repo, tree, &spec.folder)?;
    Ok(Facts { lines, instructions, context: context.collect() })
}

fn base_line(spec: &Spec) -> String {
    let Base { commit, name, carried_on } = &spec.base;
    match carried_on {
        None => format!("{} ({name})", short(commit)),
        Some(on) => format!(
            "{} (the person's uncommitted changes, on {} of {name})",
            short(commit),
            short(on)
        ),
    }
}

fn attended(spec: &Spec) -> &'static str {
    if spec.unattended {
        "no, nobody can answer"
    } else {
        "yes, by `ask`, but answers may take long"
    }
}

fn listing(repo: &Repo, top: &[TreeEntry]) -> Result<String, ObjectError> {
    let mut paths = Vec::new();
    for entry in top {
        if entry.mode != Mode::Tree {
            paths.push(entry.path.to_string());
            continue;
        }
        let below = repo.list_tree(entry.id)?;
        let shown = below.iter().take(6).map(|child| child.path.to_string()).collect::<Vec<_>>();
        let more = below.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" +{more}") } else { String::new() };
        paths.push(format!("{}/({}{more})", entry.path, shown.join(" ")));
    }
    let more = paths.len().saturating_sub(LISTED);
    paths.truncate(LISTED);
    let more = if more > 0 { format!(" +{more} more") } else { String::new() };
    Ok(format!("{}{more}", paths.join(" ")))
}

/// The subjects of the last commits, newest first: how people here word them.
fn subjects(repo: &Repo, base: ObjectId) -> Result<Vec<String>, ObjectError> {
    let mut next = Some(base);
    let mut subjects = Vec::new();
    while let Some(id) = next.filter(|_| subjects.len() < SUBJECTS) {
        // Beyond the border of a shallow clone there is nothing more to learn.
        if !repo.has_object(id) {
            break;
        }
        let commit = repo.read_commit(id)?;
        subjects.push(commit.message.lines().next().unwrap_or_default().to_owned());
        next = commit.parents.first().copied();
    }
    Ok(subjects)
}

/// `AGENTS.md` of the root and of each folder on the way to where `start` was typed, nearest last.
fn instructions(
    repo: &Repo,
    tree: ObjectId,
    folder: &str,
) -> Result<Vec<(String, String)>, ObjectError> {
    let mut found = Vec::new();
    let ancestors: Vec<_> = Path::new(folder).ancestors().collect();
    for ancestor in ancestors.into_iter().rev() {
        let path = ancestor.join("AGENTS.md");
        let Some(path) = path.to_str() else { continue };
        if let Some(bytes) = repo.read_path(tree, path)? {
            found.push((path.to_owned(), capped(&String::from_utf8_lossy(&bytes), path)));
        }
    }
    Ok(found)
}

fn capped(text: &str, path: &str) -> String {
    if text.len() <= INSTRUCTIONS {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(INSTRUCTIONS);
    format!("{}\n… {} more bytes, see {path}", &text[..end], text.len() - end)
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
