//! A session that comes from elsewhere: in a bundle, or by a ref that was fetched.
//!
//! Its record stays as it was written there. What it says of places, of the sandbox and of what may
//! be used up is set to what holds here; nothing of it is run, and it has no worktree until
//! somebody goes on with it.
//!
//! Invariant: a session is taken in whole, proven by its record and able to harm nobody, or not at
//! all.

use std::io;
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;

use super::audit::{self, Asked, AuditError, Divergence, Proof};
use super::format::{self, FormatError};
use super::id::{self, NameError};
use super::journal::{self, Journal};
use super::record::{self, PREFIX, Record, RecordError};
use super::spec::{Limits, Spec};
use super::state::{Phase, State};
use super::store::{Session, Store};
use super::worktree::{self, Layout, PlaceError, Wish};
use crate::event::{Event, Limit, LimitChange, ModelChange, StateChange, Update};
use crate::git::{
    Bundle, BundleError, Expected, ObjectError, ObjectId, RefError, RefUpdate, Repo, RevisionError,
};

/// What holds here, whatever held where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct House<'a> {
    /// Where worktrees are.
    pub layout: &'a Layout,
    /// The sandbox: `full`, `reduced`, `none`.
    pub sandbox: &'a str,
    /// The most that it may use up.
    pub limits: Limits,
    /// The model that goes on here, `provider/model`; none leaves it as it is.
    pub model: Option<&'a str>,
}

/// What was taken in.
#[derive(Debug)]
pub struct Adopted {
    /// The session, which rests.
    pub session: Session,
    /// What holds of its record.
    pub proof: Proof,
}

/// Why it is not taken in; nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The file is no bundle of one session.
    #[error("{0}")]
    NotASession(String),
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// There is such a session.
    #[error("session {0} is here already")]
    Here(String),
    /// The one that is here has a record that the other does not go on from.
    #[error("session {0} has gone on here since, in another way")]
    Diverged(String),
    /// Its record does not hold.
    #[error("the record of {id} does not hold: {}", divergence.what)]
    NotProven {
        /// Its id.
        id: String,
        /// The first thing that does not hold.
        divergence: Divergence,
    },
    /// It has no usable name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its record cannot be looked at.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Its record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is no place for it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Its folder cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A ref cannot be moved.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The history cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ObjectError> for AdoptError {
    fn from(error: ObjectError) -> Self {
        Self::Record(error.into())
    }
}

/// Takes in the session that a bundle holds.
///
/// # Errors
/// See [`AdoptError`]; nothing of it is kept then.
pub fn from_bundle(
    repo: &Repo,
    store: &Store,
    path: &Path,
    house: &House<'_>,
) -> Result<Adopted, AdoptError> {
    let bundle = Bundle::open(path)?;
    let (id, tip) = only_session(&bundle)?;
    let folder = store.folder_for_now()?;
    let apart = repo.quarantine(&bundle, folder.path())?;
    let (record, proof) = proven(&apart.view, &id, tip)?;
    let known = known(repo, store, &apart.view, &record)?;
    let _taken = repo.take_in(&apart)?;
    let session = settle(repo, store, &record, known.as_ref(), house)?;
    Ok(Adopted { session, proof })
}

/// Takes in a session whose ref is here, fetched from elsewhere.
///
/// # Errors
/// See [`AdoptError`]; the ref stays as it is.
pub fn from_ref(
    repo: &Repo,
    store: &Store,
    id: &str,
    house: &House<'_>,
) -> Result<Adopted, AdoptError> {
    let tip = repo.ref_id(&format!("{PREFIX}{id}"))?;
    let tip = tip.ok_or_else(|| AdoptError::NotASession(format!("there is no session {id}")))?;
    let (record, proof) = proven(repo, id, tip)?;
    let session = settle(repo, store, &record, Some(&record), house)?;
    Ok(Adopted { session, proof })
}

/// Whether a session that is here as a record alone was never in this clone: its worktree would be
/// elsewhere.
pub fn is_from_elsewhere(repo: &Repo, record: &Record, layout: &Layout) -> bool {
    let here = worktree::path_of(repo, layout, &record.spec.name).ok();
    here.is_none_or(|here| record.spec.worktree != here)
}

/// The one session that a bundle holds, and its last record.
fn only_session(bundle: &Bundle) -> Result<(String, ObjectId), AdoptError> {
    let not = |why: String| Err(AdoptError::NotASession(why));
    let [(name, tip)] = bundle.refs.as_slice() else {
        return not(format!("it holds {} refs, and a session is one", bundle.refs.len()));
    };
    match name.strip_prefix(PREFIX) {
        Some(id) if !id.contains('/') && !record::is_reserved(id) => {
            id::check_name(id)?;
            Ok((id.to_owned(), *tip))
        }
        _ => not(format!("{name:?} is no session")),
    }
}

/// The last record of a session, once all that led to it was looked at.
fn proven(view: &Repo, id: &str, tip: ObjectId) -> Result<(Record, Proof), AdoptError> {
    let proof = audit::verify(view, &Asked { id, tip, folder: None, against: None })?;
    let proof =
        proof.map_err(|divergence| AdoptError::NotProven { id: id.to_owned(), divergence })?;
    let record = Record::read(view, tip)?;
    for (format, name) in [(record.spec.format, Spec::FILE), (record.state.format, State::FILE)] {
        format::writable(Path::new(&format!("{tip}:{name}")), format)?;
    }
    Ok((record, proof))
}

/// What is known of the session here, which the new record must go on from.
fn known(
    repo: &Repo,
    store: &Store,
    view: &Repo,
    record: &Record,
) -> Result<Option<Record>, AdoptError> {
    let id = &record.spec.id;
    if store.folder_of(id).exists() {
        return Err(AdoptError::Here(id.clone()));
    }
    let Some(known) = Record::last(repo, id)? else { return Ok(None) };
    let said = said_by(repo, &known)?;
    let mut next = Some(record.commit);
    while let Some(commit) = next {
        if said.contains(&commit) {
            return Ok(Some(known));
        }
        next = Record::read(view, commit)?.before;
    }
    Err(AdoptError::Diverged(id.clone()))
}

/// A record, and those before it that say and hold all it does: a removal writes one more.
fn said_by(repo: &Repo, record: &Record) -> Result<Vec<ObjectId>, AdoptError> {
    let tree = repo.tree_of(record.code)?;
    let mut said = vec![record.commit];
    let mut next = record.before;
    while let Some(commit) = next {
        let before = Record::read(repo, commit)?;
        if before.state.recorded != record.state.recorded || repo.tree_of(before.code)? != tree {
            break;
        }
        said.push(commit);
        next = before.before;
    }
    Ok(said)
}

/// Gives it a folder and a place here. `known` is the record that its ref has here by now.
fn settle(
    repo: &Repo,
    store: &Store,
    record: &Record,
    known: Option<&Record>,
    house: &House<'_>,
) -> Result<Session, AdoptError> {
    let spec = here(repo, record, known, house)?;
    let mut updates = vec![RefUpdate {
        name: format!("{PREFIX}{}", spec.id),
        old: known.map_or(Expected::Absent, |known| Expected::Is(known.commit)),
        new: Some(record.commit),
        reason: "agent: taken in from elsewhere".to_owned(),
    }];
    updates.extend(branch_on(repo, record, &spec)?);
    let draft = store.begin(spec)?;
    let path = draft.journal_path();
    record.write_journal(repo, &mut fs::OpenOptions::new().append(true).open(&path)?)?;
    let mut state = record.state.clone();
    let mut said = arrival(record, draft.spec(), &mut state);
    let is_limit = |event: &Event| matches!(event.update, Update::Limit(_));
    if journal::events(&path)?.iter().any(is_limit) {
        said.extend(limits(draft.spec(), &state));
    }
    let said: Vec<_> = said.into_iter().map(|it| Event::now(state.step, it)).collect();
    Journal::open(&path)?.0.append(&said)?;
    updates.retain(|update| !matches!(update.old, Expected::Is(old) if update.new == Some(old)));
    repo.update_refs(&updates)?;
    let finished = draft.finish(&state);
    if finished.is_err() && known.is_none() {
        let back = |update: &RefUpdate| RefUpdate {
            name: update.name.clone(),
            old: update.new.map_or(Expected::Absent, Expected::Is),
            new: None,
            reason: "agent: not taken in".to_owned(),
        };
        // The reason that led here is the one to tell.
        if let Err(error) = repo.update_refs(&updates.iter().take(1).map(back).collect::<Vec<_>>())
        {
            tracing::warn!(%error, "a ref is left behind");
        }
    }
    Ok(finished?)
}

/// What was asked, with its place and what holds here.
fn here(
    repo: &Repo,
    record: &Record,
    known: Option<&Record>,
    house: &House<'_>,
) -> Result<Spec, AdoptError> {
    let spec = &record.spec;
    // Where it was here before, its branch is its own still, as it was left.
    let is_its_own = match known.filter(|known| known.commit != record.commit) {
        Some(known) => {
            let left = known.state.head.as_deref().filter(|head| *head != known.spec.base.commit);
            let tip = repo.ref_id(&spec.branch)?.map(|tip| tip.to_string());
            known.spec.branch == spec.branch
                && left.is_some()
                && tip.as_deref() == left
                && branch_on(repo, record, spec)?.is_some()
        }
        None => false,
    };
    let slug = id::slug(&spec.name);
    let branch = spec.branch.strip_prefix("refs/heads/");
    let wish = |branch| Wish { slug: &slug, name: None, branch };
    let free = |branch| worktree::place(repo, house.layout, &wish(branch));
    let place = match free(branch.filter(|_| !is_its_own)) {
        Err(
            PlaceError::BranchExists { .. }
            | PlaceError::BranchInTheWay { .. }
            | PlaceError::Name(_),
        ) => free(None)?,
        place => place?,
    };
    let (mut name, mut path, mut branch) = (place.name, place.path, place.branch);
    if is_its_own {
        branch.clone_from(&spec.branch);
        let own = worktree::path_of(repo, house.layout, &slug)?;
        if !own.exists() {
            (name, path) = (slug.clone(), own);
        }
    }
    let mut limits = Limits::default();
    for limit in Limit::ALL {
        let both = [spec.limits.of(limit), house.limits.of(limit)];
        limits.set(limit, both.into_iter().flatten().reduce(f64::min));
    }
    let first = spec.first_model().to_owned();
    let model = house.model.unwrap_or(&spec.model).to_owned();
    Ok(Spec {
        began_with: Some(first).filter(|first| *first != model),
        model,
        sandbox: house.sandbox.to_owned(),
        allow_net: Vec::new(),
        share_budget: None,
        limits,
        name,
        ..spec.at(&path, &branch)
    })
}

/// The move of the session's branch to where its record has it; none where there is no such branch
/// that leads there.
fn branch_on(repo: &Repo, record: &Record, spec: &Spec) -> Result<Option<RefUpdate>, AdoptError> {
    let head = record.state.head.as_deref().unwrap_or(spec.first_commit());
    let head = ObjectId::from_hex(head.as_bytes()).ok().filter(|head| repo.has_object(*head));
    let (Some(head), Some(tip)) = (head, repo.ref_id(&spec.branch)?) else { return Ok(None) };
    if repo.checked_out_at(&spec.branch)?.is_some() || !repo.is_ancestor(tip, head)? {
        return Ok(None);
    }
    Ok(Some(RefUpdate {
        name: spec.branch.clone(),
        old: Expected::Is(tip),
        new: Some(head),
        reason: "agent: taken in from elsewhere".to_owned(),
    }))
}

/// Lets it rest, and says what is another here.
fn arrival(record: &Record, spec: &Spec, state: &mut State) -> Vec<Update> {
    let from = state.phase;
    let to = match from {
        Phase::Queued | Phase::Running | Phase::Verifying | Phase::Interrupted => Phase::Paused,
        // What landed, landed elsewhere.
        Phase::Landed | Phase::Archived => Phase::Done,
        phase => phase,
    };
    let mut said = Vec::new();
    if spec.model != record.spec.model {
        let (from, to) = (record.spec.model.clone(), spec.model.clone());
        let reason = "chosen where it was taken in".to_owned();
        said.push(Update::Model(ModelChange { from, to, reason, lasting: true }));
    }
    if from != to {
        (state.phase, state.reason) = (to, "taken in from elsewhere".to_owned());
        (state.question, state.waiting) = (None, None);
        let (from, to) = (from.to_string(), to.to_string());
        let reason = state.reason.clone();
        said.push(Update::State(StateChange { from, to, reason, usage: state.usage }));
    }
    state.activity.clear();
    // What was verified elsewhere is verified here before it lands.
    state.verify = None;
    state.updated = Timestamp::now();
    // Paths that another machine has named.
    state.with_secrets.clear();
    state.limits = None;
    let mut notice = format!("taken in from elsewhere: sandbox {} here", spec.sandbox);
    if !record.spec.allow_net.is_empty() {
        notice.push_str(&format!(", and no host of {} is open", record.spec.allow_net.join(" ")));
    }
    state.notice(notice.clone());
    said.push(Update::Notice(notice));
    said
}

/// Sets the limits anew, where somebody elsewhere has set them by hand.
fn limits(spec: &Spec, state: &State) -> impl Iterator<Item = Update> {
    Limit::ALL.into_iter().map(|limit| {
        let (to, spent) = (spec.limits.of(limit), state.spent(spec, limit).unwrap_or_default());
        let more = to.unwrap_or_default();
        Update::Limit(LimitChange { limit, to, more, spent, inbox_id: None })
    })
}
