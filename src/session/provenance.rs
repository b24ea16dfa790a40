//! Who made a commit: what its own trailers and its note say.
//!
//! Invariant: pure; a commit of which neither says a word is nobody's but its author's.

use super::note::{self, NO_VERIFY};
use crate::git;

/// What a commit says of the sessions it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The sessions, each once: several where commits were squashed by hand.
    pub sessions: Vec<String>,
    /// Whether an agent made it: a person's commit in a session's worktree names the session too.
    pub by_agent: bool,
    /// The agent, where a note names it.
    pub agent: Option<String>,
    /// The models, each once, as people read them.
    pub models: Vec<String>,
    /// Whether it is known to be one step of a session.
    pub step: bool,
    /// Whether there is a note that says which agent made it.
    pub noted: bool,
    /// What the note says of verify.
    pub verify: Noted,
}

/// What a note says of verify.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Noted {
    /// Nothing.
    #[default]
    Nothing,
    /// The session has no verify command.
    NotAsked,
    /// A command was run.
    Ran(Run),
}

/// One run of a verify command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: String,
    /// Its exit code.
    pub exit: i32,
    /// The tree that it ran on, in hex.
    pub tree: String,
}

impl Provenance {
    /// What a commit with this message and this note says.
    pub fn of(message: &str, note: Option<&str>) -> Self {
        let mut found = Self::default();
        for (key, value) in git::parse(message) {
            match key.to_ascii_lowercase().as_str() {
                "agent-session" => add(&mut found.sessions, &value),
                "assisted-by" => {
                    let Some(model) = value.strip_prefix("git-agent:") else { continue };
                    found.by_agent = true;
                    add(&mut found.models, model);
                }
                _ => {}
            }
        }
        let mut command = None;
        let (mut exit, mut tree) = (None, None);
        for (key, value) in note.map(note::keys).unwrap_or_default() {
            match key.as_str() {
                "Agent-Session" => add(&mut found.sessions, &value),
                "Agent" => {
                    (found.by_agent, found.noted, found.agent) = (true, true, Some(value));
                }
                "Model" => add(&mut found.models, &value),
                "Step" => found.step = true,
                // The last one is of the last commit, where several were made one.
                "Verify" => command = Some(value),
                "Verify-Exit" => exit = value.parse().ok(),
                "Verify-Tree" => tree = Some(value),
                _ => {}
            }
        }
        found.verify = match (command, exit, tree) {
            (Some(command), Some(exit), Some(tree)) => Noted::Ran(Run { command, exit, tree }),
            (Some(command), None, None) if command == NO_VERIFY => Noted::NotAsked,
            _ => Noted::Nothing,
        };
        found
    }

    /// Whether it comes from a session.
    pub fn is_ours(&self) -> bool {
        !self.sessions.is_empty()
    }
}

fn add(all: &mut Vec<String>, one: &str) {
    if !one.is_empty() && !all.iter().any(|known| known == one) {
        all.push(one.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_and_notes_are_read_together() {
        let message = "x\n\nAgent-Session: add-7f3k\nAssisted-by: git-agent:replay/x\n";
        let note = "Step 3 of add-7f3k\n\nAgent-Session: add-7f3k\nAgent: builtin\n\
                    Model: replay/x\nStep: 3\nVerify: cargo test\nVerify-Exit: 1\nVerify-Tree: aa\n";
        let run = Run { command: "cargo test".into(), exit: 1, tree: "aa".into() };
        let whole = Provenance {
            sessions: vec!["add-7f3k".into()],
            by_agent: true,
            agent: Some("builtin".into()),
            models: vec!["replay/x".into()],
            step: true,
            noted: true,
            verify: Noted::Ran(run),
        };
        assert_eq!(Provenance::of(message, Some(note)), whole);
        assert_eq!(Provenance::of("x\n", Some(note)), whole);
        let bare = Provenance {
            agent: None,
            step: false,
            noted: false,
            verify: Noted::Nothing,
            ..whole.clone()
        };
        assert_eq!(Provenance::of(message, None), bare);
    }

    #[test]
    fn a_note_that_tells_of_a_verify_alone_names_nobody() {
        let run = Run { command: "make".into(), exit: 0, tree: "aa".into() };
        let note = "Verified again for a-7f3k\n\nVerify: make\nVerify-Exit: 0\nVerify-Tree: aa\n";
        let found = Provenance::of("x\n", Some(note));
        assert_eq!(found, Provenance { verify: Noted::Ran(run), ..Provenance::default() });
    }

    #[test]
    fn n01_git_joins_the_notes_of_what_was_squashed_and_all_of_them_are_read() {
        let note = |id: &str| format!("Step 1 of {id}\n\nAgent-Session: {id}\nModel: m/{id}\n");
        let joined = format!("{}\n{}", note("a-1"), note("b-2"));
        let found = Provenance::of("x\n", Some(&joined));
        assert_eq!(
            (found.sessions, found.models),
            (
                vec!["a-1".to_owned(), "b-2".to_owned()],
                vec!["m/a-1".to_owned(), "m/b-2".to_owned()],
            )
        );
    }

    #[test]
    fn n08_a_persons_commit_in_a_session_is_not_an_agents() {
        let found = Provenance::of("x\n\nAgent-Session: add-7f3k\n", None);
        assert!(found.is_ours() && !found.by_agent);
        let others = [
            "x\n",
            "x\n\nAssisted-by: Claude\n",
            "Agent-Session: a\n",
            "x\n\nno: Agent-Session: a b\n",
        ];
        for other in others {
            assert!(!Provenance::of(other, None).is_ours(), "{other:?}");
        }
    }

    #[test]
    fn a_session_without_verify_says_so() {
        let note = |verify: &str| format!("Work of a\n\nAgent-Session: a\n{verify}");
        let of = |verify| Provenance::of("x\n", Some(&note(verify))).verify;
        assert_eq!(of("Verify: none\n"), Noted::NotAsked);
        assert_eq!(of(""), Noted::Nothing);
        assert_eq!(of("Verify: cargo test\n"), Noted::Nothing);
        // A command of that name has run.
        let run = Run { command: "none".into(), exit: 0, tree: "a".into() };
        assert_eq!(of("Verify: none\nVerify-Exit: 0\nVerify-Tree: a\n"), Noted::Ran(run));
    }
}
