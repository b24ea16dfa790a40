//! Where a session may work: its scope, what is excluded and protected, and how many files.
//!
//! Invariant: a path is judged by its name alone, the same for a tool that is about to write it and
//! for a change that is about to be committed.

use super::{Changes, CheckError, Judge, finding};
use crate::event::Finding;
use crate::git::{Difference, ObjectId};
use crate::pattern::{BadPattern, Patterns, Use};

/// The rule's name in findings of what is outside the scope.
pub const SCOPE: &str = "scope";
/// Of what is excluded.
pub const EXCLUDE: &str = "exclude";
/// Of what is protected.
pub const PROTECT: &str = "protect";
/// Of what is one file too many.
pub const MAX_FILES: &str = "max-files";

/// Where a session may work.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    scope: Patterns,
    exclude: Patterns,
    protect: Patterns,
    /// How many files may differ from this tree.
    files: Option<(u32, ObjectId)>,
}

impl Scope {
    /// A scope; without a pattern it is the whole repository.
    ///
    /// # Errors
    /// A pattern is none.
    pub fn new(
        scope: &[String],
        exclude: &[String],
        protect: &[String],
    ) -> Result<Self, BadPattern> {
        Ok(Self {
            scope: Patterns::new(scope, Use::Allow)?,
            exclude: Patterns::new(exclude, Use::Restrict)?,
            protect: Patterns::new(protect, Use::Restrict)?,
            files: None,
        })
    }

    /// With so many files at most that differ from the tree of the base.
    #[must_use]
    pub fn at_most(mut self, files: Option<u32>, base: ObjectId) -> Self {
        self.files = files.map(|most| (most, base));
        self
    }

    /// Why this path is not to be changed just so, by the rule's name and in words.
    pub fn why(&self, path: &str) -> Option<(&'static str, String)> {
        if let Some(pattern) = self.exclude.first(path) {
            return Some((EXCLUDE, format!("is excluded by {pattern}")));
        }
        if !self.scope.is_empty() && !self.scope.matches(path) {
            return Some((SCOPE, "is outside the scope".to_owned()));
        }
        let pattern = self.protect.first(path)?;
        Some((PROTECT, format!("is protected by {pattern}")))
    }

    /// The files that make it too many: those that this change begins with.
    fn too_many<'c>(&self, changes: &'c Changes<'_>) -> Result<Vec<&'c Difference>, CheckError> {
        let Some((most, base)) = self.files else { return Ok(Vec::new()) };
        let repo = changes.repo();
        if repo.differences(base, changes.after)?.len() <= most as usize {
            return Ok(Vec::new());
        }
        let mut new = Vec::new();
        for change in &changes.paths {
            let at_base = repo.entry(base, &change.path)?.map(|entry| (entry.mode, entry.id));
            if change.old == at_base && change.new != at_base {
                new.push(change);
            }
        }
        Ok(new)
    }
}

impl Judge for Scope {
    fn judge(&self, changes: &Changes<'_>) -> Result<Vec<Finding>, CheckError> {
        let named = changes.paths.iter().filter_map(|change| {
            let (rule, why) = self.why(&change.path.to_string())?;
            Some(finding(rule, change, why))
        });
        let mut found: Vec<_> = named.collect();
        let most = self.files.map_or(0, |(most, _)| most);
        let one_more = |change| finding(MAX_FILES, change, format!("is more than {most} files"));
        found.extend(self.too_many(changes)?.into_iter().map(one_more));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use crate::git::{Mode, Repo};

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_path_is_judged_by_the_strictest_that_names_it() {
        let scope = Scope::new(
            &texts(&["src", "docs/*.md"]),
            &texts(&["src/gen/"]),
            &texts(&["src/Key.pem"]),
        );
        let scope = scope.unwrap();
        let why = |path| scope.why(path).map(|(rule, why)| format!("{rule}: {why}"));
        assert_eq!(why("src/a/b.rs"), None);
        assert_eq!(why("docs/a.md"), None);
        for path in ["lib/src/a", "docs/deep/a.md", "Src/a"] {
            assert_eq!(why(path).unwrap(), "scope: is outside the scope", "{path}");
        }
        assert_eq!(why("src/GEN/a").unwrap(), "exclude: is excluded by src/gen/");
        assert_eq!(why("src/key.PEM").unwrap(), "protect: is protected by src/Key.pem");
        assert_eq!(Scope::default().why("anything"), None);
    }

    #[test]
    fn of_too_many_files_the_new_ones_are_found() {
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo_at(&fixture.root, &[]);
        let tree = |names: &[&str], text: &str| tree(&repo, names, text);
        let base = tree(&["a", "b"], "0");
        let scope = Scope::default().at_most(Some(2), base);
        let found = |before, after| {
            let changes = Changes::between(&repo, before, after).unwrap();
            let found = changes.judged_by(&[&scope]).unwrap();
            found.into_iter().map(|it| format!("{} {}", it.path, it.why)).collect::<Vec<_>>()
        };
        let two = tree(&["a", "b"], "1");
        assert_eq!(found(base, two), [""; 0]);
        let three = tree(&["a", "b", "c"], "1");
        assert_eq!(found(two, three), ["c is more than 2 files"]);
        assert_eq!(found(three, tree(&["a", "b", "c"], "2")), [""; 0], "no new one");
    }

    fn tree(repo: &Repo, names: &[&str], text: &str) -> ObjectId {
        let blob = Some((Mode::File, repo.write_blob(text.as_bytes()).unwrap()));
        let edits: Vec<_> = names.iter().map(|name| (*name, blob)).collect();
        repo.edit_tree(None, &edits).unwrap()
    }
}
