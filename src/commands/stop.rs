//! `git agent stop`: a session ends; its branch, worktree and record stay.
//!
//! Invariant: nothing that was done is lost, killed or not: every step has been committed, and so
//! is what a killed tool has left.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::context::Context;
use super::control::{self, SessionArgs};
use crate::error::{CommandError, Result};
use crate::queue;
use crate::runner::settle;
use crate::session::inbox::Kind;
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::Ui;

/// How long a supervisor may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Why it has ended, as the log says it.
const KILLED: &str = "killed by a person";

/// End sessions; their branches, worktrees and records stay
///
/// What runs is ended too (pause lets it finish). What they have done is committed, and the next in
/// the queue takes their place. With --all: every session that has not ended.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    sessions: SessionArgs,
    /// Do not wait for the supervisor to tidy up: kill it where it takes longer than 5 s
    #[arg(long)]
    kill: bool,
}

/// Ends each session.
///
/// # Errors
/// Told: one that was named is not found, or does not end.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let nothing = "Nothing to stop: every session has ended";
    control::each(&context, &args.sessions, nothing, |session| {
        let id = &session.id;
        let phase = session.state()?.phase;
        if !phase.may_become(Phase::Stopped) {
            if !args.sessions.all {
                ui.narrate(&format!("Nothing to stop: {id} {}", control::standing(phase)));
            }
            return Ok(false);
        }
        if args.kill {
            kill(&context, session)?;
            ui.narrate(&format!("Killed {id}; its branch and worktree stay"));
        } else if !is_at_work(session)? && stopped(&context, session, "")? {
            ui.narrate(&format!("Stopped {id}; its branch and worktree stay"));
        } else {
            control::send(session, Kind::Stop { reason: String::new() })?;
            // It may have come to its end just before.
            let phase = session.state()?.phase;
            if !phase.may_become(Phase::Stopped) {
                take_back(session)?;
                ui.narrate(&format!("Nothing to stop: {id} {}", control::standing(phase)));
                return Ok(false);
            }
            ui.narrate(&format!("Stopping {id} with what it runs; its branch and worktree stay"));
            ui.hint(&format!("git agent stop --kill {id}"));
        }
        Ok(true)
    })?;
    // Who is killed starts nobody.
    // What is wrong with the settings is told by whoever lists the sessions.
    drop(queue::look(context.repo.common_dir()));
    Ok(())
}

/// Whoever goes on with the session later is not to be stopped by this.
fn take_back(session: &Session) -> Result {
    let inbox = session.inbox();
    for letter in inbox.peek()?.letters {
        if matches!(letter.kind, Kind::Stop { .. }) {
            inbox.done(&letter.id)?;
        }
    }
    Ok(())
}

/// Whether somebody runs it. A supervisor that is only on its way finds it stopped, and ends.
fn is_at_work(session: &Session) -> Result<bool> {
    Ok(control::is_run(session)? && session.holder()?.is_some())
}

fn stopped(context: &Context<'_>, session: &Session, reason: &str) -> Result<bool> {
    Ok(settle::settle(&context.repo, session, Phase::Stopped, reason)?)
}

/// Ends the process that runs the session, asked first, then not asked; and the session with it.
/// Another command that holds it is waited for.
fn kill(context: &Context<'_>, session: &Session) -> Result {
    let deadline = Instant::now() + 4 * PATIENCE;
    // So that who is killed knows that it is a person who does.
    session.send(Kind::Stop { reason: KILLED.to_owned() })?;
    loop {
        if !control::signal(session, Signal::TERM)? || ends_within(session, PATIENCE)? {
            // One that was on its way may have come meanwhile.
            if stopped(context, session, KILLED)? {
                return take_back(session);
            }
        } else {
            control::signal(session, Signal::KILL)?;
            ends_within(session, PATIENCE)?;
        }
        if Instant::now() > deadline {
            take_back(session)?;
            let message = format!("{} does not end, not even killed", session.id);
            return Err(CommandError::no(message)
                .hint("Its process waits for the disk or the network, maybe; try again later"));
        }
    }
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
