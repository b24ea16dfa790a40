//! What has happened so far, as far as the loop must know it: a fold over the journal.
//!
//! Invariant: [`Conversation::apply`] is the only way in, live and on resume, so the model is told
//! the same messages in the same order, byte for byte, however often the session was interrupted.

use std::collections::{HashSet, VecDeque};

use crate::agent::{StepWords, prompt};
use crate::event::line::Line;
use crate::event::{Event, Origin, Question, Update, UserMessage};
use crate::message::{Answer, Message, PlanItem, StopReason, ToolCall, ToolResult, Usage};
use crate::tool::{self, Toolbox};

/// The fold.
#[derive(Debug, Default)]
pub struct Conversation {
    step: u32,
    usage: Usage,
    plan: Vec<PlanItem>,
    /// What the model has not been told yet.
    messages: Vec<Message>,
    /// Said while calls were open; told after their results, as every provider demands.
    held: Vec<Message>,
    open: Vec<OpenCall>,
    /// What a person is to answer, in the order it was asked.
    questions: VecDeque<Question>,
    last: Last,
    heard: HashSet<String>,
    red_rounds: u32,
    strikes: u32,
}

#[derive(Debug)]
struct OpenCall {
    call: ToolCall,
    begun: bool,
    result: Option<ToolResult>,
}

/// The last answer, as far as the next move depends on it.
#[derive(Debug, Default)]
struct Last {
    answer: Option<Answer>,
    /// Somebody has spoken since, or results have come: the model is to be asked.
    answered: bool,
    /// What it finished with.
    summary: Option<String>,
}

/// What the loop does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the model.
    Ask,
    /// Run the calls that are open.
    Call,
    /// Tell the model this.
    Nudge(&'static str),
    /// Let the verify commands judge.
    Verify(String),
    /// Wait for a person.
    Wait(Question),
}

impl Conversation {
    /// The conversation that a journal tells of.
    pub fn replay<'e>(events: impl IntoIterator<Item = &'e Event>) -> Self {
        let events: Vec<_> = events.into_iter().collect();
        let mut conversation = Self::default();
        for event in &events {
            conversation.count(&event.update);
        }
        for event in Line::of(events).events() {
            conversation.follow(&event.update);
        }
        conversation
    }

    /// Takes in what has happened.
    pub fn apply(&mut self, update: &Update) {
        self.count(update);
        self.follow(update);
    }

    /// What no rewind takes back: what was spent, and what was heard.
    fn count(&mut self, update: &Update) {
        match update {
            Update::AgentMessage(answer) => self.usage += answer.usage,
            Update::UserMessage(message) => self.heard.extend(message.inbox_id.clone()),
            // The session that this one was forked from has paid for what came before.
            Update::Fork(_) => self.usage = Usage::default(),
            _ => {}
        }
    }

    fn follow(&mut self, update: &Update) {
        match update {
            Update::UserMessage(message) => self.hear(message),
            Update::AgentMessage(answer) => self.answer(answer),
            Update::ToolCall(call) => {
                if let Some(open) = self.open_call(&call.id) {
                    open.begun = true;
                }
            }
            Update::ToolCallUpdate(end) => self.result(end.result.clone()),
            Update::Plan(items) => self.plan.clone_from(items),
            Update::Question(question) => self.questions.push_back(question.clone()),
            Update::Verify(record) if record.exit != 0 => self.red_rounds += 1,
            Update::Verify(_)
            | Update::Checkpoint(_)
            | Update::State(_)
            | Update::Waiting(_)
            | Update::Rewind(_)
            | Update::Fork(_)
            | Update::Notice(_)
            | Update::Unknown => {}
        }
    }

    /// What the loop does next.
    pub fn next(&self) -> Next {
        if let Some(question) = self.questions.front() {
            return Next::Wait(question.clone());
        }
        if !self.open.is_empty() {
            return Next::Call;
        }
        let Some(answer) = self.last.answer.as_ref().filter(|_| !self.last.answered) else {
            return self.last.summary.clone().map_or(Next::Ask, Next::Verify);
        };
        match answer.stop {
            StopReason::PauseTurn => Next::Ask,
            StopReason::Refusal => Next::Wait(declined(answer)),
            StopReason::MaxTokens => Next::Nudge(prompt::CUT_OFF),
            StopReason::EndTurn | StopReason::ToolUse if answer.text.trim().is_empty() => {
                Next::Nudge(prompt::EMPTY)
            }
            StopReason::EndTurn | StopReason::ToolUse => {
                Next::Verify(answer.text.trim().to_owned())
            }
        }
    }

    /// The calls to run next, together: all reading ones up to the first that writes, or that one.
    pub fn next_calls(&self, reads_only: impl Fn(&ToolCall) -> bool) -> Vec<ToolCall> {
        let mut waiting = self.open.iter().filter(|open| !open.begun).map(|open| &open.call);
        let mut group: Vec<ToolCall> =
            waiting.clone().take_while(|call| reads_only(call)).cloned().collect();
        if group.is_empty() {
            group.extend(waiting.next().cloned());
        }
        group
    }

    /// The calls that had begun when the session was interrupted and that nobody can say the end
    /// of. Those that may be run again are as if they had not begun.
    pub fn lost_calls(&mut self, is_repeatable: impl Fn(&ToolCall) -> bool) -> Vec<ToolCall> {
        let questions = &self.questions;
        let is_asked = |id: &str| questions.iter().any(|it| it.call_id.as_deref() == Some(id));
        let mut lost = Vec::new();
        for open in self.open.iter_mut().filter(|open| open.begun && open.result.is_none()) {
            if is_asked(&open.call.id) {
                // A person is to give its result.
            } else if is_repeatable(&open.call) {
                open.begun = false;
            } else {
                lost.push(open.call.clone());
            }
        }
        lost
    }

    /// Whether nothing has happened yet: the task is still to be said.
    pub fn is_new(&self) -> bool {
        self.step == 0 && self.messages.is_empty()
    }

    /// What the model is to be told since the last look.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// The step the session is in, counted from 1; 0 before the first answer.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Tokens used so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The plan as it stands.
    pub fn plan(&self) -> &[PlanItem] {
        &self.plan
    }

    /// Whether the model waits for a person's answer.
    pub fn is_asking(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Whether this message of the inbox has been delivered.
    pub fn has_heard(&self, inbox_id: &str) -> bool {
        self.heard.contains(inbox_id)
    }

    /// How often verify has failed since a person last spoke.
    pub fn red_rounds(&self) -> u32 {
        self.red_rounds
    }

    /// How many answers in a row were of no use: empty, cut off, or with calls that made no sense.
    pub fn strikes(&self) -> u32 {
        self.strikes
    }

    /// Whether the last answer hit its length limit: then nothing of it is to be run.
    pub fn was_cut_off(&self) -> bool {
        self.last.answer.as_ref().is_some_and(|answer| answer.stop == StopReason::MaxTokens)
    }

    /// The step in words, for its commit.
    pub fn step_words(&self, tools: &Toolbox) -> StepWords {
        let Some(answer) = &self.last.answer else { return StepWords::default() };
        let calls = answer.calls.iter().map(|call| tools.title(call)).collect();
        StepWords { step: self.step, said: answer.text.clone(), calls }
    }

    fn hear(&mut self, message: &UserMessage) {
        if message.from == Origin::Person {
            (self.red_rounds, self.strikes) = (0, 0);
            let asked = self.questions.pop_front().and_then(|question| question.call_id);
            if let Some(call_id) = asked {
                // The answer to a question of the model is the result of the call that asked.
                let output = message.text.clone();
                return self.result(ToolResult { call_id, output, is_error: false });
            }
        }
        self.last.answered = true;
        self.last.summary = None;
        let message = Message::User(message.text.clone());
        if self.open.is_empty() { self.messages.push(message) } else { self.held.push(message) }
    }

    fn answer(&mut self, answer: &Answer) {
        self.end_open_calls();
        self.step += 1;
        let of_use = answer.stop != StopReason::MaxTokens
            && !(answer.calls.is_empty() && answer.text.trim().is_empty());
        self.strikes = if of_use { self.strikes } else { self.strikes + 1 };
        let open = |call: &ToolCall| OpenCall { call: call.clone(), begun: false, result: None };
        self.open = answer.calls.iter().map(open).collect();
        self.last = Last { answer: Some(answer.clone()), answered: false, summary: None };
        self.messages.push(Message::Assistant(answer.clone()));
    }

    fn result(&mut self, result: ToolResult) {
        let is_error = result.is_error;
        let Some(open) = self.open_call(&result.call_id) else { return };
        open.begun = true;
        let understood = tool::understands(&open.call);
        let summary = tool::summary_of(&open.call).filter(|_| !is_error);
        open.result = Some(result);
        self.strikes = match understood {
            true if self.was_cut_off() => self.strikes,
            true => 0,
            false => self.strikes + 1,
        };
        self.last.summary = summary.or(self.last.summary.take());
        if self.open.iter().all(|open| open.result.is_some()) {
            let results = self.open.drain(..).filter_map(|open| open.result).collect();
            self.messages.push(Message::Results(results));
            self.messages.append(&mut self.held);
            self.last.answered = true;
        }
    }

    /// Where a damaged journal lacks the end of a call: no provider takes a call without a result.
    fn end_open_calls(&mut self) {
        while let Some(open) = self.open.iter().find(|open| open.result.is_none()) {
            let (call_id, output) = (open.call.id.clone(), prompt::INTERRUPTED.to_owned());
            self.result(ToolResult { call_id, output, is_error: true });
        }
    }

    fn open_call(&mut self, id: &str) -> Option<&mut OpenCall> {
        self.open.iter_mut().find(|open| open.call.id == id && open.result.is_none())
    }
}

fn declined(answer: &Answer) -> Question {
    let said = answer.text.trim().lines().next().unwrap_or("it gave no reason");
    Question { text: format!("the model declined: {said}"), options: Vec::new(), call_id: None }
}
