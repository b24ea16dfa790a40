//! To ask the model, and what to do where it does not answer.
//!
//! Invariant: a request that is doomed is not sent again: another one goes out only with another
//! key, a shorter conversation or another model, and what was changed is in the journal where it
//! decides what the model is told. A wait that a person interrupts leaves everything as it was.

use crate::agent::compact::Wish;
use crate::agent::limits::Room;
use crate::agent::{Agent, Fault, Rest, World, limits, prompt};
use crate::cancel::Cancel;
use crate::event::{Delta, ModelChange, Question, QuestionKind, Summary, Unfinished, Update};
use crate::message::{Answer, Message, Usage};
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
    /// One answer of the model; none, when somebody interrupts it, a limit is reached, or something
    /// was changed so that it can be asked again.
    pub(super) async fn ask(&mut self) -> Result<(), Rest> {
        let Some(room) = self.look_at_limits()? else { return Ok(()) };
        if let Some(wish) = self.conversation.due(self.model.context_window()) {
            return self.compact(wish, &room).await;
        }
        if self.conversation.was_cut_off() {
            self.model.raise_output_limit();
        }
        match self.answer(None, &room).await? {
            None => Ok(()),
            Some(Ok(answer)) => {
                self.is_renewed = false;
                self.tell(vec![Update::AgentMessage(answer)])
            }
            Some(Err(ModelError::ContextTooLong(why))) => match self.conversation.overflow(&why) {
                Some(wish) => self.compact(wish, &room).await,
                None => Err(limits::rest_after(&ModelError::ContextTooLong(why))),
            },
            Some(Err(error)) => self.mend(&error),
        }
    }

    /// One answer, with something said aside that is not part of the conversation; none, when
    /// somebody interrupts it or there is no room for another try. What did not come to its end is
    /// journalled.
    async fn answer(
        &mut self,
        aside: Option<&Message>,
        room: &Room,
    ) -> Result<Option<Result<Answer, ModelError>>, Rest> {
        let over = Cancel::default();
        let world = &mut *self.world;
        let mut heard = Heard::default();
        let mut show = |delta: Delta<'_>| {
            heard.take(delta);
            if matches!(delta, Delta::Waiting(_)) && room.is_used_up(&heard.lost, world) {
                over.raise();
            }
            world.show(delta);
        };
        let answer = tokio::select! {
            biased;
            answer = self.model.answer(aside, &mut show) => Some(answer),
            () = self.signals.hush.raised() => None,
            () = over.raised() => None,
        };
        let failed = !matches!(answer, Some(Ok(_)));
        let cut_short = answer.is_none() && !over.is_raised() && aside.is_none();
        self.tell(heard.unfinished(failed, cut_short))?;
        Ok(answer)
    }

    /// Makes the conversation shorter.
    async fn compact(&mut self, wish: Wish, room: &Room) -> Result<(), Rest> {
        let Wish { mut compaction, summarise_to } = wish;
        self.world.busy(&["making the conversation shorter".to_owned()]);
        if let Some(steps_to) = summarise_to {
            self.conversation.tell_only(steps_to);
            self.push_messages();
            let request = Message::User(prompt::SUMMARISE.to_owned());
            let answer = self.answer(Some(&request), room).await?;
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
                Some(Err(error)) => return self.mend(&error),
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
    fn mend(&mut self, error: &ModelError) -> Result<(), Rest> {
        match error {
            ModelError::KeyRefused { .. } => {
                if !std::mem::replace(&mut self.is_renewed, true)
                    && self.models.renew(self.model)?
                {
                    return Ok(());
                }
                let sources = self.model.sources().join(", ");
                let text = format!("{error}; see {sources}, then git agent resume");
                return Err(Rest::NeedsInput(Box::new(Question {
                    text,
                    kind: QuestionKind::Key,
                    ..Question::default()
                })));
            }
            ModelError::Unavailable { .. }
            | ModelError::NotThere { .. }
            | ModelError::Refused { status: 429, .. } => match self.models.instead_of(self.model) {
                Ok(Some(other)) => return self.go_on_with(other, error.to_string()),
                Ok(None) => {}
                Err(Fault(why)) => {
                    let reason = format!("{error}; nor can another model go on: {why}");
                    return Err(Rest::Paused { reason });
                }
            },
            _ => {}
        }
        Err(limits::rest_after(error))
    }

    /// The conversation is told to the other model from its start.
    fn go_on_with(&mut self, other: Model, reason: String) -> Result<(), Rest> {
        let change =
            ModelChange { from: self.model.name(), to: other.name(), reason, lasting: false };
        *self.model = other;
        self.conversation.tell_anew();
        self.tell(vec![Update::Model(change)])
    }
}

/// What has come of an answer so far.
#[derive(Debug, Default)]
struct Heard {
    /// What the model has said in this try.
    said: String,
    /// What this try has cost.
    usage: Usage,
    /// What the tries that failed have cost.
    lost: Vec<Usage>,
}

impl Heard {
    fn take(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Text(text) => self.said.push_str(text),
            Delta::Usage(usage) => self.usage = usage,
            Delta::Waiting(_) => {
                self.said.clear();
                self.lost.push(std::mem::take(&mut self.usage));
            }
            Delta::Thought(_) | Delta::Call(_) => {}
        }
    }

    /// What did not come to its end: the tries that failed, and the last one where it did too. A
    /// person who cut it short may want to know what it was saying.
    fn unfinished(mut self, failed: bool, cut_short: bool) -> Vec<Update> {
        let text = if cut_short { self.said.trim().to_owned() } else { String::new() };
        if failed {
            self.lost.push(self.usage);
        }
        let last = Unfinished { text, usage: self.lost.pop().unwrap_or_default() };
        let lost = self.lost.into_iter().map(|usage| Unfinished { text: String::new(), usage });
        let unfinished = lost.chain([last]).filter(|it| *it != Unfinished::default());
        unfinished.map(Update::Unfinished).collect()
    }
}
