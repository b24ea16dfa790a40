//! A session's worktree, brought back: branch, files, and what was in no commit.
//!
//! The session's ref is enough, for one that was fetched from elsewhere too; only files that git
//! ignores come back from beside the session's state, if that is still there.
//!
//! Invariant: nothing that exists is written over; what fails half way is taken away again.

use std::path::{Path, PathBuf};

use super::ignored::{self, Kept};
use super::remove::ignored_folder;
use crate::git::{AddWorktree, Expected, ObjectId, RefUpdate, RemoveWorktree, Repo};
use crate::plan::work::head_of;
use crate::plan::{LandError, work};
use crate::session::record::Record;
use crate::session::store::Session;
use crate::session::submodule;

/// A worktree that was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where it is.
    pub path: PathBuf,
    /// The branch was gone and is back.
    pub branch_created: bool,
    /// Files that no commit of the branch holds, brought back as such.
    pub uncommitted: Vec<String>,
    /// The commit that holds such files, where the branch has moved since: they were not put over
    /// what is new.
    pub set_apart: Option<ObjectId>,
    /// What became of ignored files.
    pub ignored: Kept,
    /// Why its submodules are not initialised, where they could not be.
    pub without_submodules: Option<String>,
}

/// Brings the worktree of a session back.
///
/// # Errors
/// It is there, or something else is in its place, or it cannot be made.
pub fn restore(repo: &Repo, session: &Session) -> Result<Restored, LandError> {
    let (_lock, _state) = work::hold(repo, session)?;
    let spec = &session.spec;
    if let Some(entry) = work::entry(repo, &spec.worktree)? {
        if !entry.missing {
            let (id, path) = (session.id.clone(), spec.worktree.clone());
            return Err(LandError::WorktreeExists { id, path });
        }
        // Its folder was deleted by hand: the registration would be in the way.
        let stale = RemoveWorktree { path: &spec.worktree, id: &entry.id, with_submodules: false };
        repo.remove_worktree(&stale)?.purge()?;
    }
    let record = Record::last(repo, &session.id)?;
    let record = record.ok_or_else(|| LandError::NoRecord(session.id.clone()))?;
    let branch = repo.ref_id(&spec.branch)?;
    let head = match branch {
        Some(tip) => tip,
        None => head_of(repo, &record)?,
    };
    repo.check_filters(&spec.worktree)?;
    let git_dir = repo.add_worktree(&AddWorktree {
        path: &spec.worktree,
        branch: &spec.branch,
        commit: head,
        create_branch: branch.is_none(),
    })?;
    fill(repo, session, &record, head, &git_dir)
        .map(|restored| Restored { branch_created: branch.is_none(), ..restored })
        .inspect_err(|_| undo(repo, session, branch.is_none().then_some(head), &git_dir))
}

/// Brings back what the branch does not hold.
fn fill(
    repo: &Repo,
    session: &Session,
    record: &Record,
    head: ObjectId,
    git_dir: &Path,
) -> Result<Restored, LandError> {
    let view = repo.view_of(git_dir)?;
    let path = session.spec.worktree.clone();
    let (mut uncommitted, mut set_apart) = (Vec::new(), None);
    let code = view.read_commit(record.code)?;
    if record.code != head && code.tree != view.tree_of(head)? {
        if code.parents.first() == Some(&head) {
            uncommitted = put_files(&view, head, record.code)?;
        } else if !view.is_ancestor(record.code, head)? {
            set_apart = Some(record.code);
        }
    }
    let submodules = submodule::available(&view, head);
    let submodules = submodules.and_then(|found| submodule::init(repo, &view, &found));
    let without_submodules = submodules.err().map(|error| error.to_string());
    let folder = ignored_folder(session);
    let kept = ignored::put_back(&folder, &path)?;
    if kept.left_out.is_empty() {
        ignored::forget(&folder)?;
    }
    Ok(Restored {
        path,
        branch_created: false,
        uncommitted,
        set_apart,
        ignored: kept,
        without_submodules,
    })
}

/// Makes the files those of `code`, with the user's filters; the index stays at `head`, so that
/// they show as what they are: changes in no commit.
fn put_files(view: &Repo, head: ObjectId, code: ObjectId) -> Result<Vec<String>, LandError> {
    view.check_filters(view.work_dir().unwrap_or(view.git_dir()))?;
    let source = format!("--source={code}");
    let git = view.git().args(["restore", "--worktree", "--no-overlay", &source, "--", ":/"]);
    let done = git.run()?;
    if done.exit != 0 {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(std::io::Error::other(said).into());
    }
    let stat = view.diff_stat(view.tree_of(head)?, view.tree_of(code)?)?;
    Ok(stat.paths.into_iter().map(|file| file.path.to_string()).collect())
}

/// Takes away what was made; `created` is where the branch was made.
fn undo(repo: &Repo, session: &Session, created: Option<ObjectId>, git_dir: &Path) {
    let id = git_dir.file_name().unwrap_or_default().to_string_lossy();
    let made = RemoveWorktree { path: &session.spec.worktree, id: &id, with_submodules: true };
    let undone = || -> Result<(), LandError> {
        repo.remove_worktree(&made)?.purge()?;
        if let Some(tip) = created {
            repo.update_refs(&[RefUpdate {
                name: session.spec.branch.clone(),
                old: Expected::Is(tip),
                new: None,
                reason: "agent: restore undone".to_owned(),
            }])?;
        }
        Ok(())
    };
    if let Err(error) = undone() {
        tracing::warn!(%error, "a worktree that could not be restored is left half made");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;

    use super::super::remove::{Removal, Removed, remove};
    use super::*;
    use crate::git::WorktreeError;
    use crate::process::Cmd;
    use crate::session::state::Phase;
    use crate::session::testing::{Bench, write};

    const PLAIN: Removal = Removal { force: false, branch: false, max_file_size: 10_000 };
    const FORCE: Removal = Removal { force: true, ..PLAIN };

    impl Bench {
        fn remove(&self, session: &Session) -> Removed {
            let removed = remove(&self.repo(), session, &PLAIN).unwrap();
            assert!(!session.spec.worktree.exists());
            assert!(!self.git.git(&["worktree", "list"]).contains("agent/"));
            removed
        }

        fn restore(&self, session: &Session) -> Restored {
            restore(&self.repo(), session).unwrap()
        }

        /// Is refused; the worktree, the refs and the state are as they were.
        fn stays(&self, session: &Session, removal: &Removal) -> LandError {
            let look = || (self.refs(), self.state(session), self.status(&session.spec.worktree));
            let before = look();
            let error = remove(&self.repo(), session, removal).unwrap_err();
            assert_eq!(look(), before);
            error
        }
    }

    #[test]
    fn r01_all_that_a_worktree_held_comes_back() {
        for options in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let bench = Bench::with(options);
            let session = bench.session("add", |_| {});
            bench.step(
                &session,
                &[(".gitignore", ".env\n/target\n"), ("a", "better\n"), ("run", "r\n")],
            );
            bench.done(&session, 0);
            let root = session.spec.worktree.clone();
            bench.git.git_in(&root, &["reset", "-q"]);
            write(&root, &[("a", "mine\n"), ("dir/b", ""), ("new/file", "n\n"), (".env", "KEY\n")]);
            write(&root, &[("target/big", &"x".repeat(20_000))]);
            fs::set_permissions(root.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::symlink("a", root.join("link")).unwrap();
            let status = bench.status(&root);
            let (branch, main) = (bench.tip("agent/add"), bench.tip("main"));
            let removed = bench.remove(&session);
            assert_eq!(removed.uncommitted, ["a", "dir/b", "link", "new/file", "run"]);
            assert_eq!(removed.ignored.files, 1);
            assert_eq!(removed.ignored.left_out[0].0, Path::new("target"));
            assert_eq!((bench.tip("agent/add"), bench.tip("main")), (branch, main));
            let restored = bench.restore(&session);
            assert_eq!(restored.uncommitted, removed.uncommitted);
            assert_eq!((restored.path, restored.branch_created), (root.clone(), false));
            assert_eq!(bench.status(&root), status);
            assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "mine\n");
            assert_eq!(fs::read_to_string(root.join(".env")).unwrap(), "KEY\n");
            assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("a"));
            let mode = fs::metadata(root.join("run")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755);
            // A second time, with nothing new to keep: the same record is enough.
            let refs = bench.refs();
            bench.remove(&session);
            assert_eq!(bench.refs(), refs);
        }
    }

    #[test]
    fn the_ref_alone_brings_back_session_branch_and_worktree() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let root = session.spec.worktree.clone();
        write(&root, &[("new", "n\n")]);
        let (state, tip) = (bench.state(&session), bench.tip("agent/add"));
        bench.remove(&session);
        bench.git.git(&["branch", "-q", "-D", "agent/add"]);
        bench.store.remove(&session).unwrap();
        let record = Record::last(&bench.repo(), "add-7f3k").unwrap().unwrap();
        let session = record.restore(&bench.repo(), &bench.store).unwrap();
        let restored = bench.restore(&session);
        assert!(restored.branch_created);
        assert_eq!(restored.uncommitted, ["new"]);
        assert_eq!(bench.tip("agent/add"), tip);
        assert_eq!(bench.status(&root), "?? new");
        assert_eq!(bench.state(&session).phase, state.phase);
    }

    #[test]
    fn a_branch_that_moved_since_is_not_written_over() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let root = session.spec.worktree.clone();
        write(&root, &[("a", "mine\n")]);
        bench.remove(&session);
        bench.git.git(&["branch", "-q", "-f", "agent/add", "main"]);
        let restored = bench.restore(&session);
        assert_eq!(restored.uncommitted, Vec::<String>::new());
        assert_eq!(bench.show(&format!("{}:a", restored.set_apart.unwrap())), "mine");
        assert_eq!(
            (bench.status(&root), bench.tip("agent/add")),
            (String::new(), bench.tip("main"))
        );
    }

    #[test]
    fn what_is_in_the_way_is_left_alone() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let root = session.spec.worktree.clone();
        let there = restore(&bench.repo(), &session).unwrap_err();
        assert!(matches!(there, LandError::WorktreeExists { .. }), "{there}");
        bench.remove(&session);
        bench.git.git(&["branch", "-q", "-D", "agent/add"]);
        fs::write(&root, "somebody's").unwrap();
        let refs = bench.refs();
        let error = restore(&bench.repo(), &session).unwrap_err();
        assert!(matches!(error, LandError::Worktree(WorktreeError::PathExists(_))), "{error}");
        assert_eq!(
            (bench.refs(), fs::read_to_string(&root).unwrap()),
            (refs, "somebody's".to_owned())
        );
    }

    #[test]
    fn r02_nobody_loses_the_ground_under_their_feet() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let (lock, mut state) = session.lock().unwrap();
        state.phase = Phase::Running;
        state.write(&session.state_path()).unwrap();
        let refused = remove(&bench.repo(), &session, &FORCE).unwrap_err();
        assert!(matches!(refused, LandError::NotAtRest { .. }), "{refused}");
        state.phase = Phase::Done;
        state.write(&session.state_path()).unwrap();
        drop(lock);
        if cfg!(target_os = "linux") {
            let sleep = Cmd::new("sleep").arg("30").dir(session.spec.worktree.join("dir"));
            let pid = sleep.spawn_detached(tempfile::tempfile().unwrap()).unwrap();
            let refused = bench.stays(&session, &PLAIN).to_string();
            assert!(refused.ends_with(&format!("in use by sleep ({pid})")), "{refused}");
            remove(&bench.repo(), &session, &FORCE).unwrap();
            Cmd::new("sh").args(["-c", &format!("kill {pid}")]).run().unwrap();
        }
    }

    #[test]
    fn r04_r08_what_is_locked_or_not_ours_stays_even_by_force() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let root = session.spec.worktree.clone();
        let path = root.to_str().unwrap();
        bench.git.git(&["worktree", "lock", "--reason", "mine", path]);
        assert!(bench.stays(&session, &FORCE).to_string().ends_with("is locked: mine"));
        bench.git.git(&["worktree", "unlock", path]);
        bench.git.git_in(&root, &["checkout", "-q", "--detach"]);
        assert!(matches!(bench.stays(&session, &FORCE), LandError::Elsewhere { .. }));
        bench.git.git_in(&root, &["checkout", "-q", "agent/add"]);
        fs::rename(&root, bench.git.beside("moved")).unwrap();
        bench.git.git(&["init", "-q", path]);
        assert!(matches!(
            remove(&bench.repo(), &session, &FORCE),
            Err(LandError::Worktree(WorktreeError::Mismatch { .. }))
        ));
        assert!(root.join(".git/HEAD").exists());
    }

    #[test]
    fn what_cannot_be_kept_stops_it_unless_it_is_given_up() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        write(&session.spec.worktree, &[("large", &"x".repeat(20_000))]);
        let what = "large (20000 bytes are more than a snapshot takes)";
        match bench.stays(&session, &PLAIN) {
            LandError::CannotKeep { what: lost, .. } => assert_eq!(lost, [what]),
            other => panic!("{other}"),
        }
        assert_eq!(remove(&bench.repo(), &session, &FORCE).unwrap().given_up, [what]);
    }

    #[test]
    fn r14_a_branch_goes_only_when_its_work_is_elsewhere() {
        use crate::land::apply::land;
        use crate::plan::Wish;

        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let with_branch = Removal { branch: true, ..PLAIN };
        assert!(matches!(bench.stays(&session, &with_branch), LandError::NotLanded(_)));
        land(&bench.repo(), &session, &Wish::default()).unwrap();
        let tip = bench.tip("agent/add");
        write(&session.spec.worktree, &[("new", "n\n")]);
        let removed = remove(&bench.repo(), &session, &with_branch).unwrap();
        assert!(removed.branch_deleted);
        assert_eq!(bench.repo().ref_id("refs/heads/agent/add").unwrap(), None);
        // Landing the work elsewhere meanwhile does not bury what the worktree held.
        bench.git.git(&["branch", "other", "main~1"]);
        let elsewhere = Wish { into: Some("other"), ..Wish::default() };
        land(&bench.repo(), &session, &elsewhere).unwrap();
        assert_eq!(bench.restore(&session).uncommitted, ["new"]);
        assert_eq!(bench.tip("agent/add"), tip);
    }

    #[test]
    fn r16_a_folder_that_is_gone_is_no_hindrance() {
        let bench = Bench::new();
        let session = bench.finished("add", &[("a", "better\n")]);
        let root = session.spec.worktree.clone();
        fs::remove_dir_all(&root).unwrap();
        bench.restore(&session);
        assert_eq!(
            (bench.status(&root), fs::read_to_string(root.join("a")).unwrap()),
            (String::new(), "better\n".to_owned())
        );
        fs::remove_dir_all(&root).unwrap();
        bench.remove(&session);
        assert!(matches!(remove(&bench.repo(), &session, &PLAIN), Err(LandError::NoWorktree(_))));
    }
}
