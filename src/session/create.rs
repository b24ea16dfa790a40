//! A new session: worktree, branch, folder, first record; all of it, or nothing.
//!
//! What is made slowly (submodules, copied files, the user's set-up command) is made outside the
//! lock, so that many starts at once wait for each other's names only.
//!
//! Invariant: until the last act, a rename, nobody sees the session; whatever fails or dies before
//! is undone, here or by the next creation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use jiff::Timestamp;

use super::cage::{self, Cage, CageError};
use super::disk::{self, LowDisk};
use super::fork::{self, Past};
use super::format::FormatError;
use super::include::{self, IncludeError, Included};
use super::journal::Journal;
use super::lock::{Lock, LockError};
use super::record::{self, Record, RecordError, Recorder};
use super::rewind::RewindError;
use super::spec::Spec;
use super::state::State;
use super::store::{Session, Store};
use super::submodule::{self, SubmoduleError};
use super::worktree::{self, Layout, Place, PlaceError, Wish};
use crate::config::Config;
use crate::event::{Access, Event, Update};
use crate::file::remove_tree;
use crate::git::{
    AddWorktree, Expected, GitError, ObjectError, ObjectId, OpenError, RefError, RefUpdate,
    RemoveWorktree, Repo, WorktreeEntry, WorktreeError,
};
use crate::process::ProcessError;
use crate::sandbox::Level;

/// How long a start waits for others to get their names.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The names wished for.
    pub wish: Wish<'a>,
    /// The wishes for all worktrees.
    pub layout: &'a Layout,
    /// The commit to start from.
    pub base: ObjectId,
    /// The past it shares with another session; it then begins paused.
    pub past: Option<&'a Past>,
    /// What is to be run in the new worktree, if anything is.
    pub setup: Option<Setup<'a>>,
    /// What must be free on the disk, in bytes: `agent.minFreeDisk`.
    pub min_free_disk: u64,
}

/// A command that is run in a new worktree, as one of the session's own: `agent.setup`.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The command.
    pub command: &'a str,
    /// The settings of the session.
    pub config: &'a Config,
    /// This program, which commands pass through; none where they pass through nothing.
    pub program: Option<&'a Path>,
}

/// What was made.
#[derive(Debug)]
pub struct Created {
    /// The session, in phase `queued`.
    pub session: Session,
    /// Its worktree as a view of the repository.
    pub repo: Repo,
    /// What `.worktreeinclude` brought along.
    pub included: Included,
    /// Submodules that were initialised, by path.
    pub submodules: Vec<String>,
    /// Folders above the worktree that were made for it, the deepest first.
    folders: Vec<PathBuf>,
}

/// Why there is no new session; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is no place for it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Others are starting, for too long.
    #[error("other sessions are being made")]
    Busy(#[source] LockError),
    /// git does not know the user, whose name the commits would carry.
    #[error("the author of commits is not known")]
    Identity(#[source] GitError),
    /// A submodule cannot be had without the network.
    #[error(transparent)]
    Submodule(#[from] SubmoduleError),
    /// The folder of the session cannot be made.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The worktree cannot be made.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// The new worktree cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What `.worktreeinclude` names cannot be copied.
    #[error(transparent)]
    Include(#[from] IncludeError),
    /// The user's set-up command failed.
    #[error("agent.setup ended with exit code {exit}")]
    Setup {
        /// Its exit code.
        exit: i32,
        /// The end of what it printed.
        said: String,
        /// Hosts that it asked for and might not reach.
        blocked: Vec<String>,
        /// Whether it ran in a sandbox.
        is_held: bool,
    },
    /// There is nowhere to run the set-up command.
    #[error(transparent)]
    Cage(#[from] CageError),
    /// A command could not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is too little space.
    #[error(transparent)]
    Disk(#[from] LowDisk),
    /// The past cannot be handed over.
    #[error(transparent)]
    Past(#[from] RewindError),
    /// The first record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A ref cannot be moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The set-up command of these settings, if there is one.
pub fn setup<'a>(config: &'a Config, program: &'a Path) -> Option<Setup<'a>> {
    let command = config.setup.as_deref()?;
    Some(Setup { command, config, program: Some(program) })
}

/// Makes a session. `spec` is given its place and says what is asked of it; the checkout that
/// `repo` is the view of is where `.worktreeinclude` is read.
///
/// # Errors
/// See [`CreateError`]; nothing is left behind then.
pub fn create(
    repo: &Repo,
    store: &Store,
    request: &Request<'_>,
    spec: impl FnOnce(&Place) -> Spec,
) -> Result<Created, CreateError> {
    let who = repo.identity().map_err(CreateError::Identity)?;
    let submodules = submodule::available(repo, request.base)?;
    disk::check(store.root(), request.min_free_disk)?;
    let lock = lock(store)?;
    recover(repo, store)?;
    let place = worktree::place(repo, request.layout, &request.wish)?;
    disk::check(&place.path, request.min_free_disk)?;
    let draft = store.begin(spec(&place))?;
    let folders: Vec<_> = place.path.ancestors().skip(1).map(Path::to_owned).collect();
    let mut undo = Undo {
        repo,
        spec: draft.spec().clone(),
        base: request.base,
        folders: folders.into_iter().take_while(|folder| !folder.exists()).collect(),
        armed: true,
    };
    repo.add_worktree(&AddWorktree {
        path: &place.path,
        branch: &place.branch,
        commit: request.base,
        create_branch: true,
    })?;
    drop(lock);
    let view = worktree::open(repo, &place.path)?;
    // What is written for it is kept until its supervisor does that.
    for writer in [repo, &view] {
        writer.keep_written(&draft.kept_dir())?;
    }
    let mut state = State::new(draft.spec().created);
    state.head = Some(request.base.to_string());
    state.tree = Some(repo.tree_of(request.base)?.to_string());
    let journal = draft.journal_path();
    let code = match request.past {
        Some(past) => past.hand_over(&view, draft.spec(), &journal, &mut state)?,
        None => request.base,
    };
    let submodules = submodule::init(repo, &view, &submodules)?;
    let included = include::copy(repo, &place.path)?;
    state.with_secrets = included.with_secrets();
    if let Some(setup) = &request.setup {
        set_up(setup, repo, &view, draft.spec(), &journal)?;
        state.settled &= fork::is_as_left(&view, &state);
    }
    // Its supervisor is awaited from now on, however long this took.
    state.updated = Timestamp::now();
    let recorder = Recorder::open(repo, &place.id)?;
    let first = recorder.write(repo, draft.spec(), &mut state, &journal, code, &who)?;
    repo.update_refs(&[first.update])?;
    for writer in [repo, &view] {
        writer.leave_kept();
    }
    let session = draft.finish(&state)?;
    undo.armed = false;
    let folders = std::mem::take(&mut undo.folders);
    Ok(Created { session, repo: view, included, submodules, folders })
}

/// Undoes a creation that is finished, where nobody has worked in the session yet.
///
/// # Errors
/// Its folder cannot be removed.
pub fn take_back(repo: &Repo, store: &Store, created: &Created) -> Result<(), CreateError> {
    let Created { session, folders, .. } = created;
    // First it is nobody's any more.
    store.remove(session)?;
    if let Ok(base) = ObjectId::from_hex(session.spec.first_commit().as_bytes()) {
        undo(repo, &session.spec, base);
    }
    remove_empty(folders);
    Ok(())
}

/// Undoes what creations that died have made, while nobody else creates.
///
/// # Errors
/// Others are creating, for too long; or the store cannot be read or written.
pub fn tidy(repo: &Repo, store: &Store) -> Result<(), CreateError> {
    let _lock = lock(store)?;
    recover(repo, store)
}

fn lock(store: &Store) -> Result<Lock, CreateError> {
    fs::create_dir_all(store.root())?;
    Lock::acquire_within(&store.root().join("create.lock"), PATIENCE).map_err(CreateError::Busy)
}

/// Undoes what a creation that died had made. The caller holds the lock of creation, or nobody
/// else creates.
///
/// # Errors
/// The store cannot be read or written.
pub fn recover(repo: &Repo, store: &Store) -> Result<(), CreateError> {
    for session in store.unfinished()? {
        tracing::warn!(
            id = session.id,
            "a session was never finished; what was made of it is undone"
        );
        if let Ok(base) = ObjectId::from_hex(session.spec.first_commit().as_bytes()) {
            undo(repo, &session.spec, base);
        }
        store.remove(&session)?;
    }
    Ok(store.sweep()?)
}

/// Undoes a creation unless it is disarmed.
struct Undo<'a> {
    repo: &'a Repo,
    spec: Spec,
    base: ObjectId,
    /// Folders above the worktree that were not there before, the deepest first.
    folders: Vec<PathBuf>,
    armed: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.armed {
            undo(self.repo, &self.spec, self.base);
            remove_empty(&self.folders);
        }
    }
}

/// Removes folders that were made; one that another session uses by now is not empty, and stays.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        drop(fs::remove_dir(folder));
    }
}

/// Takes away what was made for a session that nobody has worked in: each only if it is still as
/// it was made. What cannot be undone is in the trace, beside the error that led here.
fn undo(repo: &Repo, spec: &Spec, base: ObjectId) {
    if let Err(error) = remove_worktree(repo, spec) {
        tracing::warn!(%error, path = %spec.worktree.display(), "a worktree is left behind");
    }
    let drop_ref = |name: String, old: ObjectId| {
        let reason = "agent: start undone".to_owned();
        repo.update_refs(&[RefUpdate { name, old: Expected::Is(old), new: None, reason }])
    };
    let record = format!("{}{}", record::PREFIX, spec.id);
    // A record with others before it is not of this creation: its session came from elsewhere.
    let is_first = |tip| Record::read(repo, tip).is_ok_and(|record| record.before.is_none());
    let undone = repo.ref_id(&record).and_then(|tip| match tip {
        Some(tip) if is_first(tip) => drop_ref(record, tip),
        _ => Ok(()),
    });
    let undone = undone.and_then(|()| match repo.ref_id(&spec.branch)? {
        Some(tip) if tip == base => drop_ref(spec.branch.clone(), tip),
        _ => Ok(()),
    });
    if let Err(error) = undone {
        tracing::warn!(%error, "a ref is left behind");
    }
}

/// Removes the worktree at the session's path, if it is the session's.
fn remove_worktree(repo: &Repo, spec: &Spec) -> Result<(), WorktreeError> {
    let worktrees = repo.worktrees()?;
    let is_ours = |entry: &&WorktreeEntry| {
        entry.path == spec.worktree && entry.branch.as_ref() == Some(&spec.branch)
    };
    let Some(ours) = worktrees.iter().find(is_ours) else { return Ok(()) };
    let remove = RemoveWorktree { path: &ours.path, id: &ours.id, with_submodules: true };
    // At once, not in the background: that nothing was kept is to be true when it is said.
    repo.remove_worktree(&remove)?.path().map_or(Ok(()), remove_tree)?;
    Ok(())
}

/// Runs the set-up command; the hosts that it asked for are journalled.
fn set_up(
    setup: &Setup<'_>,
    repo: &Repo,
    view: &Repo,
    spec: &Spec,
    journal: &Path,
) -> Result<(), CreateError> {
    let root = repo.main_work_dir().unwrap_or_else(|| repo.common_dir().to_owned());
    let env = [("GIT_AGENT_SESSION", Path::new(&spec.id)), ("GIT_AGENT_ROOT", &root)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ran, visits) = runtime.block_on(async {
        let cage = Cage::open(view, spec, setup.config, setup.program, &env).await?;
        Ok::<_, CreateError>((cage.run(setup.command).await?, cage.take_visits()))
    })?;
    if ran.exit != 0 {
        let blocked = visits.iter().filter(|it| it.access != Access::Allowed);
        let blocked = blocked.map(|it| it.place.trim_end_matches(":443").to_owned()).collect();
        let is_held = cage::level(spec) != Level::None;
        return Err(CreateError::Setup { exit: ran.exit, said: ran.output, blocked, is_held });
    }
    if !visits.is_empty() {
        let events: Vec<_> =
            visits.into_iter().map(|visit| Event::now(0, Update::Network(visit))).collect();
        Journal::open(journal)?.0.append(&events)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::git::testing::Fixture;
    use crate::process::Cmd;
    use crate::session::spec::tests::sample;
    use crate::session::state::Phase;
    use crate::session::worktree::Place;

    fn layout() -> Layout {
        Layout {
            path: "../{repo}.worktrees/{name}".to_owned(),
            branch_prefix: "agent/".to_owned(),
            home: None,
        }
    }

    fn spec(place: &Place, base: ObjectId) -> Spec {
        let mut spec = sample("any-7f3k");
        spec.id.clone_from(&place.id);
        spec.name.clone_from(&place.name);
        spec.branch.clone_from(&place.branch);
        spec.worktree.clone_from(&place.path);
        spec.base.commit = base.to_string();
        spec
    }

    fn make(git: &Fixture, setup: Option<&str>) -> Result<Created, CreateError> {
        let (repo, base, layout) = (git.repo(), git.id("HEAD"), layout());
        let store = Store::open(repo.common_dir());
        let wish = Wish { slug: "add-rate", ..Wish::default() };
        let config = Config::default();
        let setup = setup.map(|command| Setup { command, config: &config, program: None });
        let request = Request { wish, layout: &layout, base, past: None, setup, min_free_disk: 0 };
        create(&repo, &store, &request, |place| spec(place, base))
    }

    /// Everything that a creation could leave.
    fn traces(git: &Fixture) -> (String, String, Vec<String>, bool) {
        let store = Store::open(git.repo().common_dir());
        let folder = git.beside("my dépôt.worktrees/add-rate");
        let left = fs::read_dir(store.root().join("sessions"));
        let left = left.map(|left| left.map(|e| e.unwrap().file_name().into_string().unwrap()));
        (
            git.git(&["for-each-ref", "--format=%(refname)"]),
            git.git(&["worktree", "list", "--porcelain"]),
            left.map(Iterator::collect).unwrap_or_default(),
            folder.exists(),
        )
    }

    #[test]
    fn b08_what_a_gc_takes_from_a_new_session_is_brought_back_by_its_supervisor() {
        let git = Fixture::with_commit(&[]);
        let created = make(&git, None).unwrap();
        let (repo, session) = (git.repo(), &created.session);
        let record = repo.ref_id(&session.ref_name()).unwrap().unwrap();
        // As a gc does that has looked at the refs a moment before.
        let hex = record.to_string();
        fs::remove_file(repo.common_dir().join("objects").join(&hex[..2]).join(&hex[2..])).unwrap();
        let view = git.repo();
        assert!(!view.has_object(record));
        view.keep_written(&session.kept_dir()).unwrap();
        assert_eq!(record::Record::read(&view, record).unwrap().spec, session.spec);
    }

    #[test]
    fn a_session_is_made_whole_in_every_kind_of_repository() {
        for options in [&[][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
            let git = Fixture::with_commit(options);
            let created =
                make(&git, Some("echo \"$GIT_AGENT_SESSION\" > out; pwd >> out")).unwrap();
            let session = &created.session;
            assert_eq!(session.state().unwrap().phase, Phase::Queued);
            let worktree = git.beside("my dépôt.worktrees/add-rate");
            let want = format!("{}\n{}\n", session.id, worktree.display());
            assert_eq!(fs::read_to_string(worktree.join("out")).unwrap(), want);
            assert_eq!(git.git_in(&worktree, &["branch", "--show-current"]), "agent/add-rate");
            let record = record::Record::last(&git.repo(), &session.id).unwrap().unwrap();
            assert_eq!((record.spec, record.code), (session.spec.clone(), git.id("HEAD")));
            assert_eq!(record.state, session.state().unwrap());
            assert_eq!(created.repo.work_dir(), Some(worktree.as_path()));
            assert_eq!(git.git(&["status", "--porcelain"]), "");
            git.fsck();
        }
    }

    #[test]
    fn whatever_fails_nothing_is_left() {
        let git = Fixture::with_commit(&[]);
        drop(fs::create_dir_all(git.repo().common_dir().join("agent/sessions")));
        let before = traces(&git);
        let error = make(&git, Some("echo broken; exit 7")).unwrap_err();
        let CreateError::Setup { exit, said, blocked, is_held } = error else { panic!("{error}") };
        assert_eq!((exit, said.as_str(), blocked, is_held), (7, "broken\n", Vec::new(), false));
        assert_eq!(traces(&git), before);
        // The last act but one fails: somebody has taken the session's folder.
        let taken = "mkdir -p \"$GIT_AGENT_ROOT/.git/agent/sessions/$GIT_AGENT_SESSION/x\"";
        assert!(matches!(make(&git, Some(taken)).unwrap_err(), CreateError::Format(_)));
        for left in fs::read_dir(git.repo().common_dir().join("agent/sessions")).unwrap() {
            fs::remove_dir_all(left.unwrap().path()).unwrap();
        }
        assert_eq!(traces(&git), before);
    }

    #[test]
    fn w20_what_a_killed_start_left_is_undone_by_the_next() {
        let git = Fixture::with_commit(&[]);
        let created = make(&git, None).unwrap();
        let store = Store::open(git.repo().common_dir());
        // As if the rename had not come: everything is there but the session's name.
        let half = created.session.dir.with_file_name(".new-abc");
        fs::rename(&created.session.dir, half).unwrap();
        recover(&git.repo(), &store).unwrap();
        assert_eq!(traces(&git).0, "refs/heads/main");
        assert_eq!((traces(&git).2, traces(&git).3), (Vec::new(), false));
        assert_eq!(make(&git, None).unwrap().session.spec.name, "add-rate");
    }

    #[test]
    fn w05_starts_at_once_each_get_a_session_of_their_own() {
        let git = Fixture::with_commit(&[]);
        let made = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| make(&git, None))).collect();
            starts.into_iter().map(|start| start.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        let paths: std::collections::BTreeSet<_> =
            made.iter().map(|created| created.session.spec.worktree.clone()).collect();
        assert_eq!(paths.len(), 8);
        let store = Store::open(git.repo().common_dir());
        assert_eq!(store.list().unwrap().sessions.len(), 8);
        assert_eq!(record::list(&git.repo()).unwrap().len(), 8);
    }

    #[test]
    fn ignored_files_that_are_named_come_along() {
        let git = Fixture::new(&[]);
        git.commit(&[
            (".gitignore", "/.env\n/local/\n/link\n/dir/\nnested/\n"),
            (".worktreeinclude", "\u{feff}.env\r\nlocal/\r\n!local/no\r\n[z-a]\r\nlink\r\nvisible\r\ndir/x\r\nnested/\r\n"),
        ]);
        let write = |path: &str, text: &str| {
            let path = git.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in [
            ".env",
            "local/deep/a",
            "local/no",
            "visible",
            "dir/x",
            "dir/y",
            "nested/.git",
            "nested/n",
        ] {
            write(path, path);
        }
        let mode = |path: &std::path::Path| {
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions())
                & 0o777
        };
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(git.root.join("local/deep/a"), private).unwrap();
        std::os::unix::fs::symlink("/nowhere", git.root.join("link")).unwrap();
        Cmd::new("mkfifo").arg(git.root.join("local/pipe")).run().unwrap();
        let created = make(&git, None).unwrap();
        let worktree = &created.session.spec.worktree;
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(created.included.copied, paths(&[".env", "dir/x", "link", "local/deep/a"]));
        let skipped: Vec<_> =
            created.included.skipped.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(skipped, paths(&["local/pipe", "nested"]));
        assert_eq!(created.included.bad_lines.len(), 1, "{:?}", created.included.bad_lines);
        assert!(created.included.bad_lines[0].starts_with("line 4: "));
        let lines = created.included.lines();
        assert_eq!(lines[0], "copied .env, dir/x, link, local/deep/a");
        assert_eq!(lines[2], "not copied: nested: it is a repository of its own");
        assert!(lines[3].starts_with(".worktreeinclude, line 4: "), "{lines:?}");
        assert_eq!(mode(&worktree.join("local/deep/a")), 0o700);
        assert_eq!(fs::read_link(worktree.join("link")).unwrap(), PathBuf::from("/nowhere"));
        assert!(!worktree.join("visible").exists());
        assert_eq!(git.git_in(worktree, &["status", "--porcelain"]), "");
    }

    #[test]
    fn w16_nothing_is_copied_through_a_link_or_over_a_file() {
        let git = Fixture::new(&[]);
        let outside = git.beside("outside");
        fs::create_dir(&outside).unwrap();
        // The base has a link and a file where the checkout has ignored files by now.
        std::os::unix::fs::symlink(&outside, git.root.join("conf")).unwrap();
        git.commit(&[("kept", "tracked\n"), (".worktreeinclude", "conf/\nkept\n")]);
        git.git(&["rm", "-q", "--cached", "conf", "kept"]);
        fs::remove_file(git.root.join("conf")).unwrap();
        fs::create_dir(git.root.join("conf")).unwrap();
        fs::write(git.root.join("conf/secret"), "s").unwrap();
        fs::write(git.root.join("kept"), "mine\n").unwrap();
        fs::write(git.root.join(".git/info/exclude"), "conf\nkept\n").unwrap();
        let created = make(&git, None).unwrap();
        assert_eq!(created.included.copied, Vec::<PathBuf>::new());
        let why: Vec<_> = created.included.skipped.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            why,
            ["its folder is a symbolic link in the worktree", "it exists in the worktree"]
        );
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
        let kept = fs::read_to_string(created.session.spec.worktree.join("kept")).unwrap();
        assert_eq!(kept, "tracked\n");
    }

    /// A repository with a submodule `sub`, which has a submodule `inner` itself.
    fn with_submodules() -> Fixture {
        let git = Fixture::with_commit(&[]);
        let allow = ["-c", "protocol.file.allow=always"];
        for name in ["inner", "sub"] {
            let dir = git.beside(name);
            git.git(&["init", "-q", "-b", "main", dir.to_str().unwrap()]);
            for (key, value) in [("user.name", "Ada"), ("user.email", "a@example.org")] {
                git.git_in(&dir, &["config", key, value]);
            }
            fs::write(dir.join("file"), name).unwrap();
            git.git_in(&dir, &["add", "file"]);
            git.git_in(&dir, &["commit", "-q", "-m", "x"]);
        }
        let add = |dir: &std::path::Path, url: &str, path: &str| {
            git.git_in(dir, &[&allow[..], &["submodule", "--quiet", "add", url, path]].concat());
            git.git_in(dir, &["commit", "-q", "-m", "a submodule"]);
        };
        add(&git.beside("sub"), git.beside("inner").to_str().unwrap(), "deep/inner");
        add(&git.root, git.beside("sub").to_str().unwrap(), "libs/sub");
        git.git(
            &[&allow[..], &["submodule", "--quiet", "update", "--init", "--recursive"]].concat(),
        );
        git
    }

    #[test]
    fn w21_submodules_come_from_the_clones_that_are_there() {
        let git = with_submodules();
        // The servers are away.
        for name in ["sub", "inner"] {
            fs::rename(git.beside(name), git.beside(&format!("{name}.away"))).unwrap();
        }
        let created = make(&git, None).unwrap();
        assert_eq!(created.submodules, ["libs/sub"]);
        let worktree = &created.session.spec.worktree;
        let file = |path: &str| fs::read_to_string(worktree.join(path)).unwrap();
        assert_eq!(file("libs/sub/file"), "sub");
        assert_eq!(file("libs/sub/deep/inner/file"), "inner");
        let url = git.git_in(&worktree.join("libs/sub"), &["config", "remote.origin.url"]);
        assert_eq!(url, git.beside("sub").to_str().unwrap());
        assert_eq!(git.git_in(worktree, &["status", "--porcelain"]), "");
        assert_eq!(git.git(&["status", "--porcelain"]), "");
    }

    #[test]
    fn w21_a_submodule_that_is_not_there_is_told_before_anything_is_made() {
        let git = with_submodules();
        fs::remove_dir_all(git.root.join(".git/modules/libs/sub")).unwrap();
        let before = traces(&git);
        let error = make(&git, None).unwrap_err().to_string();
        assert!(error.starts_with("submodule 'libs/sub' has no commit "), "{error}");
        assert_eq!(traces(&git), before);
    }
}
