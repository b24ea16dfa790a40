//! What has happened so far, as far as the loop must know it: a fold over the journal.
//!
//! Invariant: [`Conversation::apply`] is the only way in, live and on resume, so the model is told
//! the same messages in the same order, byte for byte, however often the session was interrupted.

use std::collections::{HashMap, HashSet};

use super::limits::Account;
use super::question::Questions;
use crate::agent::compact::{self, Fill, Wish};
use crate::agent::history::{End, Forgotten, History};
use crate::agent::hold::Consent;
use crate::agent::network::Hosts;
use crate::agent::progress::Progress;
use crate::agent::stuck::Circle;
use crate::agent::{StepWords, prompt};
use crate::event::line::Line;
use crate::event::{
    Compaction, Decision, Event, Origin, Question, QuestionKind, Update, UserMessage, Verdict,
};
use crate::message::{Answer, Message, PlanItem, StopReason, ToolCall, ToolResult, Usage};
use crate::tool::{self, Toolbox};

/// The fold.
#[derive(Debug, Default)]
pub struct Conversation {
    step: u32,
    usage: Usage,
    plan: Vec<PlanItem>,
    /// What the model is told.
    history: History,
    /// Said while calls were open; told after their results, as every provider demands.
    held: Vec<(Origin, String)>,
    open: Vec<OpenCall>,
    /// How much was asked so far.
    asked: u32,
    /// What a person is to answer.
    questions: Questions,
    /// Calls that a person has approved.
    approved: HashMap<String, String>,
    /// What they have approved for good, as it was asked.
    always: HashSet<String>,
    /// What people have said of paths.
    consent: Consent,
    hosts: Hosts,
    /// What the limits are, and what of them was said.
    account: Account,
    /// What the model was saying when it was cut short, until somebody speaks.
    begun: String,
    last: Last,
    heard: HashSet<String>,
    red_rounds: u32,
    strikes: u32,
    circle: Circle,
    progress: Progress,
    /// Tokens of the last request and its answer; 0 where nobody has counted.
    context: u64,
    /// The step at which the conversation was made shorter, and at which a summary was made.
    compacted: Option<u32>,
    summarised: Option<u32>,
    /// The model that goes on in place of the session's own.
    stand_in: Option<String>,
}

#[derive(Debug)]
struct OpenCall {
    call: ToolCall,
    begun: bool,
    result: Option<(ToolResult, End)>,
}

/// The last answer, as far as the next move depends on it.
#[derive(Debug, Default)]
struct Last {
    answer: Option<Answer>,
    /// Somebody has spoken since, or results have come: the model is to be asked.
    answered: bool,
    /// Somebody has spoken while its calls ran.
    spoken: bool,
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
    /// Ask a person this.
    Question(Question),
    /// Wait for the person who was asked.
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

    /// Takes in of what has happened only what no rewind takes back: what was spent, what was heard,
    /// and what a person has allowed.
    pub fn count(&mut self, update: &Update) {
        match update {
            Update::AgentMessage(answer) => self.usage += answer.usage,
            Update::Unfinished(unfinished) => self.usage += unfinished.usage,
            Update::Compaction(made) => self.usage += made.usage,
            Update::UserMessage(message) => self.heard.extend(message.inbox_id.clone()),
            Update::Question(_) => self.asked += 1,
            Update::Decision(decision) => self.heard.extend(decision.inbox_id.clone()),
            Update::Limit(change) => {
                self.heard.extend(change.inbox_id.clone());
                self.account.change(change);
            }
            Update::LimitMark(mark) => self.account.mark(mark),
            Update::Worked(millis) => self.account.worked += millis,
            // The session that this one was forked from has paid for what came before.
            Update::Fork(fork) => {
                self.usage = Usage::default();
                self.account = Account::after(fork.step);
            }
            _ => {}
        }
    }

    fn follow(&mut self, update: &Update) {
        match update {
            Update::UserMessage(message) => self.hear(message),
            Update::AgentMessage(answer) => self.answer(answer),
            Update::ToolCall(call) => {
                if let Some(open) = open_call(&mut self.open, &call.id) {
                    open.begun = true;
                }
            }
            Update::ToolCallUpdate(end) => {
                self.result(end.result.clone(), End { title: end.title.clone(), is_said: false });
            }
            Update::Plan(items) => self.plan.clone_from(items),
            Update::Question(question) => {
                self.questions.ask(question);
                self.hosts.ask(question);
            }
            Update::Decision(decision) => self.decide(decision),
            Update::Limit(change) => self.say(Origin::Loop, prompt::limit_changed(change)),
            // What cannot be counted is none of the model's business.
            Update::LimitMark(mark) if mark.percent > 0 => {
                self.say(Origin::Loop, prompt::limit_mark(mark));
            }
            Update::Unfinished(unfinished) => self.begun.clone_from(&unfinished.text),
            Update::Verify(record) if record.exit != 0 => self.red_rounds += 1,
            Update::Verify(_) => self.progress.check_passed(),
            Update::Compaction(compaction) => self.compact(compaction),
            Update::Model(change) => self.stand_in = Some(change.to.clone()),
            // Who goes on after a rest begins with the session's own model again, and as new.
            Update::State(change) if change.is_rest() => {
                self.stand_in = None;
                self.circle.break_out();
                self.progress.begin_anew();
            }
            Update::PutBack(put_back) => {
                self.consent.is_put_back();
                self.say(Origin::Loop, prompt::put_back(put_back));
            }
            Update::Checkpoint(made) => {
                self.circle.break_out();
                self.progress.tree_changed();
                self.consent.settle();
                if let Some(by) = made.by_person {
                    let text = prompt::done_by_person(made, by);
                    self.hear(&UserMessage { from: Origin::Loop, text, inbox_id: None });
                }
            }
            // What was said of the other session is not said of this one.
            Update::Fork(_) => self.hosts = Hosts::default(),
            Update::State(_)
            | Update::Waiting(_)
            | Update::LimitMark(_)
            | Update::Worked(_)
            | Update::Rewind(_)
            | Update::Network(_)
            | Update::PullRequest(_)
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
            let notice = || self.circle.notice().or_else(|| self.progress.notice());
            let ask = || notice().map_or(Next::Ask, Next::Nudge);
            return self.last.summary.clone().map_or_else(ask, Next::Verify);
        };
        match answer.stop {
            StopReason::PauseTurn => Next::Ask,
            StopReason::Refusal => Next::Question(declined(answer)),
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
        let mut lost = Vec::new();
        for open in self.open.iter_mut().filter(|open| open.begun && open.result.is_none()) {
            if questions.is_for(&open.call.id) {
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
        self.step == 0 && self.history.is_empty()
    }

    /// What the model is to be told since the last look; where it is told from the start again,
    /// with what it is to forget before.
    pub fn take_messages(&mut self) -> (Option<Forgotten>, impl Iterator<Item = &Message>) {
        self.history.take()
    }

    /// Lets the model be told everything from the start again.
    pub fn tell_anew(&mut self) {
        self.history.tell_anew();
    }

    /// How the conversation is to be made shorter for a window of so many tokens, if it is.
    pub(super) fn due(&self, window: Option<u64>) -> Option<Wish> {
        let rests = self.compacted.is_some_and(|step| self.step < step + compact::REST);
        let fill = Fill { window: window?, used: self.context };
        if !fill.hurts() {
            return None;
        }
        // A paused answer is to go back as it is.
        let waits = self.last.answer.as_ref().is_some_and(|it| it.stop == StopReason::PauseTurn);
        if rests || waits { None } else { compact::due(&self.history.weights(), fill) }
    }

    /// What is left to be done where the server says that the conversation is too long.
    pub(super) fn overflow(&self, why: &str) -> Option<Wish> {
        let wish = compact::overflow(&self.history.weights(), why)?;
        let tried = self.summarised.is_some_and(|step| self.step < step + compact::REST);
        Some(wish).filter(|wish| !tried || wish.summarise_to.is_none())
    }

    /// Lets the model be told what a summary up to this step would stand for, alone.
    pub(super) fn tell_only(&mut self, steps_to: u32) {
        self.history.tell_only(steps_to);
    }

    /// What was done up to this step, where no model tells it.
    pub(super) fn told_by_titles(&self, steps_to: u32) -> String {
        self.history.told_by_titles(steps_to)
    }

    /// The model that goes on in place of the session's own, `provider/model`.
    pub fn stand_in(&self) -> Option<&str> {
        self.stand_in.as_deref()
    }

    /// The step the session is in, counted from 1; 0 before the first answer.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Tokens used so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Time at work so far, in milliseconds.
    pub fn worked(&self) -> u64 {
        self.account.worked
    }

    /// The plan as it stands.
    pub fn plan(&self) -> &[PlanItem] {
        &self.plan
    }

    /// What a person is asked now, before anything else goes on.
    pub fn asked(&self) -> Option<&Question> {
        self.questions.front()
    }

    /// How much a person was asked so far.
    pub fn questions(&self) -> u32 {
        self.asked
    }

    /// What people have said of hosts.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Whether a person has approved this call by this question, or the like of it for good.
    pub fn is_permitted(&self, call_id: &str, text: &str) -> bool {
        self.always.contains(text) || self.approved.get(call_id).is_some_and(|it| it == text)
    }

    /// What people have said of paths.
    pub fn consent(&self) -> &Consent {
        &self.consent
    }

    /// Whether changes wait for an answer before they are committed.
    pub(super) fn is_held(&self) -> bool {
        self.questions.hold_changes()
    }

    /// What the limits are, and what of them was said.
    pub(super) fn account(&self) -> &Account {
        &self.account
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

    /// Whether this call has given the same so often that it is not to be run once more.
    pub(super) fn refuses(&self, call: &ToolCall) -> bool {
        self.circle.refuses(call)
    }

    /// Why a person is to look, where it gets nowhere, though the model was told.
    pub(super) fn hopeless(&self) -> Option<&'static str> {
        self.circle.hopeless().or_else(|| self.progress.hopeless())
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
            self.circle.break_out();
            self.progress.begin_anew();
            let asked = self.questions.hear();
            if let Some(Question { text, call_id: Some(call_id), .. }) = asked {
                // The answer to a question of the model is the result of the call that asked.
                let output = message.text.clone();
                let end = End { title: format!("You asked: {text}"), is_said: true };
                return self.result(ToolResult { call_id, output, is_error: false }, end);
            }
        }
        if message.from == Origin::Loop && message.text == prompt::IN_A_CIRCLE {
            self.circle.was_told();
        }
        if message.from == Origin::Loop {
            self.progress.was_told(&message.text);
        }
        self.last.answered = true;
        self.last.spoken = true;
        self.last.summary = None;
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            self.say(Origin::Loop, prompt::cut_short(&begun));
        }
        self.say(message.from, message.text.clone());
    }

    /// Tells the model something; what calls gave comes first.
    fn say(&mut self, from: Origin, text: String) {
        match self.open.is_empty() {
            true => self.history.hear(self.step, from, text),
            false => self.held.push((from, text)),
        }
    }

    fn decide(&mut self, decision: &Decision) {
        let Some(question) = self.questions.decide(decision) else { return };
        self.consent.decide(&question, decision);
        if let Some(text) = self.hosts.decide(&question, decision) {
            self.say(Origin::Loop, text);
        }
        if let Some(limit) = question.limit
            && (decision.verdict.is_yes() || decision.verdict == Verdict::Withdrawn)
        {
            self.account.is_raised(limit);
        }
        let (Some(call_id), QuestionKind::Permission) = (question.call_id, question.kind) else {
            return;
        };
        if decision.verdict.is_yes() {
            // It is to run as if it had not been asked about.
            if let Some(open) = open_call(&mut self.open, &call_id) {
                open.begun = false;
            }
            if decision.verdict == Verdict::Always {
                self.always.insert(question.text.clone());
            }
            self.approved.insert(call_id, question.text);
        } else {
            let output = prompt::denied(&decision.reason);
            let end = End { title: format!("You were denied: {}", question.text), is_said: true };
            self.result(ToolResult { call_id, output, is_error: true }, end);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        self.end_open_calls();
        self.begun.clear();
        self.progress.step();
        self.step += 1;
        self.context = answer.usage.input + answer.usage.output;
        let of_use = answer.stop != StopReason::MaxTokens
            && !(answer.calls.is_empty() && answer.text.trim().is_empty());
        self.strikes = if of_use { self.strikes } else { self.strikes + 1 };
        let open = |call: &ToolCall| OpenCall { call: call.clone(), begun: false, result: None };
        self.open = answer.calls.iter().map(open).collect();
        self.last = Last { answer: Some(answer.clone()), ..Last::default() };
        self.history.answer(self.step, answer.clone());
    }

    fn result(&mut self, result: ToolResult, end: End) {
        let is_error = result.is_error;
        let Some(open) = open_call(&mut self.open, &result.call_id) else { return };
        open.begun = true;
        let understood = tool::understands(&open.call);
        let summary = tool::summary_of(&open.call).filter(|_| !is_error);
        self.circle.take(&open.call, &result);
        self.progress.take(&open.call, &result);
        open.result = Some((result, end));
        self.strikes = match understood {
            true if self.was_cut_off() => self.strikes,
            true => 0,
            false => self.strikes + 1,
        };
        self.last.summary = summary.or(self.last.summary.take());
        if self.open.iter().all(|open| open.result.is_some()) {
            let ended = self.open.drain(..).filter_map(|open| open.result).collect();
            self.history.results(self.step, ended);
            if self.last.spoken {
                // One more reason to go on, though it says that it has finished.
                self.last.summary = None;
            }
            for (from, text) in self.held.drain(..) {
                self.history.hear(self.step, from, text);
            }
            self.last.answered = true;
        }
    }

    fn compact(&mut self, compaction: &Compaction) {
        self.context = 0;
        self.compacted = Some(self.step);
        if compaction.summary.is_some() {
            self.summarised = Some(self.step);
        }
        self.history.shorten(compaction, &self.plan);
    }

    /// Where a damaged journal lacks the end of a call: no provider takes a call without a result.
    fn end_open_calls(&mut self) {
        while let Some(open) = self.open.iter().find(|open| open.result.is_none()) {
            let (call_id, output) = (open.call.id.clone(), prompt::INTERRUPTED.to_owned());
            let end = End { title: open.call.name.clone(), is_said: false };
            self.result(ToolResult { call_id, output, is_error: true }, end);
        }
    }
}

fn declined(answer: &Answer) -> Question {
    let said = answer.text.trim().lines().next().unwrap_or("it gave no reason");
    Question {
        text: format!("the model declined: {said}"),
        kind: QuestionKind::Declined,
        ..Question::default()
    }
}

/// The call with this id that has no result yet.
fn open_call<'o>(open: &'o mut [OpenCall], id: &str) -> Option<&'o mut OpenCall> {
    open.iter_mut().find(|open| open.call.id == id && open.result.is_none())
}
