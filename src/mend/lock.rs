//! Lock files of git that nobody seems to hold any more.
//!
//! A lock on a ref lives for milliseconds; one on an index as long as its git runs, which may wait
//! in an editor.
//!
//! Invariant: only a lock that belongs to a session which nobody runs is taken away, and one on
//! its index only where no process stands in its worktree; all others are a person's to judge.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use super::{CureError, Ground, Problem, is_at_rest};
use crate::file;
use crate::process::occupied;
use crate::session::store::Session;
use crate::session::worktree;

/// How old a lock must be to be noticed.
const STALE: Duration = Duration::from_secs(60);

pub(super) fn find<'a>(ground: &Ground<'a>, sessions: &[Session]) -> io::Result<Vec<Problem<'a>>> {
    let common = ground.repo.common_dir();
    let mut locks: Vec<_> = ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"]
        .into_iter()
        .map(|name| common.join(name))
        .filter(|path| path.exists())
        .collect();
    below(&common.join("refs"), usize::MAX, &mut locks)?;
    below(&common.join("worktrees"), 2, &mut locks)?;
    let mut found = Vec::new();
    for lock in locks {
        // One that is gone by now was none.
        let Ok(meta) = fs::metadata(&lock) else { continue };
        let age = SystemTime::now().duration_since(meta.modified()?).unwrap_or_default();
        if age < STALE {
            continue;
        }
        let holder = holder(&lock);
        let held = holder.map_or_else(String::new, |pid| format!(", open in process {pid}"));
        let (shown, owner) = (lock.display(), user(meta.uid()));
        let what = format!("{shown} is {} old, made by {owner}{held}", words(age));
        let problem = Problem::new("lock", what);
        let owner = sessions.iter().find(|session| is_dead(session, &lock, common));
        found.push(match owner.filter(|_| holder.is_none()).cloned() {
            Some(session) => problem.cure(move || take_away(&session, &lock, common)),
            None => problem.hint(format!("If no git runs there: rm {shown}")),
        });
    }
    Ok(found)
}

/// Takes a lock away that is still what it was found to be: since it was looked at another git may
/// have taken the same.
fn take_away(session: &Session, lock: &Path, common: &Path) -> Result<String, CureError> {
    let shown = lock.display();
    let age = fs::metadata(lock)?.modified()?.elapsed().unwrap_or_default();
    if age < STALE || holder(lock).is_some() || !is_dead(session, lock, common) {
        return Err(format!("{shown} is in use by now").into());
    }
    fs::remove_file(lock)?;
    Ok(format!("took away {shown}"))
}

/// Whether a lock is of a session that nobody runs.
fn is_dead(session: &Session, lock: &Path, common: &Path) -> bool {
    if !is_at_rest(session) {
        return false;
    }
    let of_ref = |name: &str| lock == common.join(format!("{name}.lock"));
    if of_ref(&session.ref_name()) || of_ref(&session.spec.branch) {
        return true;
    }
    let path = &session.spec.worktree;
    let is_its_own = worktree::git_dir(path).is_some_and(|git_dir| lock.parent() == Some(&git_dir));
    is_its_own && occupied::occupants(path).is_empty()
}

/// Files that end in `.lock`, so many folders deep.
fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some(entries) = file::if_there(fs::read_dir(folder))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 1 {
                below(&path, depth - 1, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// The process that has a file open, as far as this system shows it.
fn holder(path: &Path) -> Option<u32> {
    let path = fs::canonicalize(path).ok()?;
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
        open.is_ok_and(|mut open| {
            open.any(|it| {
                it.is_ok_and(|it| std::fs::read_link(it.path()).is_ok_and(|to| to == path))
            })
        })
    })
}

/// A user by name, where the system's own list has it.
fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {uid}"))
}

fn words(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..3600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_and_an_owner_are_told_in_words() {
        let told = [60, 3599, 3600, 172_799, 172_800].map(|it| words(Duration::from_secs(it)));
        assert_eq!(told, ["1 min", "59 min", "1 h", "47 h", "2 days"]);
        assert_eq!(user(0), "root");
        assert_eq!(user(u32::MAX - 7), format!("user {}", u32::MAX - 7));
    }

    #[test]
    fn a_lock_that_is_young_again_stays() {
        let git = crate::git::testing::Fixture::with_commit(&[]);
        let repo = git.repo();
        let store = crate::session::store::Store::open(repo.common_dir());
        let spec = "format = 1\nid = 'lock-it-7f3k'\nname = 'lock-it'\ntask = 'x'\n\
                    created = '2026-11-05T10:00:00Z'\nbranch = 'refs/heads/agent/lock-it'\n\
                    worktree = '/nowhere'\nmodel = 'x/y'\nsandbox = 'none'\n\
                    base = { commit = 'c0ffee', name = 'main' }\n";
        let spec = crate::session::spec::Spec::parse(spec, Path::new("spec.toml")).unwrap();
        let session = store.create(spec).unwrap();
        let lock = repo.common_dir().join(format!("{}.lock", session.ref_name()));
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        let make = |age: u64| {
            let file = std::fs::File::create(&lock).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        make(3600);
        let ground = Ground { repo: &repo, store: &store, system: Path::new("/nowhere") };
        let sessions = [session];
        let mut found = find(&ground, &sessions).unwrap();
        make(0);
        let refused = found[0].mend().unwrap().unwrap_err().to_string();
        assert_eq!(refused, format!("{} is in use by now", lock.display()));
        make(3600);
        let mut found = find(&ground, &sessions).unwrap();
        found[0].mend().unwrap().unwrap();
        assert!(!lock.exists());
    }

    #[test]
    fn who_has_a_file_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let file = fs::File::create(&path).unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(holder(&path), Some(std::process::id()));
        }
        drop(file);
        assert_eq!(holder(&path), None);
    }
}
