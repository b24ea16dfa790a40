//! Watching a session live, until it rests.
//!
//! Invariant: it only reads; whatever ends the view, the session goes on.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use super::context::Context;
use super::ring::Ring;
use super::{control, question};
use crate::error::{CommandError, Kind, Result, exit};
use crate::event::Event;
use crate::file;
use crate::queue;
use crate::session::journal::{Entry, Reader};
use crate::session::state::{Phase, State};
use crate::session::store::Session;
use crate::ui::Ui;
use crate::ui::human::Narrator;
use crate::ui::live::Line;

/// How often the journal and the state are looked at: below what a person notices.
const PERIOD: Duration = Duration::from_millis(100);

/// How often one who waits for a session in the queue starts it, should nobody else.
const LOOK: Duration = Duration::from_secs(1);

/// What is printed for each event.
#[derive(Debug)]
pub enum Form {
    /// Lines for people.
    Lines(Box<Narrator>),
    /// The event as it stands in the journal.
    Json,
    /// Nothing: the end alone is waited for.
    Nothing,
}

impl Form {
    /// Lines for people on this `Ui`, in the time zone of this machine.
    pub fn lines(ui: &Ui) -> Self {
        let narrator = Narrator::new(ui.look(), TimeZone::system(), ui.is_verbose());
        Self::Lines(Box::new(narrator))
    }

    fn print(&mut self, ui: &Ui, event: &Event) -> Result {
        match self {
            Self::Lines(narrator) => {
                let lines = narrator.lines(event);
                if !lines.is_empty() {
                    ui.answer(&lines.join("\n"))?;
                }
            }
            Self::Json => ui.answer(&event.to_line()?)?,
            Self::Nothing => {}
        }
        Ok(())
    }
}

/// Prints what has happened so far.
///
/// # Errors
/// The journal cannot be read, or the reader of the output has gone.
pub fn past(ui: &Ui, session: &Session, form: &mut Form) -> Result<u64> {
    let Some(mut reader) = file::if_there(Reader::open(&session.journal_path(), 0))? else {
        return Ok(0);
    };
    drain(ui, &mut reader, form, &mut Line::new(ui), None)?;
    Ok(reader.offset())
}

/// Prints what happens from this byte of the journal on, until the session rests, and returns its
/// last state.
///
/// # Errors
/// Told, when a person leaves the view by Ctrl-C; else as [`past`].
pub fn until_it_rests(
    context: &Context<'_>,
    session: &Session,
    from: u64,
    form: &mut Form,
) -> Result<State> {
    match watch(context, session, from, form)? {
        Seen::Rest(state) => Ok(*state),
        Seen::Left => Err(left(context.ui, &[&session.id])),
    }
}

/// Waits until all of these sessions rest, and says of each what it has come to.
///
/// # Errors
/// Told: one is not done, as in [`outcome`]; or a person leaves, which all others outlive.
pub fn until_all_rest(context: &Context<'_>, sessions: &[&Session], form: &mut Form) -> Result {
    let mut ended = Vec::new();
    for (at, session) in sessions.iter().enumerate() {
        match watch(context, session, 0, form)? {
            Seen::Rest(state) => ended.push(outcome(context.ui, session, &state)),
            Seen::Left => {
                let goes_on =
                    |it: &&&Session| it.state().is_ok_and(|state| state.phase.needs_supervisor());
                let on: Vec<_> = sessions[at..].iter().filter(goes_on).collect();
                let on: Vec<_> = on.into_iter().map(|session| session.id.as_str()).collect();
                return Err(left(context.ui, &on));
            }
        }
    }
    control::told(context.ui, ended.into_iter())
}

/// What ended a view.
enum Seen {
    Rest(Box<State>),
    /// A person, by Ctrl-C.
    Left,
}

fn watch(context: &Context<'_>, session: &Session, from: u64, form: &mut Form) -> Result<Seen> {
    let ui = context.ui;
    let is_for_people = !matches!(form, Form::Json);
    let mut ring = Ring::new(context, session).filter(|_| is_for_people);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut reader = Reader::open(&session.journal_path(), from)?;
        let mut line = Line::new(ui);
        let mut looked = Instant::now();
        loop {
            // Both before the journal, which then holds all that it rests after. And the holder
            // before the state: one that takes the session up has not changed its state yet.
            let is_held = session.holder()?.is_some();
            let state = session.state()?;
            drain(ui, &mut reader, form, &mut line, ring.as_mut())?;
            let is_last = !is_held && !state.phase.needs_supervisor();
            if let Some(ring) = &mut ring {
                ring.call(&state, is_last);
            }
            if is_last {
                return Ok(Seen::Rest(Box::new(state)));
            }
            if is_for_people {
                line.show(&state.activity);
            }
            if state.phase == Phase::Queued && looked.elapsed() >= LOOK {
                looked = Instant::now();
                // What is set wrong was said when this began.
                session.dir.ancestors().nth(3).map(queue::look);
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = interrupt.recv() => {
                    line.clear();
                    return Ok(Seen::Left);
                }
            }
        }
    })
}

/// Says what a session that was waited for has come to, and what to do next.
///
/// # Errors
/// It is not done: [`exit::NEEDS_PERSON`] where a person can help it on, else [`exit::NO`]; told.
pub fn outcome(ui: &Ui, session: &Session, state: &State) -> Result {
    let id = &session.id;
    let reason = match (&state.question, state.reason.as_str()) {
        (Some(question), _) => format!(": {}", question.text),
        (None, "") => String::new(),
        (None, reason) => format!(": {reason}"),
    };
    ui.narrate(&format!("{id} {}{reason}", control::standing(state.phase)));
    let (code, hint) = match state.phase {
        Phase::Done | Phase::Landed | Phase::Archived => return Ok(()),
        Phase::NeedsInput => (exit::NEEDS_PERSON, question::how(id, state.question.as_ref())),
        Phase::Paused | Phase::Interrupted => {
            (exit::NEEDS_PERSON, format!("git agent resume {id}"))
        }
        _ => (exit::NO, format!("git agent log {id}")),
    };
    ui.hint(&hint);
    Err(CommandError::new(Kind::Told(code), ""))
}

fn drain(
    ui: &Ui,
    reader: &mut Reader,
    form: &mut Form,
    line: &mut Line<'_>,
    mut ring: Option<&mut Ring<'_>>,
) -> Result {
    for entry in reader {
        line.clear();
        match entry? {
            Entry::Event(event) => {
                if let Some(ring) = &mut ring {
                    ring.hear(&event);
                }
                form.print(ui, &event)?;
            }
            Entry::Damaged { line: number, why } => {
                ui.warning(&format!("line {number} of the journal is damaged and left out: {why}"));
            }
        }
    }
    Ok(())
}

/// Says that what was waited for goes on.
pub(super) fn left(ui: &Ui, sessions: &[&str]) -> CommandError {
    // The terminal has shown `^C` where the cursor was.
    if ui.narration_look().terminal {
        ui.narrate_styled("");
    }
    match sessions {
        [] => ui.narrate("Left the view; nothing goes on"),
        [id] => {
            ui.narrate(&format!("Left the view; {id} goes on"));
            ui.hint(&format!("git agent attach {id}    git agent pause {id}"));
        }
        several => {
            ui.narrate(&format!("Left the view; {} go on", several.join(", ")));
            ui.hint(&format!("git agent list    git agent pause {}", several.join(" ")));
        }
    }
    // SIGINT is 2 everywhere.
    CommandError::new(Kind::Told(exit::SIGNAL + 2), "")
}
