//! Refs: read, listed, and moved together or not at all.
//!
//! Invariant: no ref moves unless every ref of the transaction still has the value it was expected
//! to have, and everything they will point to is on the disk before.
//!
//! The user's `reference-transaction` hook is not run by [`Repo::update_refs`], which is for refs of
//! ours: it would run at every step, and its refusal would cost a finished step. A landing moves a
//! branch of the user's, so it goes through [`Repo::update_refs_as_user`], where the hook decides.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gix::bstr::ByteSlice;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};

use crate::git::cause::Cause;
use crate::git::command::{self, GitError};
use crate::git::durable;
use crate::git::repo::Repo;
use crate::git::{Identity, ObjectId};
use crate::process::Cmd;

/// How long a lock on a ref is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// One move of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    /// Full name, `refs/…`.
    pub name: String,
    /// What it must be before.
    pub old: Expected,
    /// What it is to be; none deletes it.
    pub new: Option<ObjectId>,
    /// One line for the reflog.
    pub reason: String,
}

/// What a ref must be for a transaction to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It must not exist.
    Absent,
    /// It must point here.
    Is(ObjectId),
    /// Whatever it is, it is replaced: only where the caller means just that.
    Any,
}

/// Why refs were not read or moved.
#[derive(Debug, thiserror::Error)]
pub enum RefError {
    /// A ref is not what it was expected to be; nothing has moved.
    #[error("{name} has moved: expected {}, found {}", or_nothing(.expected), or_nothing(.found))]
    Moved {
        /// The first such ref.
        name: String,
        /// What was expected; none for "absent".
        expected: Option<ObjectId>,
        /// What is there; none for "absent".
        found: Option<ObjectId>,
    },
    /// Somebody holds a lock on it, or has left one behind; nothing has moved.
    #[error("{name} is locked: {} exists", lock.display())]
    Locked {
        /// The ref.
        name: String,
        /// The file of the lock.
        lock: PathBuf,
    },
    /// Not a name that a ref may have.
    #[error("'{0}' is not a valid ref name")]
    BadName(String),
    /// git refused, or a hook of the user's did; nothing has moved.
    #[error(transparent)]
    Git(#[from] GitError),
    /// `HEAD` is missing or damaged.
    #[error("HEAD cannot be read")]
    NoHead,
    /// The disk refuses to keep the objects, in which case nothing has moved, or the refs.
    #[error("cannot put objects and refs on the disk")]
    Sync(#[source] std::io::Error),
    /// The refs could not be read or written.
    #[error("cannot {what}")]
    Store {
        /// What was attempted.
        what: String,
        /// What stood in the way.
        #[source]
        source: Cause,
    },
}

fn or_nothing(id: &Option<ObjectId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| id.to_string())
}

impl Repo {
    /// The object that a ref points to, symbolic refs followed. The name is full, `refs/…`, and is
    /// never taken for the short form of another.
    ///
    /// # Errors
    /// The name is not valid, or the ref cannot be read.
    pub fn ref_id(&self, name: &str) -> Result<Option<ObjectId>, RefError> {
        let full = full_name(name)?;
        if self.is_reftable() {
            // One exact name; `rev-parse` would try `refs/tags/<name>` and others after it.
            let refs = self.for_each_ref(name)?;
            return Ok(refs.into_iter().find(|(found, _)| found == name).map(|(_, id)| id));
        }
        let unreadable = |source: gix::Error| store_error(format!("read {name}"), source);
        let found = self.gix().try_find_reference(full.as_ref()).map_err(unreadable)?;
        let Some(mut reference) = found.filter(|reference| reference.name() == full.as_ref())
        else {
            return Ok(None);
        };
        match reference.follow_to_object() {
            Ok(id) => Ok(Some(id.detach())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// All refs below a prefix that ends in `/`, with the objects they point to, by name. A ref
    /// that cannot be read is left out, as `git for-each-ref` does.
    ///
    /// # Errors
    /// The refs cannot be listed.
    pub fn refs(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>, RefError> {
        if self.is_reftable() {
            return self.for_each_ref(prefix);
        }
        let unlisted = |source: gix::Error| store_error(format!("list {prefix}"), source);
        let platform = self.gix().references().map_err(unlisted)?;
        let mut refs = Vec::new();
        for reference in platform.prefixed(prefix.as_bytes().as_bstr()).map_err(unlisted)? {
            let id = match reference {
                Ok(mut reference) => {
                    let name = reference.name().as_bstr().to_str_lossy().into_owned();
                    reference.follow_to_object().map(|id| (name, id.detach()))
                }
                Err(error) => Err(error),
            };
            match id {
                Ok(named) => refs.push(named),
                Err(error) => tracing::warn!(prefix, %error, "a ref cannot be read"),
            }
        }
        Ok(refs)
    }

    /// Moves all these refs, or none of them.
    ///
    /// # Errors
    /// [`RefError::Moved`] if one is not as expected; otherwise what stood in the way.
    pub fn update_refs(&self, updates: &[RefUpdate]) -> Result<(), RefError> {
        self.restore_new().map_err(RefError::Sync)?;
        self.sync_objects()?;
        self.move_unlocked(updates)?;
        self.restore_new().map(drop).map_err(RefError::Sync)
    }

    /// As [`Repo::move_refs`], with a lock of somebody else's waited for: a git that runs holds one
    /// for a moment.
    fn move_unlocked(&self, updates: &[RefUpdate]) -> Result<(), RefError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        let mut is_again = false;
        loop {
            let error = match self.move_refs(updates) {
                Err(error @ (RefError::Store { .. } | RefError::Git(_))) => error,
                moved => return moved,
            };
            match self.lock_in_the_way(updates) {
                Some((name, lock)) if Instant::now() > deadline => {
                    return Err(RefError::Locked { name, lock });
                }
                // It may have gone since.
                None if is_again => return Err(error),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            is_again = true;
        }
    }

    /// A lock on one of these refs, on all that are packed, or on `HEAD`, which goes along.
    fn lock_in_the_way(&self, updates: &[RefUpdate]) -> Option<(String, PathBuf)> {
        let names = updates.iter().map(|update| update.name.as_str());
        let names = names.chain(["packed-refs", "HEAD"]);
        let locks =
            names.map(|name| (name.to_owned(), self.common_dir().join(format!("{name}.lock"))));
        locks.into_iter().find(|(_, lock)| lock.exists())
    }

    fn move_refs(&self, updates: &[RefUpdate]) -> Result<(), RefError> {
        // gix takes "must not exist" for granted where the ref has the new value already: two who
        // create the same session would both be told that they did.
        if self.is_reftable() || updates.iter().any(|update| update.old == Expected::Absent) {
            return self.update_by(self.git(), updates);
        }
        let edits = updates.iter().map(edit).collect::<Result<Vec<_>, _>>()?;
        let who = self.reflog_identity();
        let time = gix::date::Time::now_local_or_utc().to_string();
        let who = gix::actor::SignatureRef {
            name: who.name.as_bytes().as_bstr(),
            email: who.email.as_bytes().as_bstr(),
            time: &time,
        };
        match self.gix().edit_references_as(edits, Some(who)) {
            Ok(_) => {
                let files = updates.iter().map(|update| self.common_dir().join(&update.name));
                durable::sync(&files.collect::<Vec<_>>()).map_err(RefError::Sync)
            }
            Err(source) => Err(self.moved(updates)?.unwrap_or_else(|| {
                let names: Vec<_> = updates.iter().map(|update| update.name.as_str()).collect();
                store_error(format!("update {}", names.join(", ")), source)
            })),
        }
    }

    /// As [`Repo::update_refs`], with the user's `reference-transaction` hook run, which may refuse.
    ///
    /// # Errors
    /// As [`Repo::update_refs`]; a hook's refusal is [`RefError::Git`] with the hook's words.
    pub fn update_refs_as_user(&self, updates: &[RefUpdate]) -> Result<(), RefError> {
        self.restore_new().map_err(RefError::Sync)?;
        self.sync_objects()?;
        self.update_by(self.user_git_in_main(), updates).map_err(|error| match error {
            RefError::Git(_) => match self.lock_in_the_way(updates) {
                Some((name, lock)) => RefError::Locked { name, lock },
                None => error,
            },
            error => error,
        })?;
        self.restore_new().map(drop).map_err(RefError::Sync)
    }

    /// One transaction of `git update-ref --stdin`. git takes one reason for all of them.
    fn update_by(&self, git: Cmd, updates: &[RefUpdate]) -> Result<(), RefError> {
        let mut lines = Vec::new();
        let null = self.null_id();
        for RefUpdate { name, old, new, .. } in updates {
            full_name(name)?;
            let line = match (old, new) {
                (Expected::Absent, Some(new)) => format!("update {name}\0{new}\0{null}\0"),
                (Expected::Is(old), Some(new)) => format!("update {name}\0{new}\0{old}\0"),
                (Expected::Any, Some(new)) => format!("update {name}\0{new}\0\0"),
                (Expected::Absent, None) => format!("verify {name}\0{null}\0"),
                (Expected::Is(old), None) => format!("delete {name}\0{old}\0"),
                (Expected::Any, None) => format!("delete {name}\0\0"),
            };
            lines.extend_from_slice(line.as_bytes());
        }
        let reason = updates.first().map_or("", |update| &update.reason);
        let cmd = git.args(["update-ref", "--no-deref", "-m", &one_line(reason), "--stdin", "-z"]);
        match command::succeed(&cmd.stdin(lines)) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.moved(updates)?.unwrap_or(error.into())),
        }
    }

    /// After a failure: the first ref that is not as it was expected to be.
    fn moved(&self, updates: &[RefUpdate]) -> Result<Option<RefError>, RefError> {
        for RefUpdate { name, old, .. } in updates {
            let expected = match old {
                Expected::Absent => None,
                Expected::Is(id) => Some(*id),
                Expected::Any => continue,
            };
            let found = self.ref_id(name)?;
            if found != expected {
                return Ok(Some(RefError::Moved { name: name.clone(), expected, found }));
            }
        }
        Ok(None)
    }

    /// Has this file put on the disk together with the objects, before a ref moves the next time:
    /// one wait for both.
    pub fn sync_with_objects(&self, path: &Path) {
        self.unsynced().add_file(path);
    }

    /// Puts what was written so far on the disk; [`Repo::update_refs`] does it by itself.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync_objects(&self) -> Result<(), RefError> {
        self.unsynced().sync(&self.common_dir().join("objects")).map_err(RefError::Sync)
    }

    /// The branch that `HEAD` names, and the commit it stands for.
    pub(super) fn head_target(&self) -> Result<(Option<String>, Option<ObjectId>), RefError> {
        if self.is_reftable() {
            let name = one_answer(&self.git().args(["symbolic-ref", "-q", "HEAD"]))?;
            let id =
                one_answer(&self.git().args(["rev-parse", "-q", "--verify", "HEAD^{commit}"]))?;
            return Ok((name, id.map(|id| parse_id(&id)).transpose()?));
        }
        let head = self.gix().head().map_err(|source| store_error("read HEAD".into(), source))?;
        let name = head.referent_name().map(|name| name.as_bstr().to_str_lossy().into_owned());
        let id = match &name {
            Some(branch) => self.ref_id(branch)?,
            None => head.id().map(gix::Id::detach),
        };
        Ok((name, id))
    }

    fn for_each_ref(&self, prefix: &str) -> Result<Vec<(String, ObjectId)>, RefError> {
        let format = "--format=%(objectname) %(refname)";
        let listed = command::succeed(&self.git().args(["for-each-ref", format, "--", prefix]))?;
        let listed = listed.to_str_lossy();
        let lines = listed.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(id, name)| Ok((name.to_owned(), parse_id(id)?))).collect()
    }

    /// Who a reflog names: the user, or the program where git does not know the user either.
    pub(super) fn reflog_identity(&self) -> Identity {
        match self.gix().committer() {
            Some(Ok(who)) => Identity { name: who.name.to_string(), email: who.email.to_string() },
            _ => Identity { name: "git-agent".into(), email: "git-agent@localhost".into() },
        }
    }
}

fn full_name(name: &str) -> Result<FullName, RefError> {
    let bad = || RefError::BadName(name.to_owned());
    if !name.starts_with("refs/") {
        return Err(bad());
    }
    FullName::try_from(name).map_err(|_| bad())
}

fn edit(update: &RefUpdate) -> Result<RefEdit, RefError> {
    let name = full_name(&update.name)?;
    let expected = match update.old {
        Expected::Absent => PreviousValue::MustNotExist,
        Expected::Is(id) => PreviousValue::MustExistAndMatch(Target::Object(id)),
        Expected::Any => PreviousValue::Any,
    };
    let change = match update.new {
        Some(id) => {
            let log = LogChange { message: one_line(&update.reason).into(), ..Default::default() };
            Change::Update { log, expected, new: Target::Object(id) }
        }
        None => Change::Delete { expected, log: RefLog::AndReference },
    };
    Ok(RefEdit { change, name, deref: false })
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line that a git command prints; none if it exits with 1, its way to say "there is none".
fn one_answer(cmd: &Cmd) -> Result<Option<String>, GitError> {
    match command::succeed(cmd) {
        Ok(line) => Ok(Some(line.trim_end().to_str_lossy().into_owned())),
        Err(GitError::Refused { exit: 1, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_id(hex: &str) -> Result<ObjectId, RefError> {
    ObjectId::from_hex(hex.as_bytes())
        .map_err(|error| store_error(format!("read '{hex}' as an object id"), error))
}

fn store_error(what: String, source: impl Into<Cause>) -> RefError {
    RefError::Store { what, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use fs_err as fs;
    use std::os::unix::fs::PermissionsExt;

    const KINDS: [&[&str]; 4] = [
        &[],
        &["--object-format=sha256"],
        &["--ref-format=reftable"],
        &["--ref-format=reftable", "--object-format=sha256"],
    ];

    fn update(name: &str, old: Expected, new: Option<ObjectId>) -> RefUpdate {
        RefUpdate { name: name.into(), old, new, reason: "step 1:\n do".into() }
    }

    #[test]
    fn a_lock_is_waited_for_and_then_named() {
        for kind in [&[][..], &["--object-format=sha256"]] {
            let fixture = Fixture::with_commit(kind);
            let (one, repo) = (fixture.id("HEAD"), fixture.repo());
            let two = fixture.commit(&[("a", "two\n")]);
            let name = "refs/agent/x-7f3k";
            let lock = repo.common_dir().join(format!("{name}.lock"));
            repo.update_refs(&[update(name, Expected::Absent, Some(one))]).unwrap();
            let moved = update(name, Expected::Is(one), Some(two));
            std::fs::write(&lock, "").unwrap();
            let said = repo.update_refs(std::slice::from_ref(&moved)).unwrap_err().to_string();
            assert_eq!(said, format!("{name} is locked: {} exists", lock.display()));
            let remover = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                std::fs::remove_file(&lock)
            });
            repo.update_refs(&[moved]).unwrap();
            remover.join().unwrap().unwrap();
            assert_eq!(fixture.id(name), two);
        }
    }

    #[test]
    fn refs_move_together_or_not_at_all() {
        for kind in KINDS {
            let fixture = Fixture::with_commit(kind);
            let one = fixture.id("HEAD");
            let two = fixture.commit(&[("a", "two\n")]);
            let repo = fixture.repo();
            let (branch, session) = ("refs/heads/agent/x", "refs/agent/x-7f3k");
            repo.update_refs(&[
                update(branch, Expected::Absent, Some(one)),
                update(session, Expected::Absent, Some(one)),
            ])
            .unwrap();
            assert_eq!((fixture.id(branch), fixture.id(session)), (one, one));

            // The second has moved meanwhile: the first must stay.
            fixture.git(&["update-ref", session, &two.to_string()]);
            let moves = [
                update(branch, Expected::Is(one), Some(two)),
                update(session, Expected::Is(one), Some(two)),
            ];
            match repo.update_refs(&moves).unwrap_err() {
                RefError::Moved { name, expected, found } => {
                    assert_eq!((name.as_str(), expected, found), (session, Some(one), Some(two)));
                }
                other => panic!("{kind:?}: {other:?}"),
            }
            assert_eq!(repo.ref_id(branch).unwrap(), Some(one));

            let log = fixture.git(&["reflog", "show", "--format=%gn <%ge> %gs", branch]);
            assert_eq!(log, "Ada Person <ada@example.org> step 1: do", "{kind:?}");

            repo.update_refs(&[
                update(branch, Expected::Is(one), None),
                update(session, Expected::Any, None),
            ])
            .unwrap();
            assert_eq!(repo.ref_id(branch).unwrap(), None);
            assert_eq!(fixture.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
            fixture.fsck();
        }
    }

    #[test]
    fn absent_is_expected_and_found() {
        for kind in KINDS {
            let fixture = Fixture::with_commit(kind);
            let (repo, id) = (fixture.repo(), fixture.id("HEAD"));
            let there = repo.update_refs(&[update("refs/heads/main", Expected::Absent, Some(id))]);
            assert!(
                matches!(there, Err(RefError::Moved { expected: None, found: Some(found), .. }) if found == id),
                "{kind:?}: {there:?}"
            );
            let gone = repo.update_refs(&[update("refs/heads/gone", Expected::Is(id), None)]);
            assert!(
                matches!(&gone, Err(RefError::Moved { expected: Some(_), found: None, .. })),
                "{kind:?}: {gone:?}"
            );
        }
    }

    #[test]
    fn packed_refs_are_read_moved_and_deleted() {
        let fixture = Fixture::with_commit(&[]);
        let one = fixture.id("HEAD");
        let repo = fixture.repo();
        let name = "refs/agent/a";
        repo.update_refs(&[update(name, Expected::Absent, Some(one))]).unwrap();
        fixture.git(&["pack-refs", "--all"]);
        assert_eq!(repo.ref_id(name).unwrap(), Some(one));
        let two = fixture.commit(&[]);
        repo.update_refs(&[update(name, Expected::Is(one), Some(two))]).unwrap();
        fixture.git(&["pack-refs", "--all"]);
        repo.update_refs(&[update(name, Expected::Is(two), None)]).unwrap();
        assert_eq!(repo.ref_id(name).unwrap(), None);
        assert_eq!(fixture.git(&["for-each-ref", "refs/agent"]), "");
    }

    #[test]
    fn a_full_name_is_never_taken_for_another() {
        for kind in KINDS {
            let fixture = Fixture::with_commit(kind);
            let id = fixture.id("HEAD");
            fixture.git(&["update-ref", "refs/tags/refs/agent/x", &id.to_string()]);
            fixture.git(&["update-ref", "refs/agent/y/z", &id.to_string()]);
            let repo = fixture.repo();
            assert_eq!(repo.ref_id("refs/agent/x").unwrap(), None);
            assert_eq!(repo.ref_id("refs/agent/y").unwrap(), None);
            for bad in ["main", "refs/heads/a..b", "refs/heads/-x y", "--all", "refs/x\0y"] {
                assert!(matches!(repo.ref_id(bad), Err(RefError::BadName(_))), "{bad}");
            }
        }
    }

    #[test]
    fn refs_are_listed_below_a_prefix_by_name() {
        for kind in KINDS {
            let fixture = Fixture::with_commit(kind);
            let id = fixture.id("HEAD");
            for name in ["refs/agent/b", "refs/agent/a", "refs/agents/c", "refs/heads/agent/d"] {
                fixture.git(&["update-ref", name, &id.to_string()]);
            }
            fixture.git(&["pack-refs", "--all"]);
            let e = "refs/agent/e";
            fixture.git(&["update-ref", e, &id.to_string()]);
            let expected = ["refs/agent/a", "refs/agent/b", e].map(|name| (name.to_owned(), id));
            assert_eq!(fixture.repo().refs("refs/agent/").unwrap(), expected);
            assert_eq!(fixture.repo().refs("refs/nothing/").unwrap(), []);
        }
    }

    #[test]
    fn a_ref_transaction_hook_decides_on_the_users_refs_only() {
        for kind in KINDS {
            let fixture = Fixture::with_commit(kind);
            let (repo, id) = (fixture.repo(), fixture.id("HEAD"));
            let hook = repo.common_dir().join("hooks/reference-transaction");
            fs::create_dir_all(hook.parent().unwrap()).unwrap();
            fs::write(&hook, "#!/bin/sh\necho 'error: not on my watch' >&2\nexit 1\n").unwrap();
            fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
            repo.update_refs(&[update("refs/agent/x", Expected::Absent, Some(id))]).unwrap();
            let refused =
                repo.update_refs_as_user(&[update("refs/heads/y", Expected::Absent, Some(id))]);
            assert_eq!(refused.unwrap_err().to_string(), "not on my watch");
            assert_eq!(repo.ref_id("refs/heads/y").unwrap(), None);
        }
    }

    #[test]
    #[ignore = "measures"]
    fn a_step_costs() {
        use crate::git::{Draft, Mode};
        let fixture = Fixture::with_commit(&[]);
        let repo = fixture.repo();
        let who = repo.identity().unwrap();
        let mut tip = fixture.id("HEAD");
        let names = ["refs/heads/agent/x", "refs/agent/x"];
        repo.update_refs(&names.map(|name| update(name, Expected::Absent, Some(tip)))).unwrap();
        let mut times = Vec::new();
        for n in 0..60u32 {
            let started = std::time::Instant::now();
            let blobs = [0, 1, 2].map(|k| repo.write_blob(format!("{n} {k}").as_bytes()).unwrap());
            let edits: Vec<_> = blobs
                .iter()
                .enumerate()
                .map(|(k, id)| (format!("dir{k}/sub/f"), Some((Mode::File, *id))))
                .collect();
            let tree = repo.edit_tree(Some(repo.tree_of(tip).unwrap()), &edits).unwrap();
            let commit = || {
                repo.write_commit(&Draft {
                    tree,
                    parents: vec![tip],
                    author: who.clone(),
                    committer: who.clone(),
                    time: None,
                    message: format!("step {n}"),
                })
                .unwrap()
            };
            let next = commit();
            let written = started.elapsed();
            repo.sync_objects().unwrap();
            let synced = started.elapsed();
            repo.update_refs(&names.map(|name| update(name, Expected::Is(tip), Some(next))))
                .unwrap();
            times.push((started.elapsed(), written, synced - written));
            tip = next;
        }
        times.sort();
        println!("total {:?} write {:?} sync {:?}", times[30].0, times[30].1, times[30].2);
    }

    #[test]
    fn a_locked_ref_is_an_error_and_nothing_moves() {
        let fixture = Fixture::with_commit(&[]);
        let (repo, id) = (fixture.repo(), fixture.id("HEAD"));
        let names = ["refs/agent/a", "refs/agent/b"];
        for name in names {
            fixture.git(&["update-ref", name, &id.to_string()]);
        }
        let two = fixture.commit(&[]);
        fs::write(repo.common_dir().join("refs/agent/b.lock"), "").unwrap();
        let locked = repo.update_refs(&names.map(|name| update(name, Expected::Is(id), Some(two))));
        assert!(matches!(locked, Err(RefError::Locked { .. })), "{locked:?}");
        assert_eq!(repo.ref_id("refs/agent/a").unwrap(), Some(id));
    }
}
