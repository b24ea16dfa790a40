//! One of several that are compared: all that is known of it.
//!
//! Invariant: the fields are format 1 of the JSON; one may be added, none renamed or removed. What
//! was not measured is none.

use std::path::Path;

use serde::Serialize;

use crate::commands::context::Context;
use crate::commands::view;
use crate::error::{CommandError, Result};
use crate::event::{Gate, GateKind, Update};
use crate::git::{Head, Merge, ObjectId, Repo, WorktreeEntry};
use crate::measure::counts;
use crate::plan::work::{Leftover, Work};
use crate::plan::{LandError, target};
use crate::session::journal;
use crate::session::state::State;
use crate::session::store::{FindError, Session};
use crate::ui::view::{VerifyStatus, VerifyView};

/// One side of a comparison.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// What people call it: the session's id, or the worktree's path.
    pub(super) name: String,
    pub(super) session: Option<String>,
    pub(super) group: Option<String>,
    /// Its number in the group.
    pub(super) attempt: Option<u32>,
    pub(super) approach: Option<String>,
    pub(super) task: Option<String>,
    pub(super) model: Option<String>,
    pub(super) state: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) worktree: Option<String>,
    /// The commit that changes are counted from.
    pub(super) base: String,
    /// The commit that is compared.
    pub(super) head: String,
    pub(super) verify: VerifyView,
    pub(super) tests: Option<Tests>,
    pub(super) coverage: Option<Gate>,
    pub(super) bench: Option<Gate>,
    pub(super) files: u64,
    pub(super) insertions: u64,
    pub(super) deletions: u64,
    pub(super) paths: Vec<Changed>,
    /// How many files of its worktree are in no commit, and so not compared.
    pub(super) uncommitted: u64,
    /// The branch it is for.
    pub(super) target: Option<String>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) steps: Option<u32>,
    pub(super) cost_usd: Option<f64>,
    pub(super) worked_s: Option<u64>,
    /// The same, in milliseconds.
    #[serde(skip)]
    pub(super) worked: Option<u64>,
    /// The trees between which all of that lies.
    #[serde(skip)]
    pub(super) trees: (ObjectId, ObjectId),
}

/// Tests of its last verify run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

/// A file that it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Changed {
    pub(super) path: String,
    pub(super) insertions: u64,
    pub(super) deletions: u64,
}

/// What it does not merge with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Conflict {
    /// A branch, or the name of another side.
    pub(super) with: String,
    pub(super) files: Vec<String>,
}

/// Where the work is that is compared.
struct Code {
    commit: ObjectId,
    tree: ObjectId,
    /// The branch it is for, and where that is.
    target: Option<(String, ObjectId)>,
    /// Where it began, if no target says so.
    start: Option<ObjectId>,
}

/// The sides that are meant; where one session is, all attempts of its group.
///
/// # Errors
/// One is not known, or cannot be read.
pub(super) fn named(context: &Context<'_>, repo: &Repo, given: &[String]) -> Result<Vec<Side>> {
    let sessions = context.store.list()?.sessions;
    let mut meant: Vec<Meant> = Vec::new();
    for name in given {
        for found in find(context, &sessions, name)? {
            if !meant.contains(&found) {
                meant.push(found);
            }
        }
    }
    if let [Meant::Session(id)] = meant.as_slice() {
        let group = sessions.iter().find(|it| it.id == *id).and_then(group_of);
        if let Some(group) = group {
            meant = attempts(&sessions, &group);
        }
    }
    let mut sides = Vec::new();
    for meant in &meant {
        sides.push(match meant {
            Meant::Session(id) => of_session(repo, &context.store.session(id)?)?,
            Meant::Worktree(entry) => of_worktree(repo, entry)?,
        });
    }
    add_conflicts(repo, &mut sides)?;
    Ok(sides.into_iter().map(|(side, _)| side).collect())
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    Session(String),
    Worktree(Box<WorktreeEntry>),
}

fn find(context: &Context<'_>, sessions: &[Session], name: &str) -> Result<Vec<Meant>> {
    let error = match context.store.find(name) {
        Ok(session) => return Ok(vec![Meant::Session(session.id)]),
        Err(error) => error,
    };
    let mut groups: Vec<_> = sessions.iter().filter_map(group_of).collect();
    groups.retain(|group| group.starts_with(name));
    groups.dedup();
    groups.sort();
    groups.dedup();
    if let [group] = groups.as_slice() {
        return Ok(attempts(sessions, group));
    }
    if let Ok(path) = fs_err::canonicalize(name) {
        if let Some(session) = sessions.iter().find(|it| is_at(&it.spec.worktree, &path)) {
            return Ok(vec![Meant::Session(session.id.clone())]);
        }
        let entries = context.repo.worktrees()?;
        let entry = entries.into_iter().find(|it| is_at(&it.path, &path));
        return match entry {
            Some(entry) => Ok(vec![Meant::Worktree(Box::new(entry))]),
            None => Err(CommandError::usage(format!(
                "{} is no worktree of this repository",
                path.display()
            ))
            .hint("git worktree list")),
        };
    }
    match error {
        // Said better: it may have been removed.
        FindError::NotFound { .. } => context.session(name).map(|it| vec![Meant::Session(it.id)]),
        error => Err(error.into()),
    }
}

fn is_at(path: &Path, wanted: &Path) -> bool {
    path == wanted || fs_err::canonicalize(path).is_ok_and(|path| path == wanted)
}

fn group_of(session: &Session) -> Option<String> {
    session.spec.attempt.as_ref().map(|attempt| attempt.group.clone())
}

/// The attempts of a group, in their order.
fn attempts(sessions: &[Session], group: &str) -> Vec<Meant> {
    let of = |session: &&Session| group_of(session).is_some_and(|its| its == group);
    let mut sessions: Vec<_> = sessions.iter().filter(of).collect();
    sessions.sort_by_key(|session| session.spec.attempt.as_ref().map(|it| it.number));
    sessions.into_iter().map(|session| Meant::Session(session.id.clone())).collect()
}

fn of_session(repo: &Repo, session: &Session) -> Result<(Side, Code)> {
    let (state, spec) = (session.state()?, &session.spec);
    let shown = view::session(session, &state);
    let work = Work::of(repo, session, &state)?;
    let code = Code {
        commit: work.commit,
        tree: work.tree,
        target: target::meant(repo, spec, None).ok(),
        start: ObjectId::from_hex(spec.base.commit.as_bytes()).ok(),
    };
    let mut side = counted(repo, session.id.clone(), &code)?;
    side.session = Some(session.id.clone());
    if let Some(attempt) = &spec.attempt {
        side.group = Some(attempt.group.clone());
        side.attempt = Some(attempt.number);
        side.approach = Some(attempt.approach.clone()).filter(|it| !it.is_empty());
    }
    side.task = Some(spec.task.clone());
    side.model = Some(spec.model_label());
    side.state = Some(shown.state);
    side.branch = Some(spec.branch_name().to_owned());
    side.worktree = shown.worktree;
    side.tests = tests(session, &state, &shown.verify)?;
    side.verify = shown.verify;
    side.coverage = state.gate(GateKind::Coverage);
    side.bench = state.gate(GateKind::Bench);
    side.steps = Some(state.step);
    side.cost_usd = state.cost_usd;
    side.worked_s = Some(state.worked / 1_000);
    side.worked = Some(state.worked);
    Ok((side, code))
}

/// A worktree that no session has.
fn of_worktree(repo: &Repo, entry: &WorktreeEntry) -> Result<(Side, Code)> {
    let path = entry.path.to_string_lossy().into_owned();
    let head = entry.head.filter(|_| !entry.missing && entry.broken.is_none());
    let Some(commit) = head else {
        return Err(CommandError::no(format!("{path} has no commit that could be compared"))
            .hint("git worktree list"));
    };
    let target = match repo.view_of(repo.common_dir())?.head()? {
        Head::Branch { name, id } if entry.branch.as_ref() != Some(&name) => Some((name, id)),
        _ => None,
    };
    let tree = repo.tree_of(commit)?;
    let code = Code { commit, tree, target, start: None };
    let mut side = counted(repo, path.clone(), &code)?;
    side.branch = entry.branch.as_deref().map(|name| target::short(name).to_owned());
    side.worktree = Some(path);
    let left = Leftover::of(&repo.view_of(&entry.git_dir)?, tree)?;
    side.uncommitted = (left.changed.len() + left.untracked.len()) as u64;
    Ok((side, code))
}

/// What its code says, and nothing else yet.
fn counted(repo: &Repo, name: String, code: &Code) -> std::result::Result<Side, LandError> {
    let Code { commit, tree, target, start } = code;
    let fork = match target {
        Some((_, tip)) => repo.merge_base(*tip, *commit)?,
        None => None,
    };
    let base = fork.or(*start).unwrap_or(*commit);
    // What has landed is compared with what it began with.
    let base = if base == *commit { start.unwrap_or(base) } else { base };
    let base_tree = repo.tree_of(base)?;
    let stat = repo.diff_stat(base_tree, *tree)?;
    let paths = stat.paths.iter().map(|it| Changed {
        path: it.path.to_string(),
        insertions: it.insertions,
        deletions: it.deletions,
    });
    Ok(Side {
        name,
        session: None,
        group: None,
        attempt: None,
        approach: None,
        task: None,
        model: None,
        state: None,
        branch: None,
        worktree: None,
        base: base.to_string(),
        head: commit.to_string(),
        verify: VerifyView::default(),
        tests: None,
        coverage: None,
        bench: None,
        files: stat.files,
        insertions: stat.insertions,
        deletions: stat.deletions,
        paths: paths.collect(),
        uncommitted: 0,
        target: target.as_ref().map(|(name, _)| target::short(name).to_owned()),
        conflicts: Vec::new(),
        steps: None,
        cost_usd: None,
        worked_s: None,
        worked: None,
        trees: (base_tree, *tree),
    })
}

/// What its verify commands printed of tests, the last time they ran on the work of now.
fn tests(session: &Session, state: &State, verify: &VerifyView) -> Result<Option<Tests>> {
    if verify.status == VerifyStatus::None || state.verify.is_none() {
        return Ok(None);
    }
    let tree = state.verify.as_ref().map(|record| &record.tree);
    let mut outputs: Vec<(String, String)> = Vec::new();
    for event in journal::events(&session.journal_path())? {
        let Update::Verify(record) = event.update else { continue };
        if record.gate.is_none() && Some(&record.tree) == tree {
            outputs.retain(|(command, _)| *command != record.command);
            outputs.push((record.command, record.output));
        }
    }
    let mut sum = None;
    for found in outputs.iter().filter_map(|(_, output)| counts::read(output)) {
        let tests: &mut Tests = sum.get_or_insert(Tests { passed: 0, failed: 0 });
        tests.passed += found.passed;
        tests.failed += found.failed;
    }
    Ok(sum)
}

/// Merges each with its target, and every two.
fn add_conflicts(repo: &Repo, sides: &mut [(Side, Code)]) -> std::result::Result<(), LandError> {
    let merge = |a: ObjectId, b: ObjectId| -> std::result::Result<Vec<String>, LandError> {
        if repo.merge_base(a, b)?.is_none() {
            return Ok(Vec::new());
        }
        Ok(match repo.merge_commits(a, b)? {
            Merge::Clean(_) => Vec::new(),
            Merge::Conflicts(found) => found.into_iter().map(|clash| clash.path).collect(),
        })
    };
    for (side, Code { commit, target, .. }) in sides.iter_mut() {
        if let Some((name, tip)) = target {
            let (with, files) = (target::short(name).to_owned(), merge(*tip, *commit)?);
            if !files.is_empty() {
                side.conflicts.push(Conflict { with, files });
            }
        }
    }
    for a in 0..sides.len() {
        for b in a + 1..sides.len() {
            let files = merge(sides[a].1.commit, sides[b].1.commit)?;
            if files.is_empty() {
                continue;
            }
            let (name_a, name_b) = (sides[a].0.name.clone(), sides[b].0.name.clone());
            sides[a].0.conflicts.push(Conflict { with: name_b, files: files.clone() });
            sides[b].0.conflicts.push(Conflict { with: name_a, files });
        }
    }
    Ok(())
}
