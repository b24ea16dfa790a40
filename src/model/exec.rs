//! A command in a model's place: the agent of a batch that needs no model.
//!
//! Invariant: the command runs once, whatever it gives; asked again, it says how it went.

use serde_json::json;

use super::ModelError;
use crate::message::{Answer, Message, StopReason, ToolCall, ToolResult, Usage};

/// How long the command may take, in seconds: as long as a call may.
const LIMIT_S: u64 = 600;

/// The conversation with a command.
#[derive(Debug)]
pub(super) struct Command {
    command: String,
    /// Answers in the history.
    pushed: usize,
    /// The first line of what it gave, once it has run, and whether all went well.
    ended: Option<Result<(), String>>,
}

impl Command {
    pub(super) fn new(command: &str) -> Self {
        Self { command: command.to_owned(), pushed: 0, ended: None }
    }

    /// Books what is in the history.
    pub(super) fn push(&mut self, message: &Message) {
        match message {
            Message::Assistant(_) => self.pushed += 1,
            Message::Results(results) if self.ended.is_none() => {
                self.ended = results.first().map(outcome);
            }
            Message::Results(_) | Message::User(_) => {}
        }
    }

    /// Goes back to a history that begins behind so many answers.
    pub(super) fn restart(&mut self, answers: usize) {
        self.pushed = answers;
    }

    /// What comes next: the call, or the end.
    pub(super) fn answer(&self) -> Result<Answer, ModelError> {
        let command = self.command.clone();
        match (&self.ended, self.pushed) {
            (Some(Err(said)), _) => Err(ModelError::CommandFailed { command, said: said.clone() }),
            (None, 0) => {
                let arguments = json!({"command": command, "timeout_s": LIMIT_S}).to_string();
                let call = ToolCall { id: "exec".to_owned(), name: "bash".to_owned(), arguments };
                Ok(answer(format!("Run `{command}`"), vec![call]))
            }
            (_, 1) => Ok(answer(format!("Ran `{command}`."), Vec::new())),
            _ => Err(ModelError::CommandOver { command }),
        }
    }
}

/// Only an exit code of 0 is an end that is well: not a limit that was hit, nor a call that a
/// person did not allow.
fn outcome(result: &ToolResult) -> Result<(), String> {
    let said = result.output.lines().next().unwrap_or_default();
    match said.strip_prefix("exit 0") {
        Some(_) if !result.is_error => Ok(()),
        _ => Err(said.to_owned()),
    }
}

fn answer(text: String, calls: Vec<ToolCall>) -> Answer {
    let stop = if calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
    let (thought, usage) = (String::new(), Usage::default());
    Answer { text, thought, calls, stop, usage, raw: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(command: &Command) -> String {
        match command.answer() {
            Ok(answer) => match answer.calls.first() {
                Some(call) => call.arguments.clone(),
                None => answer.text,
            },
            Err(error) => error.to_string(),
        }
    }

    fn after(output: &str, is_error: bool) -> String {
        let mut command = Command::new("make x");
        assert_eq!(said(&command), r#"{"command":"make x","timeout_s":600}"#);
        command.push(&Message::User("Do it".to_owned()));
        command.push(&Message::Assistant(command.answer().unwrap()));
        let (call_id, output) = ("exec".to_owned(), output.to_owned());
        command.push(&Message::Results(vec![ToolResult { call_id, output, is_error }]));
        let first = said(&command);
        if let Ok(answer) = command.answer() {
            command.push(&Message::Assistant(answer));
            assert_eq!(said(&command), "'make x' has run, and can do no more");
        }
        first
    }

    #[test]
    fn it_runs_once_and_says_how_it_went() {
        assert_eq!(after("exit 0 · 0.1 s\nfine", false), "Ran `make x`.");
        assert_eq!(after("exit 2 · 0.1 s\nno", true), "'make x' has failed: exit 2 · 0.1 s");
        let late = "running · 600 s · goes on as job 1";
        assert_eq!(after(late, false), format!("'make x' has failed: {late}"));
    }
}
