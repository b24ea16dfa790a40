//! A landing, made so.
//!
//! 1. The commit is written, and [`Intent`] says what is about to move.
//! 2. The target moves, from the commit that was merged, with the user's `reference-transaction`
//!    hook run. No other hook is: nothing is committed in a checkout.
//! 3. The files of its checkouts follow; if they cannot, the target moves back.
//! 4. The session is landed: journal, record, state, and a note on the commit.
//! 5. The intent is taken away.
//!
//! Invariant: cut off anywhere, the next landing of the session finds the intent and finishes, or
//! finds that the target never moved and begins anew.

use jiff::Timestamp;

use super::LandError;
use super::intent::Intent;
use super::message::Words;
use super::plan::{Plan, Way, Wish};
use super::target::{self, Target};
use super::work;
use crate::event::{Event, Update};
use crate::git::{Expected, ObjectId, RefError, RefUpdate, Repo};
use crate::session::checkpoint::trailers;
use crate::session::journal::Journal;
use crate::session::note::{NOTES_REF, Note};
use crate::session::record::{Record, Recorder};
use crate::session::state::{Phase, State};
use crate::session::store::Session;

/// A landing that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// What was decided; none where a landing that was cut off before is now finished.
    pub plan: Option<Plan>,
    /// The target, `refs/heads/main`.
    pub branch: String,
    /// Its new commit.
    pub commit: ObjectId,
}

/// Says what [`land`] would do, and writes nothing.
///
/// # Errors
/// Every reason not to land.
pub fn rehearse(repo: &Repo, session: &Session, wish: &Wish<'_>) -> Result<Plan, LandError> {
    let state = session.state()?;
    Plan::decide(&repo.in_memory(), session, &state, wish)
}

/// Lands the work of a session.
///
/// # Errors
/// Every reason not to land: nothing has moved then. [`LandError::Unsealed`] is the exception.
pub fn land(repo: &Repo, session: &Session, wish: &Wish<'_>) -> Result<Landed, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    // From before the first object is written until a ref leads to the last.
    repo.keep_written(&session.kept_dir())?;
    let landed = land_held(repo, session, &mut state, wish);
    if let Err(error) = repo.let_go() {
        tracing::warn!(%error, "what was written is kept on");
    }
    landed
}

fn land_held(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    wish: &Wish<'_>,
) -> Result<Landed, LandError> {
    if let Some(landed) = finish(repo, session, state)? {
        return Ok(landed);
    }
    let plan = Plan::decide(repo, session, state, wish)?;
    let commit = repo.write_kept(|| write_commit(repo, session, state, &plan))?;
    let Plan { target, work, .. } = &plan;
    Intent::new(&target.branch, target.tip, commit, work.commit).write(session)?;
    let reason = format!("agent: land {} ({})", session.id, plan.way.as_str());
    if let Err(error) = advance(repo, target, commit, plan.tree, &reason) {
        Intent::clear(session)?;
        return Err(error);
    }
    let branch = target.branch.clone();
    seal(repo, session, state, &branch, commit, work.commit)?;
    Ok(Landed { plan: Some(plan), branch, commit })
}

/// Finishes a landing that was cut off, if the target had moved already.
fn finish(repo: &Repo, session: &Session, state: &mut State) -> Result<Option<Landed>, LandError> {
    let Some(intent) = Intent::read(session)? else { return Ok(None) };
    let (old, commit) = (intent.old()?, intent.new_tip()?);
    let branch = intent.branch.clone();
    let moved = match repo.ref_id(&branch)? {
        Some(tip) => repo.has_object(commit) && repo.is_ancestor(commit, tip)?,
        None => false,
    };
    if !moved {
        Intent::clear(session)?;
        return Ok(None);
    }
    let target = Target::find(repo, &session.spec, Some(&branch))?;
    // Once the branch has gone on, its checkouts were seen to by who moved it.
    if target.tip == commit {
        let (old_tree, tree) = (repo.tree_of(old)?, repo.tree_of(commit)?);
        for checkout in &target.checkouts {
            if !checkout.is_at(repo, old_tree, tree)? {
                checkout.put_back(repo, old_tree, tree)?;
                checkout.update(repo, old_tree, tree)?;
            }
        }
    }
    seal(repo, session, state, &branch, commit, intent.work()?)?;
    Ok(Some(Landed { plan: None, branch, commit }))
}

/// The commit that the target moves to, with the user's name and, where the user signs commits,
/// signature. git writes it, since all that is the user's to configure.
fn write_commit(
    repo: &Repo,
    session: &Session,
    state: &State,
    plan: &Plan,
) -> Result<ObjectId, LandError> {
    if plan.way == Way::FastForward {
        return Ok(plan.work.commit);
    }
    let spec = &session.spec;
    let trailers = trailers(spec, &state.models).into_iter();
    let trailers: Vec<_> = trailers.map(|(key, value)| (key.to_owned(), value)).collect();
    let words = Words {
        task: &spec.task,
        name: &spec.name,
        prefix: &spec.commit_prefix,
        summary: &state.summary,
        trailers: if spec.trailers { &trailers } else { &[] },
    };
    let parents = match plan.way {
        Way::Merge => vec![plan.target.tip, plan.work.commit],
        Way::Squash | Way::FastForward => vec![plan.target.tip],
    };
    let git = repo.user_git_in_main().args(["-c", "i18n.commitEncoding=UTF-8", "commit-tree"]);
    let git = parents.iter().fold(git, |git, parent| git.arg("-p").arg(parent.to_string()));
    let signs = repo.config_bool("commit.gpgSign").unwrap_or(false);
    let git = if signs { git.arg("-S") } else { git };
    let git = git.args(["-F", "-"]).arg(plan.tree.to_string()).stdin(words.message());
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
}

/// Moves the target, and the files of its checkouts with it; all or nothing.
fn advance(
    repo: &Repo,
    target: &Target,
    commit: ObjectId,
    tree: ObjectId,
    reason: &str,
) -> Result<(), LandError> {
    let old_tree = repo.tree_of(target.tip)?;
    let update = RefUpdate {
        name: target.branch.clone(),
        old: Expected::Is(target.tip),
        new: Some(commit),
        reason: reason.to_owned(),
    };
    repo.update_refs_as_user(std::slice::from_ref(&update)).map_err(|error| match error {
        RefError::Moved { .. } => LandError::TargetMoved { branch: target.name().to_owned() },
        error => error.into(),
    })?;
    for (number, checkout) in target.checkouts.iter().enumerate() {
        let Err(error) = checkout.update(repo, old_tree, tree) else { continue };
        // The first to fail is put right too: it may have come half way.
        for moved in &target.checkouts[..=number] {
            moved.put_back(repo, old_tree, tree)?;
        }
        // Without the user's hook, which has let the branch be there a moment ago.
        repo.update_refs(&[RefUpdate {
            old: Expected::Is(commit),
            new: Some(target.tip),
            reason: format!("{reason}: undone"),
            ..update
        }])?;
        let (branch, path) = (target.name().to_owned(), checkout.path.clone());
        return Err(LandError::RolledBack { branch, path, source: Box::new(error) });
    }
    Ok(())
}

/// Tells the session, its record and the notes that the work has landed.
fn seal(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    branch: &str,
    commit: ObjectId,
    work: ObjectId,
) -> Result<(), LandError> {
    let mut sealed = || -> Result<(), LandError> {
        if state.phase != Phase::Landed {
            let reason = format!("on {} as {}", target::short(branch), short_id(commit));
            let change = state.move_to(Phase::Landed, &reason, Timestamp::now())?;
            let (mut journal, _torn) = Journal::open(&session.journal_path())?;
            journal.append(&[Event::now(state.step, Update::State(change))])?;
        }
        let who = repo.identity()?;
        // A worktree that is away left a snapshot on top of the work: it stays the last word.
        let code = match repo.ref_id(&session.ref_name())? {
            Some(record) => {
                let code = Record::read(repo, record)?.code;
                let on_top = repo.read_commit(code)?.parents.first() == Some(&work);
                if on_top { code } else { work }
            }
            None => work,
        };
        let recorder = Recorder::open(repo, &session.id)?;
        let journal = session.journal_path();
        let written = recorder.write(repo, &session.spec, state, &journal, code, &who)?;
        repo.update_refs(&[written.update])?;
        state.write(&session.state_path())?;
        // A commit of the session's own has its step's note.
        if repo.read_note(NOTES_REF, commit)?.is_none() {
            let note = Note {
                session: &session.id,
                agent: "builtin",
                model: &session.spec.model,
                step: None,
                usage: state.usage,
                cost_usd: state.cost_usd,
                verify: state.verify.as_ref(),
                is_verified: !session.spec.verify.is_empty(),
            };
            let message = format!("{}: landed\n", session.id);
            repo.write_notes(NOTES_REF, &[(commit, note.text())], &who, &message)?;
        }
        Intent::clear(session)
    };
    sealed().map_err(|error| LandError::Unsealed {
        branch: target::short(branch).to_owned(),
        commit,
        source: Box::new(error),
    })
}

/// Enough of an id for people.
pub fn short_id(id: ObjectId) -> String {
    id.to_hex_with_len(7).to_string()
}
