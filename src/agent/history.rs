//! What the model is told: the messages, and what stands for those that no longer fit.
//!
//! Invariant: whatever is made shorter, the task and what people said stay word for word, a call
//! keeps its result and an answer that is told is told whole, so every provider takes it; and the
//! same journal gives the same messages.

use std::fmt::Write as _;

use crate::agent::compact::LONGEST;
use crate::event::{Compaction, Origin};
use crate::message::{Answer, Message, PlanItem, PlanStatus, ToolResult};

/// The messages, in their order.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
    /// How many of them have been handed out.
    told: usize,
    /// Whether what was handed out before holds no longer.
    is_anew: bool,
    /// How many are to be handed out at most, the next time.
    only: Option<usize>,
    /// What was in earlier messages and is not told any more.
    forgotten: Forgotten,
}

/// What the model said and is not told any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Answers.
    pub answers: usize,
    /// Calls in them.
    pub calls: usize,
}

/// One message, and what of it must outlive it.
#[derive(Debug)]
struct Entry {
    step: u32,
    message: Message,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The task with the facts of the start.
    Task,
    /// Said by a person.
    Person,
    /// Said by the loop.
    Loop,
    Answer,
    /// What became of the calls, one each.
    Results(Vec<End>),
    /// What stands for earlier steps; with what people said in them.
    Digest(Vec<String>),
}

/// How a call ended, as far as a shorter conversation needs it.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// One line for people.
    pub(super) title: String,
    /// Whether a person has said it.
    pub(super) is_said: bool,
}

impl History {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the model is to be told since the last look; with what is to be forgotten before,
    /// where it is told from the start again.
    pub(super) fn take(&mut self) -> (Option<Forgotten>, impl Iterator<Item = &Message>) {
        let anew = std::mem::take(&mut self.is_anew).then_some(self.forgotten);
        let to = self.only.take().unwrap_or(self.entries.len());
        let from = std::mem::replace(&mut self.told, to);
        (anew, self.entries[from..to].iter().map(|entry| &entry.message))
    }

    /// Lets everything be told from the start again.
    pub(super) fn tell_anew(&mut self) {
        (self.told, self.is_anew, self.only) = (0, true, None);
    }

    /// Lets what a summary up to this step would stand for be told from the start again, alone.
    pub(super) fn tell_only(&mut self, steps_to: u32) {
        self.tell_anew();
        self.only = Some(self.cut_behind(steps_to));
    }

    pub(super) fn hear(&mut self, step: u32, from: Origin, text: String) {
        let kind = match from {
            Origin::Task => Kind::Task,
            Origin::Person => Kind::Person,
            Origin::Loop => Kind::Loop,
        };
        self.entries.push(Entry { step, message: Message::User(text), kind });
    }

    pub(super) fn answer(&mut self, step: u32, answer: Answer) {
        self.entries.push(Entry { step, message: Message::Assistant(answer), kind: Kind::Answer });
    }

    pub(super) fn results(&mut self, step: u32, ended: Vec<(ToolResult, End)>) {
        let (results, ends) = ended.into_iter().unzip();
        let message = Message::Results(results);
        self.entries.push(Entry { step, message, kind: Kind::Results(ends) });
    }

    /// The bytes of each step, oldest first: all of it, and what of it one line a result would
    /// save.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<Weight> = Vec::new();
        for entry in &self.entries {
            if weights.last().is_none_or(|last| last.step != entry.step) {
                weights.push(Weight { step: entry.step, ..Weight::default() });
            }
            let Some(weight) = weights.last_mut() else { continue };
            weight.bytes += entry.bytes();
            weight.results += entry.saved(|end| dropped(entry.step, &end.title).len());
            weight.cut += entry.saved(|_| LONGEST);
        }
        weights
    }

    /// Makes the conversation shorter.
    pub(super) fn shorten(&mut self, compaction: &Compaction, plan: &[PlanItem]) {
        for entry in &mut self.entries {
            if entry.step <= compaction.results_to {
                entry.drop_results();
            } else if let Some(longest) = compaction.longest {
                entry.cut_results(usize::try_from(longest).unwrap_or(usize::MAX));
            }
        }
        if let Some(summary) = &compaction.summary {
            self.summarise(summary.steps_to, &summary.text, plan);
        }
        self.tell_anew();
    }

    fn summarise(&mut self, steps_to: u32, text: &str, plan: &[PlanItem]) {
        let kept = self.entries.split_off(self.cut_behind(steps_to));
        let mut said = Vec::new();
        let mut begin = Vec::new();
        for entry in self.entries.drain(..) {
            match (entry.kind, entry.message) {
                (Kind::Task, message) => {
                    begin.push(Entry { step: entry.step, message, kind: Kind::Task });
                }
                (Kind::Person, Message::User(text)) => said.push(text),
                (Kind::Digest(earlier), _) => said.extend(earlier),
                (Kind::Results(ends), Message::Results(results)) => {
                    let answered = ends.into_iter().zip(results).filter(|(end, _)| end.is_said);
                    said.extend(
                        answered.map(|(end, result)| format!("{}\n{}", end.title, result.output)),
                    );
                }
                (_, Message::Assistant(answer)) => {
                    self.forgotten.answers += 1;
                    self.forgotten.calls += answer.calls.len();
                }
                _ => {}
            }
        }
        let message = Message::User(digest(steps_to, text, &said, plan));
        self.entries = begin;
        self.entries.push(Entry { step: steps_to, message, kind: Kind::Digest(said) });
        self.entries.extend(kept);
    }

    /// Where the conversation can be cut behind this step: before an answer that does not go on
    /// with the one before.
    fn cut_behind(&self, steps_to: u32) -> usize {
        let is_answer = |at: usize| matches!(self.entries[at].kind, Kind::Answer);
        (1..self.entries.len())
            .find(|at| self.entries[*at].step > steps_to && is_answer(*at) && !is_answer(at - 1))
            .unwrap_or(self.entries.len())
    }

    /// What was done in the steps up to this one, a line each, where no model tells it.
    pub(super) fn told_by_titles(&self, steps_to: u32) -> String {
        /// The last lines say most of how things stand.
        const LINES: usize = 80;
        let mut lines = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.step <= steps_to) {
            match (&entry.kind, &entry.message) {
                (Kind::Digest(_), Message::User(text)) => {
                    lines.extend(summary_in(text).lines().map(str::to_owned));
                }
                (Kind::Answer, Message::Assistant(answer)) => {
                    let said = crate::tool::output::line(&answer.text, 160);
                    if !said.is_empty() {
                        lines.push(format!("step {}: {said}", entry.step));
                    }
                }
                (Kind::Results(ends), _) => {
                    lines.extend(
                        ends.iter().map(|end| format!("step {}: {}", entry.step, end.title)),
                    );
                }
                _ => {}
            }
        }
        let left_out = lines.len().saturating_sub(LINES);
        lines.drain(..left_out);
        lines.join("\n")
    }
}

/// What a step weighs, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) step: u32,
    /// All of it.
    pub(super) bytes: usize,
    /// What one line a result would save.
    pub(super) results: usize,
    /// What it would save to cut its results to [`LONGEST`].
    pub(super) cut: usize,
}

impl Entry {
    fn bytes(&self) -> usize {
        match &self.message {
            Message::User(text) => text.len(),
            Message::Assistant(answer) => match &answer.raw {
                Some(raw) => raw.content.get().len(),
                None => {
                    let calls = answer.calls.iter();
                    answer.text.len() + calls.map(|call| call.arguments.len()).sum::<usize>()
                }
            },
            Message::Results(results) => results.iter().map(|result| result.output.len()).sum(),
        }
    }

    /// What is saved if each result comes to no more than this.
    fn saved(&self, most: impl Fn(&End) -> usize) -> usize {
        let (Kind::Results(ends), Message::Results(results)) = (&self.kind, &self.message) else {
            return 0;
        };
        let theirs = ends.iter().zip(results).filter(|(end, _)| !end.is_said);
        theirs.map(|(end, result)| result.output.len().saturating_sub(most(end))).sum()
    }

    fn drop_results(&mut self) {
        let (Kind::Results(ends), Message::Results(results)) = (&self.kind, &mut self.message)
        else {
            return;
        };
        for (end, result) in ends.iter().zip(results).filter(|(end, _)| !end.is_said) {
            let line = dropped(self.step, &end.title);
            if line.len() < result.output.len() {
                result.output = line;
            }
        }
    }

    /// A quarter of what is left is from the beginning, the rest from the end.
    fn cut_results(&mut self, longest: usize) {
        let (Kind::Results(ends), Message::Results(results)) = (&self.kind, &mut self.message)
        else {
            return;
        };
        for (_, result) in ends.iter().zip(results).filter(|(end, _)| !end.is_said) {
            let text = &result.output;
            if text.len() <= longest {
                continue;
            }
            let head = text.floor_char_boundary(longest / 4);
            let tail = text.ceil_char_boundary(text.len() - (longest - longest / 4));
            let left_out = crate::tool::output::size((tail - head) as u64);
            let cut = format!("{}\n… {left_out} left out …\n{}", &text[..head], &text[tail..]);
            if cut.len() < text.len() {
                result.output = cut;
            }
        }
    }
}

/// What stands for a result.
fn dropped(step: u32, title: &str) -> String {
    format!("(step {step}: {title}; left out to save room, run it again if you need it)\n")
}

/// What stands for the first steps: what people said in them word for word, the plan, the summary.
fn digest(steps_to: u32, text: &str, said: &[String], plan: &[PlanItem]) -> String {
    let mut digest = format!(
        "The conversation up to step {steps_to} is left out to save room. What was done in it is \
         in the files.\n"
    );
    for words in said {
        // Writing to a string cannot fail.
        _ = write!(digest, "\n<said-by-the-person>\n{}\n</said-by-the-person>\n", words.trim());
    }
    if !plan.is_empty() {
        digest.push_str("\n<plan>\n");
        for item in plan {
            let status = match item.status {
                PlanStatus::Pending => "pending",
                PlanStatus::Doing => "doing",
                PlanStatus::Done => "done",
                PlanStatus::Dropped => "dropped",
            };
            _ = writeln!(digest, "{status}: {}", item.text);
        }
        digest.push_str("</plan>\n");
    }
    _ = write!(digest, "{SUMMARY}{}\n</summary>\n", text.trim());
    digest
}

const SUMMARY: &str = "\n<summary>\n";

/// The summary in a digest.
fn summary_in(digest: &str) -> &str {
    let text = digest.rsplit_once(SUMMARY).map_or(digest, |(_, text)| text);
    text.strip_suffix("\n</summary>\n").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Summary;
    use crate::message::{PlanItem, StopReason, ToolCall};

    /// What may happen next in a conversation.
    #[derive(Clone, Debug)]
    enum Move {
        /// An answer with so many calls, each with a result of so many bytes.
        Answer(usize, usize),
        /// An answer that the provider wants to go on with.
        Paused,
        /// The person's answer to a question of the model.
        Asked(String),
        Say(String),
        Nudge,
        /// With steps counted back from the last.
        Compact {
            results: u32,
            longest: Option<u64>,
            summary: Option<u32>,
        },
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let compact = (0..9_u32, proptest::option::of(1..4000_u64), proptest::option::of(0..9_u32));
        let compact = compact.prop_map(|(results, longest, summary)| Move::Compact {
            results,
            longest,
            summary,
        });
        let one = prop_oneof![
            6 => (0..4_usize, 0..5000_usize).prop_map(|(calls, bytes)| Move::Answer(calls, bytes)),
            1 => Just(Move::Paused),
            1 => "said é{1,9}".prop_map(Move::Asked),
            1 => "words .{0,9}".prop_map(Move::Say),
            1 => Just(Move::Nudge),
            2 => compact,
        ];
        proptest::collection::vec(one, 1..60)
    }

    fn call(step: u32, index: usize) -> ToolCall {
        ToolCall { id: format!("c{step}-{index}"), name: "bash".into(), arguments: "{}".into() }
    }

    fn answer(step: u32, calls: usize, stop: StopReason) -> Answer {
        Answer {
            text: format!("answer {step}"),
            thought: String::new(),
            calls: (0..calls).map(|index| call(step, index)).collect(),
            stop,
            usage: crate::message::Usage::default(),
            raw: None,
        }
    }

    fn end(step: u32, index: usize, output: String, is_said: bool) -> (ToolResult, End) {
        let result = ToolResult { call_id: call(step, index).id, output, is_error: false };
        (result, End { title: format!("run {step}"), is_said })
    }

    /// Plays the moves; all that was said by people comes with the history.
    fn play(moves: &[Move]) -> (History, Vec<String>, u32) {
        let mut history = History::default();
        let (mut said, mut step) = (Vec::new(), 0);
        history.hear(0, Origin::Task, "<task> do it </task>".to_owned());
        for next in moves {
            match next {
                Move::Answer(calls, bytes) => {
                    step += 1;
                    history.answer(step, answer(step, *calls, StopReason::EndTurn));
                    let ends = (0..*calls).map(|it| end(step, it, "é".repeat(bytes / 2), false));
                    match calls {
                        0 => history.hear(step, Origin::Loop, "go on".to_owned()),
                        _ => history.results(step, ends.collect()),
                    }
                }
                Move::Paused => {
                    step += 1;
                    history.answer(step, answer(step, 0, StopReason::PauseTurn));
                    step += 1;
                    history.answer(step, answer(step, 1, StopReason::EndTurn));
                    history.results(step, vec![end(step, 0, "ok".to_owned(), false)]);
                }
                Move::Asked(words) => {
                    step += 1;
                    history.answer(step, answer(step, 1, StopReason::EndTurn));
                    history.results(step, vec![end(step, 0, words.clone(), true)]);
                    said.push(words.clone());
                }
                Move::Say(words) => {
                    history.hear(step, Origin::Person, words.clone());
                    said.push(words.clone());
                }
                Move::Nudge => history.hear(step, Origin::Loop, "go on".to_owned()),
                Move::Compact { results, longest, summary } => {
                    let summary = summary.map(|back| Summary {
                        steps_to: step.saturating_sub(back),
                        text: "in short".to_owned(),
                    });
                    let compaction = Compaction {
                        results_to: step.saturating_sub(*results),
                        longest: *longest,
                        summary,
                        ..Compaction::default()
                    };
                    history.shorten(&compaction, &[]);
                }
            }
        }
        (history, said, step)
    }

    proptest! {
        #[test]
        fn m08_whatever_is_left_out_every_provider_takes_what_is_told(moves in moves()) {
            let (mut history, said, step) = play(&moves);
            let before: usize = history.weights().iter().map(|weight| weight.bytes).sum();
            history.tell_anew();
            let (forgotten, messages) = history.take();
            let messages: Vec<Message> = messages.cloned().collect();
            let Message::User(task) = &messages[0] else { panic!("it begins with the task") };
            prop_assert_eq!(task, "<task> do it </task>");
            let mut answers = forgotten.unwrap().answers;
            let mut all_text = String::new();
            for (at, message) in messages.iter().enumerate() {
                match message {
                    Message::Assistant(answer) => {
                        answers += 1;
                        prop_assert_eq!(&answer.text, &format!("answer {answers}"), "in their order");
                        let goes_on = matches!(&messages[at - 1], Message::Assistant(_));
                        let is_paused = matches!(
                            &messages[at - 1],
                            Message::Assistant(Answer { stop: StopReason::PauseTurn, .. })
                        );
                        prop_assert!(!goes_on || is_paused, "two answers in a row");
                        let answered = matches!(messages.get(at + 1), Some(Message::Results(_)));
                        prop_assert_eq!(answered, !answer.calls.is_empty());
                    }
                    Message::Results(results) => {
                        let Message::Assistant(answer) = &messages[at - 1] else {
                            panic!("results without an answer")
                        };
                        let ids: Vec<_> = answer.calls.iter().map(|call| &call.id).collect();
                        let answered: Vec<_> = results.iter().map(|it| &it.call_id).collect();
                        prop_assert_eq!(ids, answered);
                        all_text.extend(results.iter().map(|it| it.output.clone() + "\n"));
                    }
                    Message::User(text) => all_text.push_str(text),
                }
            }
            prop_assert_eq!(answers, step as usize, "each answer is told or counted as forgotten");
            for words in said {
                prop_assert_eq!(all_text.matches(words.trim()).count() > 0, true, "{}", words);
            }
            let compaction = Compaction { results_to: step, ..Compaction::default() };
            history.shorten(&compaction, &[]);
            let after: usize = history.weights().iter().map(|weight| weight.bytes).sum();
            prop_assert!(after <= before, "nothing grows by being left out");
        }

        #[test]
        fn m08_the_weights_say_what_is_saved(moves in moves()) {
            let (mut history, _, step) = play(&moves);
            let weights = history.weights();
            let sum = |of: fn(&Weight) -> usize| weights.iter().map(of).sum::<usize>();
            let (bytes, results) = (sum(|it| it.bytes), sum(|it| it.results));
            history.shorten(&Compaction { results_to: step, ..Compaction::default() }, &[]);
            let after: usize = history.weights().iter().map(|weight| weight.bytes).sum();
            prop_assert_eq!(after, bytes - results);
        }
    }

    #[test]
    fn a_digest_keeps_what_people_said_the_plan_and_the_summary() {
        let (mut history, ..) = play(&[
            Move::Answer(1, 4000),
            Move::Say("Use green.".to_owned()),
            Move::Asked("the left one".to_owned()),
            Move::Answer(2, 4000),
        ]);
        let plan = [PlanItem { text: "paint".to_owned(), status: PlanStatus::Doing }];
        let summary = Some(Summary { steps_to: 2, text: "It is painted. \n".to_owned() });
        history.shorten(&Compaction { summary, ..Compaction::default() }, &plan);
        let (forgotten, mut messages) = history.take();
        assert_eq!(forgotten, Some(Forgotten { answers: 2, calls: 2 }));
        let Some(Message::User(digest)) = messages.nth(1) else { panic!("no digest") };
        let digest = digest.clone();
        drop(messages);
        assert_eq!(
            digest,
            "The conversation up to step 2 is left out to save room. What was done in it is in the \
             files.\n\n<said-by-the-person>\nUse green.\n</said-by-the-person>\n\n\
             <said-by-the-person>\nrun 2\nthe left one\n</said-by-the-person>\n\n\
             <plan>\ndoing: paint\n</plan>\n\n<summary>\nIt is painted.\n</summary>\n"
        );
        // The next one stands for this one too.
        assert_eq!(
            history.told_by_titles(3),
            "It is painted.\nstep 3: answer 3\nstep 3: run 3\nstep 3: run 3"
        );
        let summary = Some(Summary { steps_to: 3, text: "More.".to_owned() });
        history.shorten(&Compaction { summary, ..Compaction::default() }, &[]);
        let (forgotten, messages) = history.take();
        assert_eq!(forgotten, Some(Forgotten { answers: 3, calls: 4 }));
        let told: Vec<_> = messages.collect();
        let Message::User(digest) = told[1] else { panic!("no digest") };
        assert!(digest.contains("Use green.") && digest.contains("the left one"), "{digest}");
        assert!(!digest.contains("It is painted."), "the new summary says it");
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn a_long_result_keeps_both_its_ends() {
        let (mut history, ..) = play(&[Move::Answer(1, 0)]);
        let lines: String = (0..2000).map(|line| format!("{line}\n")).collect();
        history.answer(2, answer(2, 1, StopReason::EndTurn));
        history.results(2, vec![end(2, 0, lines, false)]);
        history.shorten(&Compaction { longest: Some(100), ..Compaction::default() }, &[]);
        let (_, messages) = history.take();
        let Some(Message::Results(results)) = messages.last() else { panic!("no result") };
        let output = &results[0].output;
        assert!(output.starts_with("0\n1\n2\n") && output.ends_with("1998\n1999\n"), "{output}");
        assert!(output.contains("\n… 8 KB left out …\n") && output.len() < 140, "{output}");
    }
}
