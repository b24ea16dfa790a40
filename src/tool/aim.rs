//! What a call is about to act on, as rules name it.
//!
//! Invariant: a path is the one that the tool would open: `..` taken out, links followed.

use super::{Arguments, Tool, Toolbox, bash};
use crate::message::ToolCall;

/// What a call is about to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The tool's name.
    pub tool: &'static str,
    /// What it acts on.
    pub target: Target,
}

/// What a tool acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing outside the conversation.
    Nothing,
    /// It runs this command.
    Command(String),
    /// It reads this path, `/`-separated from the worktree's root.
    Read(String),
    /// It writes this path.
    Write(String),
}

/// The tools that rules can name, sorted.
pub fn names() -> Vec<&'static str> {
    Tool::ALL.into_iter().map(|tool| tool.shape().name).collect()
}

impl Toolbox {
    /// What a call is about to act on; none where it will be answered in words alone, since it
    /// names no tool or does not say what that needs.
    pub fn aim(&self, call: &ToolCall) -> Option<Aim> {
        let tool = self.tool(&call.name)?;
        let arguments = Arguments::parse(tool.shape(), &call.arguments).ok()?;
        let target = match tool {
            Tool::Ask | Tool::Finish | Tool::Plan => Target::Nothing,
            // What is started already was judged when it was.
            Tool::Bash if arguments.has("job") => Target::Nothing,
            Tool::Bash => Target::Command(bash::command_text(&arguments).ok()?),
            Tool::Edit | Tool::Write => {
                let place = self.reach.to_write(&arguments.text("file_path").ok()?).ok()?;
                Target::Write(place.path.to_string_lossy().into_owned())
            }
            Tool::Read => Target::Read(self.resolved(&arguments.text("file_path").ok()?)?),
            Tool::Search => {
                let raw = arguments.text("path").unwrap_or_default();
                Target::Read(self.resolved(&raw)?)
            }
        };
        Some(Aim { tool: tool.shape().name, target })
    }

    /// The path that reading `raw` opens.
    fn resolved(&self, raw: &str) -> Option<String> {
        let place = self.reach.to_read(raw).ok()?;
        let path = place.dir.canonicalize(&place.path).unwrap_or(place.path);
        let is_in_worktree = place.base == self.reach.root();
        let path = if is_in_worktree { path } else { place.base.join(path) };
        Some(path.to_string_lossy().into_owned())
    }
}
