//! A commit of which nothing says whose it is, known again by what it changes: a cherry-pick or a
//! rebase that left trailer and note behind, a squash that a forge made.
//!
//! A copy keeps its author and the time of the work, and a squash changes as many files and lines as
//! the session did; so what is compared, line by line, is a handful.
//!
//! Invariant: only the very same change counts; what is merely alike is its author's.

use std::collections::HashMap;
use std::ops::Range;

use super::CreditError;
use super::trail::content;
use crate::git::{
    self, BString, CommitInfo, FileChange, Mode, ObjectId, Repo, Status, TreeEntry, lines_of,
};
use crate::session::provenance::Provenance;
use crate::session::state::Changes;
use crate::session::store::Store;

/// What commits and sessions are known by; read once it is needed.
#[derive(Default)]
pub(super) struct Likeness {
    index: Option<Index>,
}

struct Index {
    /// Commits with a note, by whose work they are and when it was made.
    noted: HashMap<(String, i64), Vec<ObjectId>>,
    sessions: Vec<Whole>,
}

/// All that a session changed.
struct Whole {
    id: String,
    created: i64,
    changes: Changes,
    base: String,
    tree: Option<String>,
    models: Vec<String>,
}

impl Likeness {
    /// What is said of the commit, or the session, whose change this one is.
    pub(super) fn of(
        &mut self,
        repo: &Repo,
        store: &Store,
        notes: &HashMap<ObjectId, ObjectId>,
        id: ObjectId,
        commit: &CommitInfo,
    ) -> Result<Option<Provenance>, CreditError> {
        // A merge brings no change of its own.
        let [parent] = commit.parents[..] else { return Ok(None) };
        if !repo.has_object(parent) {
            return Ok(None);
        }
        if self.index.is_none() {
            self.index = Some(Index::read(repo, store, notes)?);
        }
        let Some(index) = &self.index else { return Ok(None) };
        let change = (repo.tree_of(parent)?, commit.tree);
        let copied = index.noted.get(&key(commit)).into_iter().flatten();
        for noted in copied.filter(|noted| **noted != id) {
            let info = repo.read_commit(*noted)?;
            let [parent] = info.parents[..] else { continue };
            if repo.has_object(parent) && same(repo, change, (repo.tree_of(parent)?, info.tree))? {
                let note = notes.get(noted).map(|blob| repo.read_blob(*blob)).transpose()?;
                let note = note.map(|note| String::from_utf8_lossy(&note).into_owned());
                return Ok(Some(Provenance::of(&info.message, note.as_deref())));
            }
        }
        index.whole(repo, commit, change)
    }
}

impl Index {
    fn read(
        repo: &Repo,
        store: &Store,
        notes: &HashMap<ObjectId, ObjectId>,
    ) -> Result<Self, CreditError> {
        let mut noted: HashMap<_, Vec<_>> = HashMap::new();
        for id in notes.keys().filter(|id| repo.has_object(**id)) {
            noted.entry(key(&repo.read_commit(*id)?)).or_default().push(*id);
        }
        // Which of two that are the same is found must not hang on chance.
        noted.values_mut().for_each(|ids| ids.sort_unstable());
        let mut sessions = Vec::new();
        for session in store.list()?.sessions {
            // One that cannot be read hides no other.
            let Ok(state) = session.state() else { continue };
            sessions.push(Whole {
                created: session.spec.created.as_second(),
                base: session.spec.base.commit,
                models: state.models,
                changes: state.changes,
                tree: state.tree,
                id: session.id,
            });
        }
        Ok(Self { noted, sessions })
    }

    /// The session all of whose work this change is.
    fn whole(
        &self,
        repo: &Repo,
        commit: &CommitInfo,
        change: (ObjectId, ObjectId),
    ) -> Result<Option<Provenance>, CreditError> {
        let later = |it: &&Whole| it.created <= commit.time.seconds && it.changes.files > 0;
        let later: Vec<_> = self.sessions.iter().filter(later).collect();
        if later.is_empty() {
            return Ok(None);
        }
        // A file that was moved is one of the count, and two that differ.
        let paths = repo.differences(change.0, change.1)?.len() as u64;
        let mut changes = None;
        for session in later {
            if !(session.changes.files..=2 * session.changes.files).contains(&paths) {
                continue;
            }
            let stat = match changes {
                Some(stat) => stat,
                None => {
                    let stat = repo.diff_stat(change.0, change.1)?;
                    let git::DiffStat { files, insertions, deletions, .. } = stat;
                    *changes.insert(Changes { files, insertions, deletions })
                }
            };
            let tree = session.tree.as_deref().and_then(here(repo));
            let base = here(repo)(&session.base);
            let (true, Some(tree), Some(base)) = (session.changes == stat, tree, base) else {
                continue;
            };
            if same(repo, change, (repo.tree_of(base)?, tree))? {
                return Ok(Some(Provenance {
                    sessions: vec![session.id.clone()],
                    by_agent: true,
                    models: session.models.clone(),
                    ..Provenance::default()
                }));
            }
        }
        Ok(None)
    }
}

/// The object with this id, if it is here.
fn here(repo: &Repo) -> impl Fn(&str) -> Option<ObjectId> + '_ {
    |hex| ObjectId::from_hex(hex.as_bytes()).ok().filter(|id| repo.has_object(*id))
}

fn key(commit: &CommitInfo) -> (String, i64) {
    (commit.author.email.clone(), commit.authored.seconds)
}

/// Whether two changes, each from one tree to another, take away the same lines of the same files
/// and put the same there, wherever in them that is: what `git patch-id` is for, without context.
fn same(
    repo: &Repo,
    one: (ObjectId, ObjectId),
    other: (ObjectId, ObjectId),
) -> Result<bool, CreditError> {
    if one == other {
        return Ok(true);
    }
    let one = patches(repo, one)?;
    Ok(!one.is_empty() && one == patches(repo, other)?)
}

/// What a change does to one file.
#[derive(PartialEq, Eq)]
struct Patch {
    path: BString,
    status: Status,
    modes: [Option<Mode>; 2],
    /// The lines that it takes away and puts there, hunk by hunk.
    hunks: Vec<Vec<u8>>,
    /// What a file without lines becomes.
    content: Option<ObjectId>,
}

fn patches(repo: &Repo, (old, new): (ObjectId, ObjectId)) -> Result<Vec<Patch>, CreditError> {
    let mut patches = Vec::new();
    for FileChange { path, status, .. } in repo.diff_stat(old, new)?.paths {
        let from = if let Status::Renamed(from) = &status { from } else { &path };
        let (before, after) = (repo.entry(old, from)?, repo.entry(new, &path)?);
        let modes = [&before, &after].map(|side| side.as_ref().map(|entry| entry.mode));
        let text = |side: &Option<TreeEntry>| match side {
            Some(entry) if entry.mode != Mode::Commit => content(repo, Some(entry.id)),
            _ => Ok(Vec::new()),
        };
        let (before, text_after) = (text(&before)?, text(&after)?);
        let is_lines = !before.is_empty() || !text_after.is_empty();
        let hunks = git::line_changes(&before, &text_after).into_iter();
        let hunks = hunks.flat_map(|it| [take(&before, it.old), take(&text_after, it.new)]);
        let content = after.map(|entry| entry.id).filter(|_| !is_lines);
        patches.push(Patch { path, status, modes, hunks: hunks.collect(), content });
    }
    Ok(patches)
}

fn take(text: &[u8], range: Range<usize>) -> Vec<u8> {
    lines_of(text).skip(range.start).take(range.len()).flatten().copied().collect()
}
