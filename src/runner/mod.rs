//! Puts the parts of one session together and runs its loop.
//!
//! Invariant: there is one runner for a session, the holder of its lock; whatever happens, it
//! leaves a state that says where the session is and why.

mod bill;
mod caging;
mod facts;
mod gate;
mod models;
mod notes;
mod past;
mod resting;
pub mod settle;
mod shadowing;
mod world;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::{Agent, Allowances, Fault, Limits, Rest, prompt};
use crate::cancel::Signals;
use crate::event::{Event, Limit, Origin, Update, UserMessage};
use crate::git::{Collectors, OpenError, Repo};
use crate::process::Cmd;
use crate::sandbox::Bounds;
use crate::session::allowed;
use crate::session::cage;
use crate::session::checkpoint::{self, Checkpoints};
use crate::session::disk;
use crate::session::format::{self, FormatError};
use crate::session::inbox::Kind;
use crate::session::include;
use crate::session::journal::Journal;
use crate::session::lock::{Lock, LockError};
use crate::session::reserve;
use crate::session::rewind;
use crate::session::state::{Phase, State};
use crate::session::store::{Broken, Session, SessionError, Store};
use crate::session::worktree;
use crate::tool::{self, Toolbox};
use crate::trust::team;

use caging::Caging;
use gate::Gate;
use models::Models;
use past::{Past, Told};
use shadowing::Followed;
use world::SessionWorld;

/// How long a command may hold a session that is to be run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a gc that runs at the end is waited for.
const COLLECTING: Duration = Duration::from_secs(30);

/// A session that cannot be run: nothing of it has changed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no event loop, or no signals.
    #[error("cannot wait for events")]
    Runtime(#[source] std::io::Error),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repo(#[from] OpenError),
    /// There is no such session.
    #[error(transparent)]
    Session(#[from] Broken),
    /// Somebody else runs it, or a newer program wrote it.
    #[error(transparent)]
    Lock(#[from] SessionError),
    /// Not even the reason can be written down.
    #[error("{reason}; and the state cannot be written")]
    Unwritable {
        /// Why it does not run.
        reason: String,
        /// Why that is not in the state.
        source: FormatError,
    },
}

/// Runs a session until it rests and nobody has said anything more.
///
/// # Errors
/// Somebody else runs it, or its state cannot be written.
pub async fn run(repo: &Repo, session: &Session, signals: &Signals) -> Result<(), RunError> {
    let (mut lock, mut state) = take(session).await?;
    session.leave_queue().map_err(SessionError::from)?;
    // A stop that came before its supervisor stays.
    if state.phase != Phase::Queued {
        tracing::info!(phase = %state.phase, "nobody asks for it any more");
        return Ok(());
    }
    loop {
        if let Err(Fault(reason)) = work(repo, session, state, signals).await {
            tracing::error!(reason, "the session rests");
            return pause(session, &reason)
                .map_err(|source| RunError::Unwritable { reason, source });
        }
        drop(lock);
        if signals.shutdown.is_raised() || !is_called_back(session) {
            return Ok(());
        }
        signals.stop.lower();
        (lock, state) = take(session).await?;
    }
}

/// Takes the session, and says that signals are heeded. While it waits to be run, a command that
/// holds it for a moment is waited for.
async fn take(session: &Session) -> Result<(Lock, State), SessionError> {
    let deadline = Instant::now() + PATIENCE;
    let is_queued = || session.state().is_ok_and(|state| state.phase == Phase::Queued);
    loop {
        match session.lock() {
            Err(SessionError::Lock { error: LockError::Held { holder }, .. })
                if !holder.listens && Instant::now() < deadline && is_queued() =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            held => {
                let (mut lock, state) = held?;
                lock.listen();
                return Ok((lock, state));
            }
        }
    }
}

/// Whether somebody spoke too late to be heard, and too soon to find that nobody listens.
///
/// Asked behind the lock: who speaks now sees it free, and starts another supervisor.
fn is_called_back(session: &Session) -> bool {
    let (Ok(state), Ok(waiting)) = (session.state(), session.inbox().peek()) else { return false };
    let is_decision = state.question.as_ref().is_some_and(|asked| asked.kind.is_decision());
    let is_for = |kind: &Kind| match (kind, state.phase) {
        (Kind::Say { .. }, Phase::Done | Phase::Failed) => true,
        // Words decide nothing: they wait for who says yes or no.
        (Kind::Answer { .. }, Phase::NeedsInput) => !is_decision,
        (Kind::Decide { .. }, Phase::NeedsInput) => is_decision,
        (Kind::Answer { .. }, Phase::Done | Phase::Failed) => true,
        (Kind::Stop { .. }, phase) => phase.may_become(Phase::Stopped),
        _ => false,
    };
    waiting.letters.iter().any(|letter| is_for(&letter.kind))
}

async fn work(
    repo: &Repo,
    session: &Session,
    mut state: State,
    signals: &Signals,
) -> Result<(), Fault> {
    if let Err(error) = reserve::keep(&session.dir) {
        tracing::debug!(%error, "no space is kept back");
    }
    let spec = &session.spec;
    let worktree = open_worktree(repo, &spec.worktree)?;
    // Before anything is read: what was written last may have been taken away.
    if let Err(error) = worktree.keep_written(&session.kept_dir()) {
        tracing::warn!(%error, "a gc may take away what is written");
    }
    let policy = allowed::check(repo, spec, &state).map_err(fault)?;
    let base = worktree.resolve_commit(&spec.base.commit).map_err(fault)?;
    let config = team::settings(&worktree, base).map_err(fault)?.config;
    for path in [&spec.worktree, &session.dir] {
        disk::check(path, config.min_free_disk).map_err(fault)?;
    }
    include::learn(&spec.worktree, &state.with_secrets);
    let caging = Caging::begin(&worktree, session, &config)?;
    rewind::finish(&worktree, session, &mut state).map_err(fault)?;
    let Past { journal, told, mut unsaid } = Past::open(&worktree, session)?;
    if told.has_died() {
        break_dead_locks(&worktree, session)?;
    }
    if checkpoint::move_branch_on(&worktree, spec).map_err(fault)? {
        tracing::warn!("a kill had kept the branch from its last commit");
    }
    if checkpoint::make_branch_again(&worktree, spec).map_err(fault)? {
        let what = format!("{} was gone and is made again", spec.branch_name());
        unsaid.push(Update::Notice(what));
    }
    let checkpoints = Checkpoints::open(worktree.clone(), spec.clone(), config.max_file_size);
    let checkpoints = checkpoints.map_err(fault)?;

    let untold = checkpoint::untold(&worktree, spec, &state, &session.journal_path());
    unsaid.splice(0..0, untold.map_err(fault)?.into_iter().map(Update::Checkpoint));
    let mut state = past::caught_up(state, &told);
    checkpoints.catch_up(&mut state);
    state.untold.clear();
    let Told { mut conversation, bill, notes, .. } = told;
    let (sandbox, mut shadow) = caging.done().await?;
    if let Some(shadow) = &mut shadow {
        shadow.introduce(checkpoints.who()).map_err(fault)?;
    }
    let (bounds, unmet) = Bounds::new(&cage::limits(&config), &session.id);
    let tools = Toolbox::new(tool::Setup {
        root: spec.worktree.clone(),
        out_dir: session.out_dir(),
        sandbox: sandbox.within(bounds),
        attended: !spec.unattended,
        guard: Some(
            Cmd::new(std::env::current_exe().map_err(fault)?).arg("guard").arg(repo.common_dir()),
        ),
    });
    let tools = tools.map_err(fault)?;
    let mut models = Models {
        repo: &worktree,
        spec,
        tools: tools.specs(),
        config: &config,
        policy: policy.as_ref(),
    };
    let mut model = models.open(conversation.stand_in().unwrap_or(&spec.model))?;
    for line in unmet {
        if !state.notices.contains(&line) {
            state.notice(line);
        }
    }
    let budget =
        spec.share_budget.as_deref().map(|name| Store::open(repo.common_dir()).budget(name));
    let base_tree = worktree.tree_of(base).map_err(fault)?;
    let gate = Gate::new(spec, &config, base_tree).map_err(fault)?;
    let rules = gate.rules.clone();
    let mut world = SessionWorld {
        session,
        gate,
        checks: allowed::checks(&spec.verify, policy.as_ref()),
        is_held: false,
        tools: &tools,
        journal,
        state,
        checkpoints,
        shadow: shadow.map(Followed::new),
        notes,
        bill,
        untaken: false,
        min_free_disk: config.min_free_disk,
        budget,
    };
    world.book()?;
    world.enter(Phase::Running, "")?;
    for update in &unsaid {
        conversation.apply(update);
    }
    world.say(unsaid)?;
    if conversation.is_new() {
        let text = prompt::task(&spec.task, &facts::collect(repo, spec, base).map_err(fault)?);
        let task = Update::UserMessage(UserMessage { from: Origin::Task, text, inbox_id: None });
        let task = task.redacted();
        conversation.apply(&task);
        crate::agent::World::record(&mut world, 0, vec![task])?;
    }
    for made in world.take_edits()? {
        conversation.apply(&Update::Checkpoint(made));
    }
    let allowed = Limit::ALL
        .into_iter()
        .fold(Allowances::default(), |allowed, limit| allowed.with(limit, spec.limits.of(limit)));
    let limits = Limits { allowed, ..Limits::default() };
    let mut agent = Agent {
        model: &mut model,
        models: &mut models,
        is_renewed: false,
        tools: &tools,
        world: &mut world,
        signals,
        conversation,
        limits,
        rules: &rules,
        is_held: false,
        lap: Instant::now(),
    };
    let rest = agent.run().await;
    let words = agent.conversation.step_words(&tools);
    // What runs beside the calls may have written since the worktree was last taken.
    let has_jobs = tools.has_jobs();
    tools.end_jobs().await;
    world.untaken |= has_jobs;
    let rested = match rest {
        // A person who kills it has said so before.
        Rest::Stopped if signals.shutdown.is_raised() && world.asked_to_stop().is_none() => {
            world.interrupt("the system ended it")
        }
        rest => {
            // What is done is the tree that was checked, and no byte more.
            if has_jobs && !matches!(rest, Rest::Done { .. }) {
                world.take_from_jobs(&words);
            }
            world.settle(&rest)
        }
    };
    if let Err(error) = let_go(&worktree, signals).await {
        tracing::warn!(%error, "what was written is kept on");
    }
    rested
}

/// Ends the keeping of what was written, once those who may take it away have ended; where that is
/// not waited for, the next run keeps it on.
async fn let_go(repo: &Repo, signals: &Signals) -> std::io::Result<()> {
    let deadline = Instant::now() + COLLECTING;
    let mut collectors = Collectors::now();
    while !collectors.have_ended() {
        if signals.shutdown.is_raised() || Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    repo.let_go()
}

/// Takes away the locks on its refs that a run which was killed has left. The session's ref is
/// written by the holder of its lock alone; the branch may be a person's just now, for a moment.
fn break_dead_locks(repo: &Repo, session: &Session) -> Result<(), Fault> {
    for (name, age) in [
        (session.ref_name(), Duration::ZERO),
        (session.spec.branch.clone(), Duration::from_secs(1)),
    ] {
        if repo.break_dead_lock(&name, age).map_err(fault)? {
            tracing::warn!(name, "a lock that a killed run has left is taken away");
        }
    }
    Ok(())
}

/// The session's worktree, if it is the one that the session was made with.
fn open_worktree(repo: &Repo, path: &Path) -> Result<Repo, Fault> {
    if !path.exists() {
        return Err(Fault(format!("its worktree is gone: {}", path.display())));
    }
    worktree::open(repo, path).map_err(|error| match error {
        OpenError::NotLinked(_) => Fault(format!(
            "{} is no longer the session's worktree; git worktree repair may mend it",
            path.display()
        )),
        error => Fault(format!("the worktree cannot be used: {error}")),
    })
}

/// Writes down why a session does not run.
fn pause(session: &Session, reason: &str) -> Result<(), FormatError> {
    let path = session.state_path();
    let mut state = format::read::<State>(&path)?;
    let now = Timestamp::now();
    if !state.phase.may_become(Phase::Paused) && state.phase.may_become(Phase::Running) {
        state.phase = Phase::Running;
    }
    let change = match state.move_to(Phase::Paused, reason, now) {
        Ok(change) => change,
        Err(error) => {
            tracing::error!(%error, "the state stays as it is");
            return Ok(());
        }
    };
    // For who reads the log; what keeps the session from running may keep this out too.
    let event = Event::now(state.step, Update::State(change));
    let journal = Journal::open(&session.journal_path());
    if let Err(error) = journal.and_then(|(mut journal, _)| journal.append(&[event])) {
        tracing::warn!(%error, "the journal does not say why");
    }
    state.write(&path).or_else(|error| match reserve::give_back(&session.dir) {
        Ok(()) => state.write(&path),
        Err(_) => Err(error),
    })
}

fn fault(error: impl Error) -> Fault {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    Fault(line)
}
