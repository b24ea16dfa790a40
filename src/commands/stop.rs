//! `git agent stop`: a session ends; its branch, worktree and record stay.
//!
//! Invariant: nothing that was done is lost, killed or not: every step has been committed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;

use super::context::Context;
use super::{complete, control};
use crate::error::{CommandError, Result};
use crate::event::{Event, Update};
use crate::session::inbox::Kind;
use crate::session::journal::Journal;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::Ui;

/// How long a supervisor may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// End sessions; their branches, worktrees and records stay
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sessions, each by any unique beginning of its id or name
    #[arg(
        value_name = "SESSION",
        required_unless_present = "all",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        add = clap_complete::ArgValueCompleter::new(complete::sessions),
    )]
    sessions: Vec<String>,
    /// Stop every session that has not ended
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
    /// End it at once, what runs included
    #[arg(long)]
    kill: bool,
}

/// Ends each session.
///
/// # Errors
/// One that was named is not found, or does not end.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let mut ended = false;
    for session in control::chosen(&context, &args.sessions, args.all)? {
        let id = &session.id;
        let phase = session.state()?.phase;
        let may_stop = phase.may_become(Phase::Stopped);
        ended |= may_stop;
        if !may_stop {
            if !args.all {
                ui.narrate(&format!("Nothing to stop: {id} {}", control::standing(phase)));
            }
        } else if args.kill {
            kill(&session)?;
            settle(&session, "killed")?;
            ui.narrate(&format!("Killed {id}; its branch and worktree stay"));
        } else if control::is_run(&session)? {
            control::send(&session, Kind::Stop { reason: String::new() })?;
            ui.narrate(&format!("Stopping {id} after its step; its branch and worktree stay"));
            ui.hint(&format!("git agent stop --kill {id}"));
        } else {
            settle(&session, "")?;
            ui.narrate(&format!("Stopped {id}; its branch and worktree stay"));
        }
    }
    if args.all && !ended {
        ui.narrate("Nothing to stop: every session has ended");
    }
    Ok(())
}

/// Ends the process that runs the session: asked first, then not asked.
fn kill(session: &Session) -> Result {
    // One that is on its way must not arrive after the end.
    let deadline = Instant::now() + PATIENCE;
    while session.state()?.phase == Phase::Queued
        && session.holder()?.is_none()
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    if !control::signal(session, Signal::TERM)? || ends_within(session, PATIENCE)? {
        return Ok(());
    }
    control::signal(session, Signal::KILL)?;
    if ends_within(session, PATIENCE)? {
        return Ok(());
    }
    let message = format!("{} does not end, not even killed", session.id);
    Err(CommandError::no(message)
        .hint("Its process waits for the disk or the network, maybe; try again later"))
}

fn ends_within(session: &Session, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while session.holder()?.is_some() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Writes down that a session which nobody runs is stopped.
fn settle(session: &Session, reason: &str) -> Result {
    let (lock, mut state) = session.lock()?;
    // Whoever ran it may have written its own last word meanwhile.
    if state.phase.may_become(Phase::Stopped) {
        let change = state.move_to(Phase::Stopped, reason, Timestamp::now())?;
        let (mut journal, _) = Journal::open(&session.journal_path())?;
        journal.append(&[Event::now(state.step, Update::State(change))])?;
        state.write(&session.state_path())?;
    }
    drop(lock);
    Ok(())
}
