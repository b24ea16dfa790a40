//! What counts of a journal: the line of events that no rewind has left aside.
//!
//! A journal is only ever appended to. A rewind is one more event, which says that the events since
//! the end of a step count no more; an undo says that they do again. What a session has spent and
//! heard is counted over all events all the same.
//!
//! Invariant: the line is a pure fold over the events, so that everybody who reads a journal sees
//! the same one; along it, steps only grow.

use std::collections::HashSet;

use super::{ByPerson, Event, Origin, Place, Rewind, Update, UserMessage, Way};
use crate::message::Answer;

/// The line of a journal, and what one can return to.
#[derive(Clone, Debug, Default)]
pub struct Line<'e> {
    events: Vec<&'e Event>,
    /// The lines before each rewind that is not undone, and where the code was.
    undo: Vec<(Vec<&'e Event>, &'e Place)>,
    /// The lines before each undo.
    redo: Vec<(Vec<&'e Event>, &'e Place)>,
}

impl<'e> Line<'e> {
    /// The line of these events, which are all of a journal.
    pub fn of(events: impl IntoIterator<Item = &'e Event>) -> Self {
        let mut line = Self::default();
        for event in events {
            match &event.update {
                Update::Rewind(rewind) => line.rewind(rewind),
                _ => line.events.push(event),
            }
        }
        line
    }

    /// The events that count, oldest first; no rewind is among them.
    pub fn events(&self) -> &[&'e Event] {
        &self.events
    }

    /// The last step; 0 before the first.
    pub fn steps(&self) -> u32 {
        steps(&self.events)
    }

    /// The events up to the end of a step: its answer, its calls, what they gave, its commit and
    /// its checks, but nothing that was said after. Step 0 ends with the task.
    pub fn until(&self, step: u32) -> &[&'e Event] {
        let is_of_it = |event: &&&Event| event.step <= step && is_of_step(&event.update);
        let end = self.events.iter().rev().position(|event| is_of_it(&event));
        &self.events[..end.map_or(0, |end| self.events.len() - end)]
    }

    /// The line that `way` leads to, and where the code was on it; none where it leads nowhere.
    /// For [`Way::Back`] see [`Line::until`].
    pub fn to(&self, way: Way) -> Option<(&[&'e Event], &'e Place)> {
        let stack = match way {
            Way::Back => return None,
            Way::Undo => &self.undo,
            Way::Redo => &self.redo,
        };
        stack.last().map(|(events, place)| (events.as_slice(), *place))
    }

    /// The way back to steps that a rewind, or the undo of one, has left aside.
    pub fn way_back(&self) -> Option<Way> {
        let there = |way| self.to(way).is_some_and(|(events, _)| steps(events) > self.steps());
        [Way::Undo, Way::Redo].into_iter().find(|way| there(*way))
    }

    fn rewind(&mut self, rewind: &'e Rewind) {
        let before = &rewind.from;
        match rewind.way {
            Way::Back => {
                let kept = self.until(rewind.step).to_vec();
                let left = std::mem::replace(&mut self.events, kept);
                self.undo.push((left, before));
            }
            Way::Undo => swap(&mut self.events, &mut self.undo, &mut self.redo, before),
            Way::Redo => swap(&mut self.events, &mut self.redo, &mut self.undo, before),
        }
    }
}

/// The last step of these events of a line; 0 before the first.
pub fn steps(events: &[&Event]) -> u32 {
    let answer = |event: &&&Event| matches!(event.update, Update::AgentMessage(_));
    events.iter().rev().find(answer).map_or(0, |event| event.step)
}

/// The events of the session itself: a fork begins with those of another, which paid for them.
pub fn own(events: &[Event]) -> &[Event] {
    let fork = events.iter().rposition(|event| matches!(event.update, Update::Fork(_)));
    &events[fork.map_or(0, |at| at + 1)..]
}

/// An event without its words: all that it takes to say which events count.
pub fn bare(event: &Event) -> Event {
    let update = match &event.update {
        Update::UserMessage(UserMessage { from, .. }) => {
            Update::UserMessage(UserMessage { from: *from, text: String::new(), inbox_id: None })
        }
        Update::AgentMessage(answer) => Update::AgentMessage(Answer {
            text: String::new(),
            thought: String::new(),
            calls: Vec::new(),
            stop: answer.stop,
            usage: answer.usage,
            raw: None,
        }),
        Update::Rewind(rewind) => Update::Rewind(rewind.clone()),
        update if is_of_step(update) => Update::Plan(Vec::new()),
        _ => Update::Unknown,
    };
    Event { by: None, update, ..*event }
}

/// For each of these events, which are all of a journal, whether it counts.
pub fn mask(events: &[Event]) -> Vec<bool> {
    let line = Line::of(events);
    let on_line: HashSet<_> = line.events.iter().map(|event| std::ptr::from_ref(*event)).collect();
    events.iter().map(|event| on_line.contains(&std::ptr::from_ref(event))).collect()
}

type Left<'e> = Vec<(Vec<&'e Event>, &'e Place)>;

/// Returns to the line on top of `from`; the one that is left goes on top of `onto`.
fn swap<'e>(
    events: &mut Vec<&'e Event>,
    from: &mut Left<'e>,
    onto: &mut Left<'e>,
    place: &'e Place,
) {
    // A journal that lost the rewind has nothing to return to.
    if let Some((line, _)) = from.pop() {
        onto.push((std::mem::replace(events, line), place));
    }
}

/// Whether this is part of a step, and not something between two.
fn is_of_step(update: &Update) -> bool {
    match update {
        Update::UserMessage(UserMessage { from, .. }) => *from == Origin::Task,
        Update::AgentMessage(_)
        | Update::ToolCall(_)
        | Update::ToolCallUpdate(_)
        | Update::Plan(_)
        | Update::Verify(_) => true,
        // What a person did while it rested came after the step.
        Update::Checkpoint(made) => {
            !matches!(made.by_person, Some(ByPerson::Edit | ByPerson::Commit))
        }
        // What the program asks, whether it may go on, comes after.
        Update::Question(question) => question.call_id.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{StopReason, Usage};

    fn said(from: Origin, step: u32, text: &str) -> Event {
        let message = UserMessage { from, text: text.to_owned(), inbox_id: None };
        Event::now(step, Update::UserMessage(message))
    }

    fn answer(step: u32, text: &str) -> Event {
        let answer = Answer {
            text: text.to_owned(),
            thought: String::new(),
            calls: Vec::new(),
            stop: StopReason::EndTurn,
            usage: Usage::default(),
            raw: None,
        };
        Event::now(step, Update::AgentMessage(answer))
    }

    fn place(name: &str) -> Place {
        Place { head: name.to_owned(), tree: name.to_owned() }
    }

    fn moved(way: Way, step: u32, from: &str) -> Event {
        let (from, to) = (place(from), place("to"));
        Event::now(step, Update::Rewind(Rewind { way, step, from, to }))
    }

    fn texts(events: &[&Event]) -> String {
        let text = |event: &&Event| match &event.update {
            Update::UserMessage(message) => message.text.clone(),
            Update::AgentMessage(answer) => answer.text.clone(),
            Update::Notice(text) => text.clone(),
            other => format!("{other:?}"),
        };
        events.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    /// A task, and three steps with words of a person after the first and the second.
    fn three_steps() -> Vec<Event> {
        vec![
            said(Origin::Task, 0, "task"),
            said(Origin::Person, 0, "hurry"),
            answer(1, "a1"),
            said(Origin::Person, 1, "p1"),
            answer(2, "a2"),
            Event::now(2, Update::Notice("n2".to_owned())),
            said(Origin::Loop, 2, "l2"),
            answer(3, "a3"),
        ]
    }

    #[test]
    fn a_step_ends_before_what_is_said_after_it() {
        let events = three_steps();
        let line = Line::of(&events);
        let until = |step| texts(line.until(step));
        assert_eq!(line.steps(), 3);
        assert_eq!(until(0), "task");
        assert_eq!(until(1), "task hurry a1");
        assert_eq!(until(2), "task hurry a1 p1 a2");
        assert_eq!(until(3), "task hurry a1 p1 a2 n2 l2 a3");
        assert_eq!(until(9), until(3));
        assert_eq!(texts(Line::of(&[]).until(0)), "");
    }

    #[test]
    fn rewinds_nest_and_undo_and_redo_walk_along_them() {
        let mut events = three_steps();
        let mut after = |event: Event| {
            events.push(event);
            let line = Line::of(&events);
            let heads = |way| line.to(way).map_or("-", |(_, place)| place.head.as_str()).to_owned();
            (texts(line.events()), heads(Way::Undo), heads(Way::Redo))
        };
        let whole = "task hurry a1 p1 a2 n2 l2 a3";
        let three = |text: &str, undo: &str, redo: &str| {
            (text.to_owned(), undo.to_owned(), redo.to_owned())
        };
        let is = after(moved(Way::Back, 2, "A"));
        assert_eq!(is, three("task hurry a1 p1 a2", "A", "-"));
        let is = after(answer(3, "b3"));
        assert_eq!(is, three("task hurry a1 p1 a2 b3", "A", "-"));
        let is = after(moved(Way::Back, 1, "B"));
        assert_eq!(is, three("task hurry a1", "B", "-"));
        let is = after(moved(Way::Undo, 3, "C"));
        assert_eq!(is, three("task hurry a1 p1 a2 b3", "A", "C"));
        // What was done since the first rewind is not lost by its undo: it can be redone.
        let is = after(moved(Way::Undo, 3, "D"));
        assert_eq!(is, three(whole, "-", "D"));
        let is = after(moved(Way::Undo, 3, "E"));
        assert_eq!(is, three(whole, "-", "D"), "there was nothing to undo");
        let is = after(moved(Way::Redo, 3, "F"));
        assert_eq!(is, three("task hurry a1 p1 a2 b3", "F", "C"));
        let is = after(moved(Way::Redo, 1, "G"));
        assert_eq!(is, three("task hurry a1", "G", "-"));
        let is = after(moved(Way::Back, 0, "H"));
        assert_eq!(is, three("task", "H", "-"));
    }

    #[test]
    fn the_mask_needs_no_words() {
        let mut events = three_steps();
        events.extend([moved(Way::Back, 2, "A"), answer(3, "b3"), moved(Way::Undo, 3, "C")]);
        events.push(answer(4, "c4"));
        let bare: Vec<Event> = events.iter().map(bare).collect();
        let counts = mask(&bare);
        let counted = events.iter().zip(&counts).filter(|(_, counts)| **counts);
        let counted: Vec<&Event> = counted.map(|(event, _)| event).collect();
        assert_eq!(texts(&counted), texts(Line::of(&events).events()));
        assert!(counts.contains(&false));
    }

    #[test]
    fn what_a_fork_shares_is_not_its_own() {
        let mut events = three_steps();
        assert_eq!(own(&events).len(), events.len());
        events.push(Event::now(3, Update::Fork(Fork { session: "x".to_owned(), step: 3 })));
        events.push(answer(4, "a4"));
        assert_eq!(texts(&own(&events).iter().collect::<Vec<_>>()), "a4");
        assert_eq!(Line::of(&events).steps(), 4);
    }

    use super::super::Fork;
}
