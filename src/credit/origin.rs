//! Who a line can be of.
//!
//! Invariant: an agent is named with the session it was in; without one it is nobody's word.

use std::rc::Rc;

use jiff::Timestamp;

use crate::git::ObjectId;

/// Who made a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An agent.
    Agent(Agent),
    /// A person.
    Person(Person),
    /// No commit holds it yet, and no session knows it.
    Uncommitted,
}

/// The agent that made a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// The agent: `builtin`, or the name of another.
    pub agent: String,
    /// Its model, as people read it; none where nobody says.
    pub model: Option<String>,
    /// The session, or what another tool calls so.
    pub session: String,
    /// The step; none where the session's history is not here.
    pub step: Option<u32>,
    /// The commit of that step, where it is known.
    pub commit: Option<ObjectId>,
    /// When it was made.
    pub time: Option<Timestamp>,
    /// The words that asked for it.
    pub asked: Option<Rc<str>>,
}

/// The person who made a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// The session in whose files they worked, where it was in one.
    pub session: Option<String>,
}
