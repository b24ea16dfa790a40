//! To ask the model, and what to do where it does not answer.
//!
//! Invariant: a request that is doomed is not sent again: another one goes out only with another
//! key, a shorter conversation or another model, and what was changed is in the journal where it
//! decides what the model is told. A wait that a person interrupts leaves everything as it was.

use crate::agent::compact::Wish;
use crate::agent::{Agent, Fault, Rest, World, limits, prompt};
use crate::event::{ModelChange, Question, Summary, Update};
use crate::message::{Answer, Message};
use crate::model::{Model, ModelError};

/// Where models come from while a session runs.
pub trait Models {
    /// Asks again for the key and the address of this model. False where they are as they were.
    ///
    /// # Errors
    /// There is no key any more, in words for a person.
    fn renew(&mut self, model: &mut Model) -> Result<bool, Fault>;

    /// The model to go on with where this one is not to be had, if there is another.
    ///
    /// # Errors
    /// There is one, and it cannot be used, in words for a person.
    fn instead_of(&mut self, model: &Model) -> Result<Option<Model>, Fault>;
}

impl<W: World> Agent<'_, W> {
    /// One answer of the model; none, when somebody interrupts it or something was changed so that
    /// it can be asked again.
    pub(super) async fn ask(&mut self) -> Result<(), Rest> {
        self.limits.check(&self.conversation)?;
        if let Some(wish) = self.conversation.due(self.model.context_window()) {
            return self.compact(wish).await;
        }
        if self.conversation.was_cut_off() {
            self.model.raise_output_limit();
        }
        match self.answer(None).await {
            None => Ok(()),
            Some(Ok(answer)) => {
                self.is_renewed = false;
                self.tell(vec![Update::AgentMessage(answer)])
            }
            Some(Err(ModelError::ContextTooLong(why))) => match self.conversation.overflow(&why) {
                Some(wish) => self.compact(wish).await,
                None => Err(limits::rest_after(&ModelError::ContextTooLong(why))),
            },
            Some(Err(error)) => self.mend(error),
        }
    }

    /// One answer, with something said aside that is not part of the conversation; none, when
    /// somebody interrupts it.
    async fn answer(&mut self, aside: Option<&Message>) -> Option<Result<Answer, ModelError>> {
        let world = &mut *self.world;
        let mut show = |delta: crate::event::Delta<'_>| world.show(delta);
        tokio::select! {
            answer = self.model.answer(aside, &mut show) => Some(answer),
            () = self.signals.hush.raised() => None,
        }
    }

    /// Makes the conversation shorter.
    async fn compact(&mut self, wish: Wish) -> Result<(), Rest> {
        let Wish { mut compaction, summarise_to } = wish;
        self.world.busy(&["making the conversation shorter".to_owned()]);
        if let Some(steps_to) = summarise_to {
            self.conversation.tell_only(steps_to);
            self.push_messages();
            let answer = self.answer(Some(&Message::User(prompt::SUMMARISE.to_owned()))).await;
            self.conversation.tell_anew();
            self.push_messages();
            let text = match answer {
                None => return Ok(()),
                Some(Ok(answer)) => {
                    compaction.usage = answer.usage;
                    answer.text.trim().to_owned()
                }
                Some(Err(ModelError::ContextTooLong(_) | ModelError::Refused { .. })) => {
                    String::new()
                }
                Some(Err(error)) => return self.mend(error),
            };
            let text = match text.is_empty() {
                true => self.conversation.told_by_titles(steps_to),
                false => text,
            };
            compaction.summary = Some(Summary { steps_to, text });
        }
        self.tell(vec![Update::Compaction(compaction)])
    }

    /// Looks for another key or another model, after a failure that no patience helped.
    fn mend(&mut self, error: ModelError) -> Result<(), Rest> {
        match &error {
            ModelError::KeyRefused { .. } => {
                if !std::mem::replace(&mut self.is_renewed, true)
                    && self.models.renew(self.model)?
                {
                    return Ok(());
                }
                let sources = self.model.sources().join(", ");
                let text = format!("{error}; see {sources}, then git agent resume");
                return Err(Rest::NeedsInput(Question {
                    text,
                    options: Vec::new(),
                    call_id: None,
                }));
            }
            ModelError::Unavailable { .. }
            | ModelError::NotThere { .. }
            | ModelError::Refused { status: 429, .. } => {
                if let Some(other) = self.models.instead_of(self.model)? {
                    return self.go_on_with(other, error.to_string());
                }
            }
            _ => {}
        }
        Err(limits::rest_after(&error))
    }

    /// The conversation is told to the other model from its start.
    fn go_on_with(&mut self, other: Model, reason: String) -> Result<(), Rest> {
        let change = ModelChange { from: self.model.name(), to: other.name(), reason };
        *self.model = other;
        self.conversation.tell_anew();
        self.tell(vec![Update::Model(change)])
    }
}
