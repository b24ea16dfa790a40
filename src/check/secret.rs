//! Secrets in files that are to be committed.
//!
//! Invariant: what counts is what the change adds: a secret that the older content has is no finding;
//! and no finding shows one.

use memchr::memmem;
use ring::digest;

use super::{Changes, CheckError, Judge, finding};
use crate::event::{Finding, SECRET};
use crate::git::{Difference, Mode};
use crate::redact::{self, Secrets};

/// Looks for the secrets that this process knows, and for whatever has the form of one.
///
/// A comment like `gitleaks:allow` beside it changes nothing: who writes the secret could write
/// that too.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

/// Files whose content is made of hashes and pictures, by the end of their name: only known values
/// count there.
const OPAQUE: [&str; 18] = [
    ".bmp",
    ".gif",
    ".ico",
    ".jpeg",
    ".jpg",
    ".lock",
    ".otf",
    ".pdf",
    ".png",
    ".svg",
    ".tiff",
    ".ttf",
    ".webp",
    ".woff",
    ".woff2",
    "go.sum",
    "package-lock.json",
    "pnpm-lock.yaml",
];
/// How much is looked at to tell text from other bytes, as git does.
const LOOKED_AT: usize = 8000;

impl Judge for NoSecrets {
    fn judge(&self, changes: &Changes<'_>) -> Result<Vec<Finding>, CheckError> {
        let secrets = redact::secrets();
        let mut found = Vec::new();
        for change in &changes.paths {
            let Some((Mode::File | Mode::Executable, new)) = change.new else { continue };
            let new = changes.repo().read_blob(new)?;
            if secrets.find(&new).is_empty() {
                continue;
            }
            let old = match change.old {
                Some((Mode::File | Mode::Executable, old)) => changes.repo().read_blob(old)?,
                _ => Vec::new(),
            };
            found.extend(judge(&secrets, change, &new, &old));
        }
        Ok(found)
    }
}

/// The secrets that the new content of a path has and the old one has not.
fn judge(secrets: &Secrets, change: &Difference, new: &[u8], old: &[u8]) -> Vec<Finding> {
    let path = change.path.to_string();
    let name = path.to_ascii_lowercase();
    let is_text = !new[..new.len().min(LOOKED_AT)].contains(&0);
    let is_opaque = !is_text || OPAQUE.iter().any(|end| name.ends_with(end));
    let mut found: Vec<Finding> = Vec::new();
    for it in secrets.find(new) {
        let secret = &new[it.range.clone()];
        let is_known = !redact::is_rule(&it.rule);
        if (is_opaque && !is_known) || memmem::find(old, secret).is_some() {
            continue;
        }
        let line = memchr::memchr_iter(b'\n', &new[..it.range.start]).count() + 1;
        let what = match is_known {
            true => format!("has the value of {} at line {line}", it.rule),
            false => {
                format!(
                    "has what looks like a secret at line {line}: {} {}",
                    it.rule,
                    masked(secret)
                )
            }
        };
        let print = fingerprint(secret);
        let rule = format!("{SECRET}{}-{print}", it.rule);
        if found.iter().all(|other| other.rule != rule) {
            found.push(Finding { content: Some(print), ..finding(&rule, change, what) });
        }
    }
    found
}

/// Enough to find it again by eye: how it begins.
fn masked(secret: &[u8]) -> String {
    let shown = secret.iter().take(4.min(secret.len() / 4)).map(|byte| char::from(*byte));
    shown.filter(char::is_ascii_graphic).chain(['…']).collect()
}

/// Tells one secret of a path from another, and too little of it to be guessed by.
fn fingerprint(secret: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, secret);
    digest.as_ref().iter().take(2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn what_a_change_adds_is_found_with_its_line_and_is_not_shown() {
        let rest = "kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx";
        let (key, other) = (format!("ghp_{rest}"), format!("gho_{rest}"));
        let git = Fixture::with_commit(&[]);
        let repo = git.repo();
        let tree = |files: &[(&str, String)]| {
            let edit = |(path, text): &(&str, String)| {
                ((*path).to_owned(), Some((Mode::File, repo.write_blob(text.as_bytes()).unwrap())))
            };
            let edits: Vec<_> = files.iter().map(edit).collect();
            repo.edit_tree(None, &edits).unwrap()
        };
        let before = tree(&[("a.txt", format!("one\n{key}\n")), ("same", key.clone())]);
        let after = tree(&[
            // Moved within its file, with an excuse: the one is old, the other new.
            ("a.txt", format!("{other} # gitleaks:allow\n{key}\n{other}\nthree\n")),
            ("b/new.txt", format!("x\ntoken = \"{key}\"\n")),
            ("c.lock", format!("checksum {key}\n")),
            ("d.bin", format!("\0{key}")),
            ("same", key.clone()),
        ]);
        let changes = Changes::between(&repo, before, after).unwrap();
        let found = NoSecrets.judge(&changes).unwrap();
        let said: Vec<_> = found.iter().map(|it| format!("{} {}", it.path, it.why)).collect();
        let want = [
            "a.txt has what looks like a secret at line 1: github-oauth gho_…",
            "b/new.txt has what looks like a secret at line 2: github-pat ghp_…",
        ];
        assert_eq!(said, want);
        assert!(found[1].is_exact(), "{:?}", found[1]);
        assert_eq!(found[1].rule, format!("secret/github-pat-{}", fingerprint(key.as_bytes())));
        assert!(
            NoSecrets.judge(&Changes::between(&repo, after, after).unwrap()).unwrap().is_empty()
        );
    }
}
