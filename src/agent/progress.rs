//! When a model gets nowhere, though it does not repeat itself: the same file edited again and
//! again with no check passed, and steps that neither change anything nor find anything new.
//!
//! Invariant: a pure fold over answers, calls and results; a command that passed, a person's word
//! and a rest begin the count of edits anew; what was not seen before is never idle.

use std::collections::{HashMap, HashSet};

use crate::agent::prompt;
use crate::agent::stuck::{hash, key, shape};
use crate::message::{ToolCall, ToolResult};
use crate::tool;

/// How much of a thing before the model is told, and before a person is to look.
struct Rule {
    told: u32,
    paused: u32,
    notice: &'static str,
    reason: &'static str,
}

/// Edits of one file with no check passed between.
const EDITS: Rule = Rule {
    told: 8,
    paused: 16,
    notice: prompt::SAME_FILE,
    reason: "the same file is edited again and again, and no check passes",
};

/// Steps without a change of the tree and without anything new.
const IDLE: Rule = Rule {
    told: 15,
    paused: 30,
    notice: prompt::NOTHING_NEW,
    reason: "nothing has changed for many steps, and nothing new was found",
};

/// How the model gets on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Edits of each file since a check passed.
    edits: HashMap<String, u32>,
    /// What was called and what it gave, as far as it was ever seen.
    seen: HashSet<u64>,
    /// The last step has given something new.
    has_news: bool,
    /// Steps in a row that did not.
    idle: u32,
    /// What the model was told since the count began.
    told: HashSet<&'static str>,
}

impl Progress {
    /// A step begins.
    pub(super) fn step(&mut self) {
        self.idle = if self.has_news { 0 } else { self.idle + 1 };
        if self.has_news {
            self.told.remove(IDLE.notice);
        }
        self.has_news = false;
    }

    /// Takes in how a call ended.
    pub(super) fn take(&mut self, call: &ToolCall, result: &ToolResult) {
        // What still runs may be waited for.
        let first = result.output.lines().next().unwrap_or_default();
        let runs = first.starts_with("still running") || first.contains("still runs");
        self.has_news |= self.seen.insert(hash(&(key(call), shape(result)))) || runs;
        if result.is_error {
            return;
        }
        match tool::edited(call) {
            Some(path) => *self.edits.entry(path).or_default() += 1,
            None if tool::is_command(call) && !runs => self.check_passed(),
            None => {}
        }
    }

    /// The tree has changed.
    pub(super) fn tree_changed(&mut self) {
        self.has_news = true;
    }

    /// A check has passed.
    pub(super) fn check_passed(&mut self) {
        self.edits.clear();
        self.told.remove(EDITS.notice);
    }

    /// Somebody has spoken, or it goes on after a rest: as new, but for what it has seen.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { seen: std::mem::take(&mut self.seen), has_news: true, ..Self::default() };
    }

    /// What the model is to be told, each once.
    pub(super) fn notice(&self) -> Option<&'static str> {
        let due = |rule: &Rule, count: u32| count >= rule.told && !self.told.contains(rule.notice);
        [(&EDITS, self.most_edits()), (&IDLE, self.idle)]
            .into_iter()
            .find(|(rule, count)| due(rule, *count))
            .map(|(rule, _)| rule.notice)
    }

    /// The model was told this.
    pub(super) fn was_told(&mut self, text: &str) {
        let notices = [EDITS.notice, IDLE.notice].into_iter();
        self.told.extend(notices.filter(|notice| *notice == text));
    }

    /// Why a person is to look, if one is.
    pub(super) fn hopeless(&self) -> Option<&'static str> {
        [(&EDITS, self.most_edits()), (&IDLE, self.idle)]
            .into_iter()
            .find(|(rule, count)| *count >= rule.paused)
            .map(|(rule, _)| rule.reason)
    }

    fn most_edits(&self) -> u32 {
        self.edits.values().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        ToolCall { id: "c".into(), name: name.into(), arguments: arguments.into() }
    }

    fn result(output: &str, is_error: bool) -> ToolResult {
        ToolResult { call_id: "c".into(), output: output.into(), is_error }
    }

    fn edit(number: u32) -> ToolCall {
        call("edit", &format!(r#"{{"file_path":"a.rs","old_string":"{number}","new_string":""}}"#))
    }

    /// What is done at each step of these calls: `.` nothing, `n` notice, `p` pause.
    fn played(calls: impl IntoIterator<Item = (ToolCall, ToolResult, bool)>) -> String {
        let mut progress = Progress::default();
        let play = |(call, result, changes): (ToolCall, ToolResult, bool)| {
            progress.step();
            progress.take(&call, &result);
            if changes {
                progress.tree_changed();
            }
            let told = progress.notice();
            progress.was_told(told.unwrap_or_default());
            match (progress.hopeless(), told) {
                (Some(_), _) => 'p',
                (None, Some(_)) => 'n',
                (None, None) => '.',
            }
        };
        calls.into_iter().map(play).collect()
    }

    #[test]
    fn the_same_file_with_no_check_passed() {
        let edits = |count| (0..count).map(|number| (edit(number), result("ok", false), true));
        assert_eq!(played(edits(16)), ".......n.......p");
        let red = (call("bash", r#"{"command":"make"}"#), result("exit 2", true), false);
        let with_red = edits(8).flat_map(|it| [it, red.clone()]);
        assert_eq!(played(with_red), "..............n.");
        let green = (call("bash", r#"{"command":"make"}"#), result("exit 0", false), false);
        let with_green = (0..6).flat_map(|_| edits(7).chain([green.clone()]));
        assert_eq!(played(with_green), ".".repeat(48));
        let refused = (0..20).map(|number| (edit(number), result("no match", true), false));
        assert_eq!(played(refused), ".".repeat(20), "what was not edited does not count");
    }

    #[test]
    fn steps_that_change_nothing_and_find_nothing() {
        let looks = |count: usize| {
            let files = ["a", "b", "c", "d"].into_iter().cycle().take(count);
            files.map(|file| {
                let read = call("read", &format!(r#"{{"file_path":"{file}"}}"#));
                (read, result("same", false), false)
            })
        };
        // The first four are new.
        let told = format!("{}n{}p", ".".repeat(19), ".".repeat(14));
        assert_eq!(played(looks(35)), told);
        let more = looks(18).chain([(edit(1), result("ok", false), true)]).chain(looks(15));
        assert_eq!(played(more), ".".repeat(34), "the tree has changed between");
        let job = call("bash", r#"{"job":1}"#);
        let waits = (0..40).map(|_| (job.clone(), result("still running · 9.0 s", false), false));
        assert_eq!(played(waits), ".".repeat(40), "a job runs");
    }
}
