//! What a session did, told short: each state of its files, who made it, and what was asked by then.
//!
//! Invariant: a pure fold over the journal's line, so that steps which a rewind has left aside made
//! nothing; the same journal gives the same story, from the session's folder or from its ref alone.

use jiff::Timestamp;

use super::CreditError;
use crate::event::line::Line;
use crate::event::{Event, Origin, Update};
use crate::git::{ObjectId, Repo};
use crate::model::Choice;
use crate::session::record::{Record, RecordError};
use crate::session::spec::Spec;
use crate::session::store::Store;
use crate::session::{archive, journal};

/// A session's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its id.
    pub session: String,
    /// The commit that it began from.
    pub base: ObjectId,
    /// What it made of it, one state after the other.
    pub points: Vec<Point>,
    /// What people asked, in their own words.
    pub asked: Vec<String>,
}

/// One state of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The files.
    pub tree: ObjectId,
    /// The commit that was made then, if one was.
    pub commit: Option<ObjectId>,
    /// The session that made it, where that is another: a fork shares its past.
    pub session: Option<String>,
    /// The step.
    pub step: u32,
    /// When.
    pub time: Timestamp,
    /// Whether a person made it.
    pub by_person: bool,
    /// The model that was at work, as people read it.
    pub model: String,
    /// Which of [`Story::asked`] was the last by then.
    pub asked: usize,
}

impl Story {
    /// The story of the session with this id; none where nothing of it is here.
    ///
    /// # Errors
    /// Its journal or its record cannot be read.
    pub fn of(repo: &Repo, store: &Store, id: &str) -> Result<Option<Self>, CreditError> {
        if let Ok(session) = store.session(id) {
            return Self::told(&session.spec, &journal::events(&session.journal_path())?);
        }
        let aside = store.aside(id).join(journal::Journal::FILE);
        let record = match Record::last(repo, id)? {
            None => archived(repo, id)?,
            record => record,
        };
        let Some(record) = record else { return Ok(None) };
        if aside.is_file() {
            return Self::told(&record.spec, &journal::events(&aside)?);
        }
        let mut text = Vec::new();
        record.write_journal(repo, &mut text)?;
        let lines = text.split(|byte| *byte == b'\n').filter_map(|it| std::str::from_utf8(it).ok());
        // A damaged line is passed over, as everywhere.
        let events: Vec<_> = lines.filter_map(|line| Event::parse(line).ok()).collect();
        Self::told(&record.spec, &events)
    }

    fn told(spec: &Spec, events: &[Event]) -> Result<Option<Self>, CreditError> {
        let Ok(base) = ObjectId::from_hex(spec.base.commit.as_bytes()) else { return Ok(None) };
        let mut story = Self {
            session: spec.id.clone(),
            base,
            points: Vec::new(),
            asked: vec![spec.task.clone()],
        };
        let mut own = label(spec.first_model());
        let mut model = own.clone();
        let line = Line::of(events);
        for event in line.events() {
            match &event.update {
                Update::UserMessage(message) if message.from == Origin::Person => {
                    story.asked.push(message.text.clone());
                }
                Update::Model(change) => {
                    model = label(&change.to);
                    if change.lasting {
                        own.clone_from(&model);
                    }
                }
                Update::State(change) if change.is_rest() => model.clone_from(&own),
                Update::Fork(fork) => {
                    for point in story.points.iter_mut().filter(|point| point.session.is_none()) {
                        point.session = Some(fork.session.clone());
                    }
                }
                Update::Checkpoint(made) => {
                    // A newer program may name what this one does not know.
                    let Ok(tree) = ObjectId::from_hex(made.tree.as_bytes()) else { continue };
                    let commit = made.commit.as_ref();
                    story.points.push(Point {
                        tree,
                        commit: commit.and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok()),
                        session: None,
                        step: event.step,
                        time: event.time,
                        by_person: made.by_person.is_some(),
                        model: model.clone(),
                        asked: story.asked.len() - 1,
                    });
                }
                _ => {}
            }
        }
        Ok(Some(story))
    }
}

/// The last record of a session that was archived.
fn archived(repo: &Repo, id: &str) -> Result<Option<Record>, RecordError> {
    let found = archive::list(repo)?.into_iter().find(|(known, _)| known == id);
    found.map(|(_, commit)| Record::read(repo, commit)).transpose()
}

fn label(model: &str) -> String {
    model.parse::<Choice>().map_or_else(|_| model.to_owned(), |choice| choice.label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ByPerson, Checkpoint, Fork, ModelChange, Place, Rewind, UserMessage, Way};
    use crate::message::{Answer, StopReason, Usage};

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn made(step: u32, tree: char, by_person: Option<ByPerson>) -> Event {
        let made = Checkpoint {
            commit: Some(id(tree)),
            tree: id(tree),
            subject: String::new(),
            paths: Vec::new(),
            insertions: 0,
            deletions: 0,
            left_out: Vec::new(),
            by_person,
        };
        Event::now(step, Update::Checkpoint(made))
    }

    fn said(step: u32, from: Origin, text: &str) -> Event {
        let message = UserMessage { from, text: text.to_owned(), inbox_id: None };
        Event::now(step, Update::UserMessage(message))
    }

    fn answer(step: u32) -> Event {
        let answer = Answer {
            text: String::new(),
            thought: String::new(),
            calls: Vec::new(),
            stop: StopReason::EndTurn,
            usage: Usage::default(),
            raw: None,
        };
        Event::now(step, Update::AgentMessage(answer))
    }

    #[test]
    fn a_story_has_each_state_that_counts_its_maker_and_the_words_by_then() {
        let spec = format!(
            "format = 1\nid = \"add-1\"\nname = \"add\"\ntask = \"Add it\"\n\
             created = \"2026-01-02T03:04:05Z\"\nbranch = \"refs/heads/agent/add\"\n\
             worktree = \"/x\"\nmodel = \"anthropic/a\"\nsandbox = \"none\"\n\
             [base]\ncommit = \"{}\"\nname = \"main\"\n",
            id('0')
        );
        let spec = Spec::parse(&spec, std::path::Path::new("spec.toml")).unwrap();
        let place = || Place { head: id('9'), tree: id('9') };
        let change = ModelChange {
            from: "anthropic/a".to_owned(),
            to: "openai/b".to_owned(),
            reason: String::new(),
            lasting: false,
        };
        let back = Rewind { way: Way::Back, step: 1, from: place(), to: place() };
        let events = [
            said(0, Origin::Task, "Add it, and the facts"),
            answer(1),
            made(1, '1', None),
            answer(2),
            made(2, '2', None),
            Event::now(1, Update::Rewind(back)),
            made(1, '3', Some(ByPerson::Edit)),
            Event::now(1, Update::Fork(Fork { session: "old-9".to_owned(), step: 1 })),
            said(1, Origin::Person, "Sort it"),
            said(1, Origin::Loop, "Go on"),
            Event::now(1, Update::Model(change)),
            answer(2),
            made(2, '4', None),
        ];
        let story = Story::told(&spec, &events).unwrap().unwrap();
        assert_eq!(story.asked, ["Add it", "Sort it"]);
        let told: Vec<_> = story
            .points
            .iter()
            .map(|it| {
                let tree = it.tree.to_string()[..1].to_owned();
                (tree, it.step, it.by_person, it.session.as_deref(), &*it.model, it.asked)
            })
            .collect();
        let wanted = [
            ("1".to_owned(), 1, false, Some("old-9"), "anthropic/a", 0),
            ("3".to_owned(), 1, true, Some("old-9"), "anthropic/a", 0),
            ("4".to_owned(), 2, false, None, "openai/b", 1),
        ];
        assert_eq!(told, wanted);
    }
}
