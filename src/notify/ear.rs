//! From what happens in a session to what a person is told of it.
//!
//! Invariant: one notice for each move to a state and for each finished item of the plan, whoever
//! listens; what a move is about is in the state, which is written right behind it.

use std::collections::BTreeSet;

use super::Notice;
use crate::config::Occasion;
use crate::event::{self, Event, Question, QuestionKind, StateChange, Update};
use crate::message::{PlanItem, PlanStatus};

/// Listens to the events of one session.
#[derive(Debug)]
pub struct Ear {
    session: String,
    /// Items of the plan that were told of, so that none is a milestone twice.
    finished: BTreeSet<String>,
    /// The last move, where it is not told yet.
    moved: Option<Moved>,
}

#[derive(Debug)]
struct Moved {
    event: Event,
    change: StateChange,
    has_waited: bool,
}

/// Where the session is, as its state's file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    /// The phase.
    pub phase: &'a str,
    /// What it asks.
    pub question: Option<&'a Question>,
    /// What the agent said at the end.
    pub summary: &'a str,
}

impl Ear {
    /// For this session, in which these items of the plan are finished already.
    pub fn new(session: &str, finished: impl IntoIterator<Item = String>) -> Self {
        Self { session: session.to_owned(), finished: finished.into_iter().collect(), moved: None }
    }

    /// Takes in an event and gives what is to be told at once. A move of the session waits for
    /// [`Ear::settle`]; one that another follows at once is told by nobody: it is history.
    pub fn hear(&mut self, event: &Event) -> Vec<Notice> {
        match &event.update {
            Update::State(change) => {
                let change = change.clone();
                self.moved = Some(Moved { event: event.clone(), change, has_waited: false });
                Vec::new()
            }
            Update::Plan(items) => self.milestones(event, items),
            Update::LimitMark(mark) if mark.percent == event::NOTICED => vec![Notice {
                title: format!("{} has used {} % of a limit", self.session, mark.percent),
                text: mark.text.clone(),
                ..self.notice(Occasion::Budget, event, &["status"])
            }],
            _ => Vec::new(),
        }
    }

    /// Whether a move is still to be told.
    pub fn is_waiting(&self) -> bool {
        self.moved.is_some()
    }

    /// The notice of the last move, once the state's file has caught up with it. That is waited
    /// for once, and not where nothing more `will_come`.
    pub fn settle(&mut self, standing: &Standing<'_>, will_come: bool) -> Option<Notice> {
        let mut moved = self.moved.take()?;
        let is_behind = standing.phase != moved.change.to;
        if is_behind && will_come && !moved.has_waited {
            moved.has_waited = true;
            self.moved = Some(moved);
            return None;
        }
        let standing = if is_behind { Standing::default() } else { *standing };
        self.of_move(&moved, &standing)
    }

    /// The items of the plan that were told of.
    pub fn finished(&self) -> impl Iterator<Item = &str> {
        self.finished.iter().map(String::as_str)
    }

    fn milestones(&mut self, event: &Event, items: &[PlanItem]) -> Vec<Notice> {
        let counted = |item: &&PlanItem| item.status != PlanStatus::Dropped;
        let total = items.iter().filter(counted).count();
        let done = items.iter().filter(|item| item.status == PlanStatus::Done);
        let share = format!("{} of {total}", done.clone().count());
        let new: Vec<_> = done.filter(|item| self.finished.insert(item.text.clone())).collect();
        let notice = |item: &PlanItem| Notice {
            title: format!("{} has finished {share}", self.session),
            text: item.text.clone(),
            ..self.notice(Occasion::Milestone, event, &["status"])
        };
        new.into_iter().map(notice).collect()
    }

    fn of_move(&self, moved: &Moved, standing: &Standing<'_>) -> Option<Notice> {
        let Moved { event, change, .. } = moved;
        let id = &self.session;
        let notice = match change.to.as_str() {
            "needs-input" => Notice {
                title: format!("{id} needs input"),
                text: asked(standing.question, &change.reason),
                asks: true,
                ..self.notice(about(standing.question), event, answers(standing.question))
            },
            "paused" if change.reason != event::BY_HAND => Notice {
                title: format!("{id} is paused"),
                text: change.reason.clone(),
                ..self.notice(Occasion::NeedsInput, event, &["resume"])
            },
            "done" => Notice {
                title: format!("{id} is done"),
                text: standing.summary.trim().to_owned(),
                ..self.notice(Occasion::Done, event, &["diff", "worktree merge"])
            },
            "failed" => Notice {
                title: format!("{id} has failed"),
                text: change.reason.clone(),
                ..self.notice(Occasion::Failed, event, &["status", "resume"])
            },
            _ => return None,
        };
        Some(notice)
    }

    /// A notice without its words; the commands that answer it, by their verbs.
    fn notice(&self, occasion: Occasion, event: &Event, verbs: &[&str]) -> Notice {
        let command = |verb: &&str| match *verb {
            "answer" => format!("git agent answer {} \"…\"", self.session),
            verb => format!("git agent {verb} {}", self.session),
        };
        Notice {
            occasion,
            time: event.time,
            step: event.step,
            title: String::new(),
            text: String::new(),
            asks: false,
            commands: verbs.iter().map(command).collect(),
        }
    }
}

/// What a question is about: a limit that is reached has an occasion of its own.
fn about(question: Option<&Question>) -> Occasion {
    match question.map(|question| question.kind) {
        Some(QuestionKind::Limit) => Occasion::Budget,
        _ => Occasion::NeedsInput,
    }
}

/// The verbs that answer a question.
fn answers(question: Option<&Question>) -> &'static [&'static str] {
    match question.map(|question| question.kind) {
        Some(kind) if kind.is_decision() => &["approve", "deny"],
        Some(QuestionKind::Key) => &["resume"],
        _ => &["answer"],
    }
}

/// The question and the answers it offers.
fn asked(question: Option<&Question>, reason: &str) -> String {
    let Some(question) = question else { return reason.to_owned() };
    let mut text = question.text.trim().to_owned();
    for (at, option) in question.options.iter().enumerate() {
        text.push_str(&format!("\n{}. {option}", at + 1));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Limit, LimitMark};
    use crate::message::Usage;

    fn moved(from: &str, to: &str, reason: &str) -> Event {
        Event::now(
            2,
            Update::State(StateChange {
                from: from.to_owned(),
                to: to.to_owned(),
                reason: reason.to_owned(),
                usage: Usage::default(),
            }),
        )
    }

    /// What is told of one move.
    fn told(to: &str, reason: &str, standing: &Standing<'_>) -> Option<(Occasion, String)> {
        let mut ear = Ear::new("a-7f3k", []);
        assert_eq!(ear.hear(&moved("running", to, reason)), []);
        let notice = ear.settle(standing, false)?;
        let all = [vec![notice.title, notice.text], notice.commands].concat();
        Some((notice.occasion, all.join("|")))
    }

    #[test]
    fn each_rest_that_a_person_should_know_of_is_told() {
        let question = Question {
            text: "Which?".to_owned(),
            options: vec!["x".to_owned()],
            ..Question::default()
        };
        let standing =
            Standing { phase: "needs-input", question: Some(&question), summary: "Old." };
        let answer = "git agent answer a-7f3k \"…\"";
        assert_eq!(
            told("needs-input", "", &standing).unwrap(),
            (Occasion::NeedsInput, format!("a-7f3k needs input|Which?\n1. x|{answer}"))
        );
        let limit =
            Question { text: "More?".into(), kind: QuestionKind::Limit, ..question.clone() };
        assert_eq!(
            told("needs-input", "", &Standing { question: Some(&limit), ..standing }).unwrap(),
            (
                Occasion::Budget,
                "a-7f3k needs input|More?\n1. x|git agent approve a-7f3k|git agent deny a-7f3k"
                    .to_owned()
            )
        );
        // The state says nothing of it: it was not written, on a full disk say.
        assert_eq!(
            told("needs-input", "why", &Standing { phase: "running", ..standing }).unwrap().1,
            format!("a-7f3k needs input|why|{answer}")
        );
        let done = Standing { phase: "done", question: None, summary: "All is done.\n" };
        assert_eq!(
            told("done", "", &done).unwrap(),
            (
                Occasion::Done,
                "a-7f3k is done|All is done.|git agent diff a-7f3k|git agent worktree merge a-7f3k"
                    .to_owned()
            )
        );
        let failed = Standing { phase: "failed", ..Standing::default() };
        let (occasion, words) = told("failed", "it is red", &failed).unwrap();
        assert_eq!(occasion, Occasion::Failed);
        assert!(words.starts_with("a-7f3k has failed|it is red|git agent status"), "{words}");
        let paused = Standing { phase: "paused", ..Standing::default() };
        let (occasion, words) = told("paused", "disk full", &paused).unwrap();
        assert_eq!(occasion, Occasion::NeedsInput);
        assert_eq!(words, "a-7f3k is paused|disk full|git agent resume a-7f3k");
        assert_eq!(told("paused", event::BY_HAND, &paused), None);
        for quiet in ["running", "verifying", "stopped", "interrupted", "queued", "landed"] {
            assert_eq!(told(quiet, "", &Standing { phase: quiet, ..Standing::default() }), None);
        }
    }

    #[test]
    fn much_of_a_limit_is_told_of_once() {
        let mark = |percent| {
            let (limit, text) = (Limit::Budget, format!("{percent} % of it"));
            Event::now(3, Update::LimitMark(LimitMark { limit, percent, text }))
        };
        let mut ear = Ear::new("a", []);
        let told: Vec<_> = [0, 50, 80, 95].iter().flat_map(|at| ear.hear(&mark(*at))).collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].occasion, told[0].text.as_str()), (Occasion::Budget, "80 % of it"));
    }

    #[test]
    fn a_move_waits_once_for_the_state_and_is_told_once() {
        let mut ear = Ear::new("a", []);
        ear.hear(&moved("running", "done", ""));
        let old = Standing { phase: "running", ..Standing::default() };
        assert_eq!(ear.settle(&old, true), None);
        assert!(ear.is_waiting());
        let done = Standing { phase: "done", summary: "Yes.", ..Standing::default() };
        assert_eq!(ear.settle(&done, true).unwrap().text, "Yes.");
        assert_eq!(ear.settle(&done, false), None);
        // What somebody has answered already is no news.
        ear.hear(&moved("running", "needs-input", ""));
        ear.hear(&moved("needs-input", "running", ""));
        assert_eq!(ear.settle(&old, false), None);
    }

    #[test]
    fn an_item_of_the_plan_is_a_milestone_once() {
        let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
        let mut ear = Ear::new("a", ["old".to_owned()]);
        let mut plan = vec![
            item("old", PlanStatus::Done),
            item("new", PlanStatus::Doing),
            item("no", PlanStatus::Dropped),
        ];
        let mut hear = |plan: &[PlanItem]| {
            let told = ear.hear(&Event::now(1, Update::Plan(plan.to_vec())));
            told.iter().map(|told| format!("{}: {}", told.title, told.text)).collect::<Vec<_>>()
        };
        assert_eq!(hear(&plan), [""; 0]);
        plan[1].status = PlanStatus::Done;
        assert_eq!(hear(&plan), ["a has finished 2 of 2: new"]);
        plan[1].status = PlanStatus::Doing;
        assert_eq!(hear(&plan), [""; 0]);
        plan[1].status = PlanStatus::Done;
        assert_eq!(hear(&plan), [""; 0]);
    }
}
