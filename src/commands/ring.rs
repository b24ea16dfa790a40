//! Calls the person who follows a session, where `agent.notify` says so: the bell, and on machines
//! without a desktop the terminal's own notices.
//!
//! Invariant: it calls for what happens while somebody follows, never for what has been, and only
//! by the terminal it follows in.

use super::context::Context;
use crate::config::{Channel, Notify};
use crate::event::Event;
use crate::message::PlanStatus;
use crate::notify::{Ear, Notice, Standing, has_desktop};
use crate::session::state::State;
use crate::session::store::Session;
use crate::ui::Ui;

/// The calls of one view.
pub(super) struct Ring<'a> {
    ui: &'a Ui,
    settings: Notify,
    ear: Ear,
    due: Vec<Notice>,
}

impl<'a> Ring<'a> {
    /// None where nobody wants to be called, or no terminal is there to do it.
    pub(super) fn new(context: &Context<'a>, session: &Session) -> Option<Self> {
        if !context.ui.narration_look().terminal {
            return None;
        }
        // A setting that is wrong is refused where it matters, not by a view.
        let settings = context.read_config().ok()?.0.notify;
        if !settings.has(Channel::Bell) && !settings.has(Channel::Desktop) {
            return None;
        }
        let plan = session.state().map_or_else(|_| Vec::new(), |state| state.plan);
        let done = plan.into_iter().filter(|item| item.status == PlanStatus::Done);
        let ear = Ear::new(&session.id, done.map(|item| item.text));
        Some(Self { ui: context.ui, settings, ear, due: Vec::new() })
    }

    /// Takes in what happens.
    pub(super) fn hear(&mut self, event: &Event) {
        self.due.extend(self.ear.hear(event));
    }

    /// Calls for what was heard.
    pub(super) fn call(&mut self, state: &State, is_last: bool) {
        let standing = Standing {
            phase: state.phase.as_str(),
            question: state.question.as_ref(),
            summary: &state.summary,
        };
        self.due.extend(self.ear.settle(&standing, !is_last));
        let due = std::mem::take(&mut self.due);
        for notice in due.iter().filter(|notice| notice.is_wanted(&self.settings)) {
            if self.settings.has(Channel::Bell) {
                self.ui.ring();
            }
            if self.settings.has(Channel::Desktop) && !has_desktop() {
                let var = |name: &str| std::env::var(name).ok();
                self.ui.pop_up(&notice.title, &notice.text, var);
            }
        }
    }
}
