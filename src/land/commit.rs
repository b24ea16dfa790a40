//! The commits that a target moves to, made as the user's own: name, hooks, checks, signature.
//!
//! Invariant: what is committed is what the hooks left staged and the checks passed on; where
//! either says no, there are loose objects and nothing else.

use super::check::Candidate;
use super::message::Words;
use super::{check, hooks};
use crate::event::VerifyRecord;
use crate::git::{CommitInfo, ObjectId, Repo, Scratch};
use crate::plan::{LandError, Plan, Unverified, Way, Wish};
use crate::session::checkpoint::trailers;
use crate::session::spec::Spec;
use crate::session::state::State;
use crate::session::store::Session;

/// What was made.
pub(super) struct Made {
    /// The commit that the target moves to.
    pub(super) commit: ObjectId,
    /// What the checks said of its tree, where they were run.
    pub(super) verify: Option<VerifyRecord>,
    /// The session's commits that were made again, each with the one that was made of it.
    pub(super) copies: Vec<(ObjectId, ObjectId)>,
}

/// Makes them. The plan's tree is afterwards the one that the hooks left.
///
/// # Errors
/// A hook or a check says no, or git writes no commit.
pub(super) fn make(
    repo: &Repo,
    session: &Session,
    state: &State,
    plan: &mut Plan,
    wish: &Wish<'_>,
) -> Result<Made, LandError> {
    let with_hooks = !wish.no_hooks && hooks::are_there(repo, plan.way);
    let mut message = words(&session.spec, state);
    let mut verify = None;
    if with_hooks || plan.due.is_some() {
        let scratch =
            repo.scratch(&check::scratch_folder(&session.spec), plan.target.tip, plan.tree)?;
        if with_hooks {
            message = run_hooks(repo, session, plan, wish, &scratch, &message)?;
        }
        if plan.due.is_some() {
            scratch.put(plan.tree)?;
            let candidate = Candidate {
                spec: &session.spec,
                scratch: &scratch,
                tree: plan.tree,
                tip: plan.target.tip,
                program: wish.program,
            };
            verify = check::verify(repo, &candidate)?;
            plan.due = None;
            plan.verified = true;
        }
    }
    let tip = plan.target.tip;
    let mut copies = Vec::new();
    let commit = match plan.way {
        Way::FastForward => plan.work.commit,
        Way::Squash => write(repo, plan.tree, &[tip], &message, None)?,
        Way::Merge => write(repo, plan.tree, &[tip, plan.work.commit], &message, None)?,
        Way::Rebase => {
            let mut last = tip;
            for replay in &plan.replays {
                let info = repo.read_commit(replay.commit)?;
                last = write(repo, replay.tree, &[last], &info.message, Some(&info))?;
                copies.push((replay.commit, last));
            }
            last
        }
    };
    Ok(Made { commit, verify, copies })
}

/// Runs the hooks, follows what they stage, and gives the message that they leave.
fn run_hooks(
    repo: &Repo,
    session: &Session,
    plan: &mut Plan,
    wish: &Wish<'_>,
    scratch: &Scratch,
    message: &str,
) -> Result<String, LandError> {
    hooks::check(repo, scratch, plan.way)?;
    let tree = scratch.index_tree()?;
    if tree == repo.tree_of(plan.target.tip)? {
        let said = "it left nothing to commit".to_owned();
        return Err(LandError::Hook { name: hooks::before(plan.way).to_owned(), said });
    }
    if tree != plan.tree {
        plan.land_on(repo, tree)?;
        if let Some(command) = session.spec.last_check().filter(|_| !wish.unverified) {
            plan.verified = false;
            plan.due = Some(Unverified::Changed(command));
        }
    }
    hooks::message(repo, scratch, plan.way, message)
}

/// The message of one commit with all of a session's work.
pub(super) fn words(spec: &Spec, state: &State) -> String {
    let trailers = trailers(spec, &state.models).into_iter();
    let trailers: Vec<_> = trailers.map(|(key, value)| (key.to_owned(), value)).collect();
    Words {
        task: &spec.task,
        name: &spec.name,
        prefix: &spec.commit_prefix,
        summary: &state.summary,
        trailers: if spec.trailers { &trailers } else { &[] },
    }
    .message()
}

/// A commit with the user's name and, where the user signs commits, signature; by another author
/// where it is another's. git writes it, since all that is the user's to configure.
fn write(
    repo: &Repo,
    tree: ObjectId,
    parents: &[ObjectId],
    message: &str,
    author: Option<&CommitInfo>,
) -> Result<ObjectId, LandError> {
    let git = repo.user_git_in_main().args(["-c", "i18n.commitEncoding=UTF-8", "commit-tree"]);
    let git = parents.iter().fold(git, |git, parent| git.arg("-p").arg(parent.to_string()));
    let signs = repo.config_bool("commit.gpgSign").unwrap_or(false);
    let git = if signs { git.arg("-S") } else { git };
    let git = match author {
        Some(CommitInfo { author, time, .. }) => {
            let (sign, offset) = (if time.offset < 0 { '-' } else { '+' }, time.offset.abs());
            let (hours, minutes) = (offset / 3_600, offset % 3_600 / 60);
            git.env("GIT_AUTHOR_NAME", &author.name)
                .env("GIT_AUTHOR_EMAIL", &author.email)
                .env("GIT_AUTHOR_DATE", format!("@{} {sign}{hours:02}{minutes:02}", time.seconds))
        }
        None => git,
    };
    let git = git.args(["-F", "-"]).arg(tree.to_string()).stdin(message);
    repo.write_kept(|| {
        let done = git.run()?;
        match ObjectId::from_hex(done.stdout.trim_ascii()) {
            Ok(id) if done.exit == 0 => Ok(repo.written(id)),
            _ => {
                let text = String::from_utf8_lossy(&done.stderr);
                let told = |line: &&str| line.starts_with("error: ") || line.starts_with("fatal: ");
                let said = text.lines().find(told).unwrap_or(text.trim());
                Err(LandError::Commit { said: said.to_owned() })
            }
        }
    })
}
