//! When the loop gives up by itself.
//!
//! Invariant: a limit is looked at before each request, so none is passed by more than one answer.

use crate::agent::{Conversation, Rest};
use crate::event::Question;
use crate::model::ModelError;

/// How often, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps in all.
    pub steps: u32,
    /// Times that a failing verify goes back to the model before the session has failed.
    pub red_rounds: u32,
    /// Answers in a row that may be of no use.
    pub strikes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 500, red_rounds: 3, strikes: 3 }
    }
}

impl Limits {
    /// Whether there may be another request.
    ///
    /// # Errors
    /// There may not; the session rests.
    pub fn check(&self, conversation: &Conversation) -> Result<(), Rest> {
        if conversation.strikes() >= self.strikes {
            let strikes = conversation.strikes();
            let reason = format!("{strikes} answers in a row were empty, cut off or unreadable");
            return Err(Rest::Paused { reason });
        }
        if conversation.is_hopeless() {
            let reason = "the same calls give the same results again and again".to_owned();
            return Err(Rest::Paused { reason });
        }
        if conversation.step() >= self.steps {
            let reason = format!("the limit of {} steps is reached", self.steps);
            return Err(Rest::Paused { reason });
        }
        Ok(())
    }
}

/// Where a model that gives no answer leaves the session.
pub(super) fn rest_after(error: &ModelError) -> Rest {
    match error {
        ModelError::KeyRefused { .. } => Rest::NeedsInput(Question {
            text: error.to_string(),
            options: Vec::new(),
            call_id: None,
        }),
        _ => Rest::Paused { reason: error.to_string() },
    }
}
