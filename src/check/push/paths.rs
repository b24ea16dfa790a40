//! What agents' commits change: how large it is, and whether their sessions might change it.
//!
//! What a person was asked about and has allowed is allowed here too.
//!
//! Invariant: a commit is compared with its first parent, so that a merge is judged by what it brings.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Fault, PushError};
use crate::check::Changes;
use crate::check::scope::{MAX_FILES, Scope};
use crate::config::Config;
use crate::event::{Event, Finding, QuestionKind, Update, Verdict};
use crate::git::{Mode, ObjectId, Repo};
use crate::session::spec::Spec;

/// What people have allowed in one session, by rule and path.
pub(super) type Allowed = BTreeSet<(String, String)>;

/// How large what is new may be, counted over all commits that arrive together.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    seen: HashSet<ObjectId>,
    bytes: u64,
}

impl Sizes {
    /// Counts what a commit adds, and says which new files are too large.
    ///
    /// # Errors
    /// An object cannot be read.
    pub(super) fn add(
        &mut self,
        repo: &Repo,
        changes: &Changes<'_>,
        limit: u64,
    ) -> Result<Vec<Fault>, PushError> {
        let mut faults = Vec::new();
        for change in &changes.paths {
            let Some((Mode::File | Mode::Executable | Mode::Link, id)) = change.new else {
                continue;
            };
            if !self.seen.insert(id) {
                continue;
            }
            let bytes = repo.object_size(id)?;
            self.bytes += bytes;
            if change.old.is_none() && bytes > limit {
                let path = change.path.to_string();
                faults.push(Fault::LargeFile { path, bytes, limit });
            }
        }
        Ok(faults)
    }

    /// Whether all of it is too much.
    pub(super) fn fault(&self, limit: u64) -> Option<Fault> {
        (self.bytes > limit).then_some(Fault::TooMuch { bytes: self.bytes, limit })
    }
}

/// The files that one session's commits change together: what differs in the end from what was
/// before the first.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, (Option<ObjectId>, Option<ObjectId>)>);

impl Files {
    /// Takes in a commit that is older than those before.
    pub(super) fn add_older(&mut self, changes: &Changes<'_>) {
        for change in &changes.paths {
            let [old, new] = [change.old, change.new].map(|side| side.map(|(_, id)| id));
            self.0.entry(change.path.to_string()).or_insert((None, new)).0 = old;
        }
    }

    /// Whether these are more than so many, but for those that people have allowed.
    pub(super) fn fault(&self, limit: u32, allowed: &Allowed) -> Option<Fault> {
        let is_allowed = |path: &str| allowed.contains(&(MAX_FILES.to_owned(), path.to_owned()));
        let changed = self.0.iter().filter(|(_, (old, new))| old != new);
        let files = changed.filter(|(path, _)| !is_allowed(path)).count();
        (files > limit as usize).then_some(Fault::TooManyFiles { files, limit })
    }
}

/// Where a session might work.
///
/// # Errors
/// A pattern is none.
pub(super) fn scope(spec: &Spec, config: &Config) -> Result<Scope, PushError> {
    let bounds = &spec.bounds;
    let protect = [&bounds.protect[..], &config.protect[..]].concat();
    Ok(Scope::new(&bounds.scope, &bounds.exclude, &protect)?)
}

/// What was found and nobody has allowed, said once for each rule.
pub(super) fn faults(found: Vec<Finding>, allowed: &Allowed) -> Vec<Fault> {
    let mut rules: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for Finding { rule, path, why, .. } in found {
        let named = (rule, path);
        if !allowed.contains(&named) {
            let (rule, path) = named;
            rules.entry(rule).or_default().push((path, why));
        }
    }
    let fault = |(rule, mut paths): (String, Vec<(String, String)>)| {
        let (path, why) = paths.remove(0);
        Fault::Path { rule, path, why, more: paths.len() }
    };
    rules.into_iter().map(fault).collect()
}

/// What people have said yes to in a session's journal.
pub(super) fn allowed(journal: &[Event]) -> Allowed {
    let mut asked = None;
    let mut allowed = Allowed::new();
    for event in journal {
        match &event.update {
            Update::Question(question) => asked = Some(question),
            Update::Decision(decision) => {
                let yes = matches!(decision.verdict, Verdict::Approved | Verdict::Always);
                let is_of_paths =
                    |kind| matches!(kind, QuestionKind::Changes | QuestionKind::Permission);
                if let Some(question) = asked.filter(|it| yes && is_of_paths(it.kind)) {
                    let named = question.findings.iter();
                    allowed.extend(named.map(|it| (it.rule.clone(), it.path.clone())));
                }
            }
            _ => {}
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Decision, Question};

    fn finding(rule: &str, path: &str) -> Finding {
        let why = "is outside the scope".to_owned();
        Finding { rule: rule.to_owned(), path: path.to_owned(), why, content: None }
    }

    #[test]
    fn a_yes_is_for_the_paths_that_were_asked_about() {
        let question = |path: &str| Question {
            kind: QuestionKind::Changes,
            findings: vec![finding("scope", path)],
            ..Question::default()
        };
        let decision =
            |verdict| Decision { question: 1, verdict, reason: String::new(), inbox_id: None };
        let journal = [
            Update::Question(question("a")),
            Update::Decision(decision(Verdict::Approved)),
            Update::Question(question("b")),
            Update::Decision(decision(Verdict::Denied)),
            Update::Question(Question { kind: QuestionKind::Limit, ..question("c") }),
            Update::Decision(decision(Verdict::Approved)),
        ]
        .map(|update| Event::now(1, update));
        let allowed = allowed(&journal);
        assert_eq!(allowed, Allowed::from([("scope".to_owned(), "a".to_owned())]));
        let found = ["a", "b", "c"].map(|path| finding("scope", path)).to_vec();
        let fault = Fault::Path {
            rule: "scope".to_owned(),
            path: "b".to_owned(),
            why: "is outside the scope".to_owned(),
            more: 1,
        };
        assert_eq!(fault.to_string(), "b is outside the scope, and 1 more");
        assert_eq!(faults(found, &allowed), [fault]);
        assert_eq!(faults(vec![finding("scope", "a")], &allowed), []);
    }
}
