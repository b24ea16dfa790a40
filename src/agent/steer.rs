//! What people say to a session while it runs.
//!
//! Invariant: a message is journalled before it is taken away, so each is heard once, in its order;
//! what was said before a question was seen is no answer to it.

use super::{Agent, Moment, Rest, World};
use crate::event::{self, Decision, Limit, Origin, Question, QuestionKind, Update, Verdict};

/// What somebody wants of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Steer {
    /// Hear this.
    Say {
        /// The message's id in the inbox.
        id: String,
        /// What is said.
        text: String,
    },
    /// Hear this as the answer to what the model asks.
    Answer {
        /// The message's id in the inbox.
        id: String,
        /// What is said.
        text: String,
        /// The number of the question; none for whichever is asked.
        question: Option<u32>,
    },
    /// This was decided; the decision has the message's id.
    Decide(Decision),
    /// This limit holds from now on.
    Limit {
        /// The message's id in the inbox.
        id: String,
        /// Which one.
        limit: Limit,
        /// How much there may be in all; none for no limit.
        to: Option<f64>,
    },
    /// Keep the place and rest.
    Pause,
    /// End here.
    Stop,
}

impl Steer {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Say { id, .. } | Self::Answer { id, .. } | Self::Limit { id, .. } => Some(id),
            Self::Decide(decision) => decision.inbox_id.as_deref(),
            Self::Pause | Self::Stop => None,
        }
    }
}

impl<W: World> Agent<'_, W> {
    /// Delivers what people have said since the last look, and says whether that was anything; a
    /// pause or a stop ends the run.
    pub(super) fn steer(&mut self, at: Moment) -> Result<bool, Rest> {
        self.signals.hush.lower();
        let (mut is_paused, mut is_stopped, mut heard) = (false, false, false);
        let mut waiting = Vec::new();
        let mut denied = None;
        for message in self.world.inbox(at)? {
            // Journalled by a run that died before it could take the message away.
            if let Some(id) = message.id().filter(|id| self.conversation.has_heard(id)) {
                self.world.delivered(id)?;
                continue;
            }
            match message {
                Steer::Say { id, text } => waiting.push((id, text)),
                Steer::Answer { id, text, question } => match self.is_answer(question) {
                    Some(true) => {
                        self.hear(Origin::Person, text, Some(id.clone()))?;
                        self.world.delivered(&id)?;
                        heard = true;
                    }
                    Some(false) => self.too_late(&id, &text)?,
                    None => waiting.push((id, text)),
                },
                Steer::Decide(decision) => {
                    denied = denied.or(self.decide(decision)?);
                    heard = true;
                }
                Steer::Limit { id, limit, to } => {
                    let change = self.new_limit(limit, to, Some(id.clone()))?;
                    self.tell(vec![Update::Limit(change)])?;
                    self.world.delivered(&id)?;
                }
                Steer::Pause => is_paused = true,
                Steer::Stop => is_stopped = true,
            }
        }
        // Said before a question was seen: no answer to it, so it waits for the answer.
        if self.conversation.asked().is_none() {
            for (id, text) in waiting {
                self.hear(Origin::Person, text, Some(id.clone()))?;
                self.world.delivered(&id)?;
                heard = true;
            }
        }
        // A stop outranks a pause, whichever was said first.
        if is_stopped || self.signals.stop.is_raised() {
            return Err(Rest::Stopped);
        }
        // What has nothing left to do rests by itself.
        if is_paused && (heard || at == Moment::Step) {
            return Err(Rest::Paused { reason: event::BY_HAND.to_owned() });
        }
        denied.map_or(Ok(heard), |reason| Err(Rest::Paused { reason }))
    }

    /// Whether words for this question answer what is asked now; none where they are words like
    /// any other.
    fn is_answer(&self, question: Option<u32>) -> Option<bool> {
        let asked = self.conversation.asked().filter(|asked| asked.kind.is_for_words());
        match question {
            None => asked.map(|_| true),
            Some(number) => Some(asked.is_some_and(|asked| asked.number == number)),
        }
    }

    /// Carries out a decision; gives the reason to rest, where what is needed to go on was denied.
    fn decide(&mut self, decision: Decision) -> Result<Option<String>, Rest> {
        let id = decision.inbox_id.clone().unwrap_or_default();
        let asked = self.conversation.asked().filter(|asked| asked.number == decision.question);
        let Some(question) = asked.filter(|asked| asked.kind.is_decision()).cloned() else {
            self.too_late(&id, if decision.verdict.is_yes() { "yes" } else { "no" })?;
            return Ok(None);
        };
        let denied = why_denied(&question, &decision);
        let change = self.limit_after(&question, decision.verdict)?;
        let updates = [Update::Decision(decision)].into_iter().chain(change.map(Update::Limit));
        self.tell(updates.collect())?;
        self.world.delivered(&id)?;
        Ok(denied)
    }

    /// Somebody else was faster: the question that this answers is answered.
    fn too_late(&mut self, id: &str, text: &str) -> Result<(), Rest> {
        let notice = format!("an answer came when its question had been answered: {text}");
        self.tell(vec![Update::Notice(notice)])?;
        Ok(self.world.delivered(id)?)
    }
}

/// Why it rests, where a limit is not raised.
pub fn why_denied(question: &Question, decision: &Decision) -> Option<String> {
    if question.kind != QuestionKind::Limit || decision.verdict != Verdict::Denied {
        return None;
    }
    // A question of an older program has it in its text alone.
    let first = || question.text.split(';').next().unwrap_or_default();
    let reached = question.reached.as_deref().unwrap_or_else(first);
    Some(match decision.reason.as_str() {
        "" => format!("{reached}, and more was denied"),
        reason => format!("{reached}, and more was denied: {reason}"),
    })
}
