//! A landing, made so.
//!
//! 1. The commit is made, with the user's hooks and the session's checks (`commit`), and
//!    [`Intent`] says what is about to move.
//! 2. The target moves, from the commit that was merged, with the user's `reference-transaction`
//!    hook run.
//! 3. The files of its checkouts follow; if they cannot, the target moves back.
//! 4. A backup ref keeps where the target was, and the session is landed: journal, record, state,
//!    and a note on the commit.
//! 5. The intent is taken away.
//!
//! Invariant: cut off anywhere, the next landing of the session finds the intent and finishes, or
//! finds that the target never moved and begins anew.

use jiff::Timestamp;

use super::check;
use super::commit::{self, Made};
use super::intent::Intent;
use super::undo;
use crate::event::{Event, Update};
use crate::git::{Expected, ObjectId, RefError, RefUpdate, Repo};
use crate::plan::target::{self, Target};
use crate::plan::{LandError, Plan, Wish, work};
use crate::session::journal::Journal;
use crate::session::note::{BUILTIN, NOTES_REF, Note};
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
    check::decide(&repo.in_memory(), session, &state, wish)
}

/// Lands the work of a session. Where the target moves meanwhile, it is tried again on top.
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
    const AGAIN: usize = 3;
    if let Some(landed) = finish(repo, session, state)? {
        return Ok(landed);
    }
    let mut again = 0;
    loop {
        match once(repo, session, state, wish) {
            Err(LandError::TargetMoved { .. }) if again < AGAIN => again += 1,
            landed => return landed,
        }
    }
}

fn once(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    wish: &Wish<'_>,
) -> Result<Landed, LandError> {
    let mut plan = check::decide(repo, session, state, wish)?;
    let made = commit::make(repo, session, state, &mut plan, wish)?;
    let (commit, Plan { target, work, .. }) = (made.commit, &plan);
    let intent = Intent::new(&target.branch, target.tip, commit, work.commit);
    intent.of_all(plan.is_all).write(session)?;
    let reason = format!("agent: land {} ({})", session.id, plan.way.as_str());
    match advance(repo, target, commit, plan.tree, &reason) {
        Ok(()) => {}
        // The next landing goes on from there.
        Err(error @ LandError::HalfWay { .. }) => return Err(error),
        Err(error) => {
            Intent::clear(session)?;
            return Err(error);
        }
    }
    let branch = target.branch.clone();
    let work = plan.is_all.then_some(work.commit);
    seal(repo, session, state, &branch, &made, Some(target.tip), work)?;
    Ok(Landed { plan: Some(plan), branch, commit })
}

/// Whether somebody else has brought the work of a session where it was to go. What cannot be told
/// is not so.
pub fn is_brought(repo: &Repo, session: &Session, state: &State) -> bool {
    let wish = Wish { unverified: true, ..Wish::default() };
    let decided = Plan::decide(&repo.in_memory(), session, state, &wish);
    matches!(decided, Err(LandError::AlreadyLanded { commit: Some(_), .. }))
}

/// Takes note of work that somebody else has brought to its target: the session has landed then.
/// None where it is not there, or that is known already.
///
/// # Errors
/// It runs, or cannot be written.
pub fn acknowledge(repo: &Repo, session: &Session) -> Result<Option<Landed>, LandError> {
    let (_lock, mut state) = work::hold(repo, session)?;
    if state.phase == Phase::Landed {
        return Ok(None);
    }
    let wish = Wish { unverified: true, ..Wish::default() };
    let Err(LandError::AlreadyLanded { branch, commit: Some(commit), .. }) =
        Plan::decide(&repo.in_memory(), session, &state, &wish)
    else {
        return Ok(None);
    };
    let work = work::Work::of(repo, session, &state)?.commit;
    let made = Made { commit, verify: None, copies: Vec::new() };
    let branch = format!("refs/heads/{branch}");
    seal(repo, session, &mut state, &branch, &made, None, Some(work))?;
    Ok(Some(Landed { plan: None, branch, commit }))
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
            checkout.catch_up(repo, old_tree, tree)?;
        }
    }
    let work = if intent.is_all() { Some(intent.work()?) } else { None };
    let made = Made { commit, verify: None, copies: Vec::new() };
    seal(repo, session, state, &branch, &made, Some(old), work)?;
    Ok(Some(Landed { plan: None, branch, commit }))
}

/// Moves the target, and the files of its checkouts with it; all or nothing.
pub(super) fn advance(
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
        let back = || -> Result<(), LandError> {
            // The first to fail is put right too: it may have come half way.
            for moved in &target.checkouts[..=number] {
                moved.put_back(repo, old_tree, tree)?;
            }
            // Without the user's hook, which has let the branch be there a moment ago.
            Ok(repo.update_refs(&[RefUpdate {
                old: Expected::Is(commit),
                new: Some(target.tip),
                reason: format!("{reason}: undone"),
                ..update
            }])?)
        };
        let (branch, path) = (target.name().to_owned(), checkout.path.clone());
        return Err(match back() {
            Ok(()) => LandError::RolledBack { branch, path, source: Box::new(error) },
            Err(why) => {
                tracing::warn!(%why, "a landing was not taken back");
                LandError::HalfWay { branch, commit, path, source: Box::new(error) }
            }
        });
    }
    Ok(())
}

/// Tells the session, its record and the notes that the work has landed, on a branch that was at
/// `old`, unless somebody else moved it; `work` is none where more of it is to come.
fn seal(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    branch: &str,
    made: &Made,
    old: Option<ObjectId>,
    work: Option<ObjectId>,
) -> Result<(), LandError> {
    let mut sealed = || -> Result<(), LandError> {
        if let Some(old) = old {
            undo::back_up(repo, &session.id, branch, old, made.commit)?;
        }
        let reason = format!("on {} as {}", target::short(branch), short_id(made.commit));
        if let Some(work) = work {
            retell(repo, session, state, Phase::Landed, &reason, work)?;
        }
        write_notes(repo, session, state, made)?;
        Intent::clear(session)
    };
    sealed().map_err(|error| LandError::Unsealed {
        branch: target::short(branch).to_owned(),
        commit: made.commit,
        source: Box::new(error),
    })
}

/// Tells the session and its record that it is in another phase, with this work.
pub(super) fn retell(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    phase: Phase,
    reason: &str,
    work: ObjectId,
) -> Result<(), LandError> {
    let who = repo.identity()?;
    if state.phase != phase {
        let change = state.move_to(phase, reason, Timestamp::now())?;
        let (mut journal, _torn) = Journal::open(&session.journal_path())?;
        let change = Event::now(state.step, Update::State(change)).by(Some(who.to_string()));
        journal.append(&[change])?;
    }
    put_on_record(repo, session, state, work)
}

/// Puts a session as it is by now on record, and in its folder.
pub(super) fn put_on_record(
    repo: &Repo,
    session: &Session,
    state: &mut State,
    work: ObjectId,
) -> Result<(), LandError> {
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
    Ok(state.write(&session.state_path())?)
}

/// A note on each commit that was made: a copy keeps what was noted on the session's own.
pub(super) fn write_notes(
    repo: &Repo,
    session: &Session,
    state: &State,
    made: &Made,
) -> Result<(), LandError> {
    let mut notes = Vec::new();
    for (own, copy) in &made.copies {
        if let Some(text) = repo.read_note(NOTES_REF, *own)? {
            notes.push((*copy, text));
        }
    }
    // A commit of the session's own has its step's note.
    let has_note = notes.iter().any(|(commit, _)| *commit == made.commit);
    if !has_note && repo.read_note(NOTES_REF, made.commit)?.is_none() {
        let note = Note {
            session: &session.id,
            agent: BUILTIN,
            model: &session.spec.model,
            step: None,
            usage: state.usage,
            cost_usd: state.cost_usd,
            verify: made.verify.as_ref().or(state.verify.as_ref()),
            is_verified: session.spec.last_check().is_some(),
        };
        notes.push((made.commit, note.text()));
    }
    if !notes.is_empty() {
        let who = repo.identity()?;
        repo.write_notes(NOTES_REF, &notes, &who, &format!("{}: landed\n", session.id))?;
    }
    Ok(())
}

/// Enough of an id for people.
pub fn short_id(id: ObjectId) -> String {
    id.to_hex_with_len(7).to_string()
}
