//! Pathspecs that were typed somewhere in a checkout.
//!
//! Invariant: what is meant is what git would take them for where they were typed.

use std::path::{Component, Path, PathBuf};

use fs_err as fs;

use crate::git::Repo;

/// The same pathspecs, as they are read at the root of the checkout.
pub(super) fn from_root(repo: &Repo, specs: &[String]) -> Vec<String> {
    let folder = folder_here(repo).unwrap_or_default();
    specs.iter().map(|spec| from_folder(&folder, spec)).collect()
}

/// The folder of the checkout in which the verb was typed, from its root.
fn folder_here(repo: &Repo) -> Option<PathBuf> {
    let root = fs::canonicalize(repo.work_dir()?).ok()?;
    let here = fs::canonicalize(std::env::current_dir().ok()?).ok()?;
    Some(here.strip_prefix(root).ok()?.to_owned())
}

fn from_folder(folder: &Path, spec: &str) -> String {
    let (magic, path) = match spec.strip_prefix(":(").and_then(|rest| rest.split_once(')')) {
        Some((words, path)) => (&spec[..words.len() + 3], path),
        None if spec.starts_with(':') => {
            spec.split_at(spec.len() - spec[1..].trim_start_matches(['/', '!', '^']).len())
        }
        None => ("", spec),
    };
    let is_from_top = match magic.strip_prefix(":(") {
        Some(words) => words.trim_end_matches(')').split(',').any(|word| word.trim() == "top"),
        None => magic.contains('/'),
    };
    if folder.as_os_str().is_empty() || is_from_top || path.starts_with('/') || spec.is_empty() {
        return spec.to_owned();
    }
    let mut whole = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            // Above the root git says no, in its own words.
            Component::ParentDir if whole.file_name().is_some() => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    let end = if path.ends_with('/') { "/" } else { "" };
    let whole = whole.to_string_lossy();
    format!("{magic}{}{end}", if whole.is_empty() { "." } else { &whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_mean_what_they_do_where_they_were_typed() {
        let cases = [
            ("", "src/**", "src/**"),
            ("", "../x", "../x"),
            ("src", "lib.rs", "src/lib.rs"),
            ("src", "*.rs", "src/*.rs"),
            ("src", ".", "src"),
            ("src", "..", "."),
            ("src", "deep/", "src/deep/"),
            ("src/deep", "../../a", "a"),
            ("src", "../../a", "../a"),
            ("src", ":/a", ":/a"),
            ("src", ":!x", ":!src/x"),
            ("src", ":(top)a", ":(top)a"),
            ("src", ":(icase,glob)A", ":(icase,glob)src/A"),
            ("src", ":x", ":src/x"),
            ("src", "", ""),
        ];
        for (folder, spec, wanted) in cases {
            assert_eq!(from_folder(Path::new(folder), spec), wanted, "{spec} in {folder}");
        }
    }
}
