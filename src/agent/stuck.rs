//! When a model goes round in circles: the same calls with the same results, again and again.
//!
//! Invariant: a pure fold over calls and results; different files or ranges, a call after the tree
//! has changed, a call that was not run to its end, and a job whose output has grown are never a
//! circle.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::agent::prompt;
use crate::message::{ToolCall, ToolResult};

/// So many calls are remembered: five rounds of three.
const REMEMBERED: usize = 15;

/// How often in a row, or in how many rounds, before what is done about it.
struct Rule {
    /// Calls in a round.
    period: usize,
    /// Whether the result is an error.
    is_error: bool,
    /// Rounds before the model is told.
    told: usize,
    /// Rounds before the call is not run any more; none runs it.
    not_run: Option<usize>,
    /// Rounds before a person is to look.
    paused: usize,
}

const RULES: [Rule; 4] = [
    Rule { period: 1, is_error: false, told: 3, not_run: Some(5), paused: 7 },
    Rule { period: 1, is_error: true, told: 2, not_run: Some(3), paused: 5 },
    Rule { period: 2, is_error: false, told: 3, not_run: None, paused: 5 },
    Rule { period: 3, is_error: false, told: 3, not_run: None, paused: 5 },
];

/// The last calls.
#[derive(Debug, Default)]
pub(super) struct Circle {
    recent: VecDeque<Seen>,
    /// The rounds at which the model was last told of this circle.
    told_at: Option<usize>,
    is_to_tell: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    call: u64,
    result: u64,
    is_error: bool,
}

impl Circle {
    /// Takes in how a call ended.
    pub(super) fn take(&mut self, call: &ToolCall, result: &ToolResult) {
        // What is asked of a person, said of the plan or finished with may be the same.
        if matches!(call.name.as_str(), "ask" | "finish" | "plan") {
            return;
        }
        // What somebody else ended says nothing of the call: to run it again is sensible.
        if [prompt::INTERRUPTED, prompt::STOPPED, prompt::CUT_OFF]
            .contains(&result.output.trim_end())
        {
            return;
        }
        let same_call = self.recent.back().copied().filter(|last| last.call == key(call));
        let seen = match same_call {
            // Not run, it would have ended as it did before.
            Some(last) if result.output.starts_with(prompt::NOT_RUN_AGAIN) => last,
            _ => Seen { call: key(call), result: shape(result), is_error: result.is_error },
        };
        self.recent.push_back(seen);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        match self.rounds() {
            Some((rule, rounds)) if rounds >= rule.told => {
                self.is_to_tell = self.told_at.is_none();
            }
            _ => (self.told_at, self.is_to_tell) = (None, false),
        }
    }

    /// The tree has changed, or somebody has spoken: what is done again is not the same.
    pub(super) fn break_out(&mut self) {
        *self = Self::default();
    }

    /// What the model is to be told, once for each circle.
    pub(super) fn notice(&self) -> Option<&'static str> {
        self.is_to_tell.then_some(prompt::IN_A_CIRCLE)
    }

    /// The model was told.
    pub(super) fn was_told(&mut self) {
        if self.is_to_tell {
            self.told_at = self.rounds().map(|(_, rounds)| rounds);
            self.is_to_tell = false;
        }
    }

    /// Whether this call is not to be run once more.
    pub(super) fn refuses(&self, call: &ToolCall) -> bool {
        let is_same = self.recent.back().is_some_and(|last| last.call == key(call));
        let is_enough = |(rule, rounds): (&Rule, usize)| {
            rule.not_run.is_some_and(|not_run| rounds + 1 >= not_run)
        };
        is_same && self.rounds().is_some_and(is_enough)
    }

    /// Why a person is to look, if one is.
    pub(super) fn hopeless(&self) -> Option<&'static str> {
        let is_hopeless = self.rounds().is_some_and(|(rule, rounds)| rounds >= rule.paused);
        is_hopeless.then_some("the same calls give the same results again and again")
    }

    /// The circle that the last calls make, and its rounds so far.
    fn rounds(&self) -> Option<(&'static Rule, usize)> {
        let last = self.recent.back()?;
        let newest_first: Vec<&Seen> = self.recent.iter().rev().collect();
        let rounds_of = |period: usize| {
            let same = newest_first.iter().zip(newest_first.iter().skip(period));
            let repeated = same.take_while(|(a, b)| a == b).count();
            repeated / period + 1
        };
        RULES.iter().find_map(|rule| {
            let rounds = rounds_of(rule.period);
            let fits = rule.period > 1 || rule.is_error == last.is_error;
            (fits && rounds >= rule.told.min(2)).then_some((rule, rounds))
        })
    }
}

/// Tool and arguments, however the arguments are written.
pub(super) fn key(call: &ToolCall) -> u64 {
    let arguments = serde_json::from_str::<serde_json::Value>(&call.arguments);
    hash(&(call.name.as_str(), arguments.map_or(call.arguments.clone(), |it| it.to_string())))
}

/// The result without the time that it took, which stands in the first line behind a dot.
pub(super) fn shape(result: &ToolResult) -> u64 {
    let (first, rest) = result.output.split_once('\n').unwrap_or((&result.output, ""));
    hash(&(first.split(" · ").next(), rest, result.is_error))
}

/// The same in every run: nothing of it is kept, but what follows from it is.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(command: &str) -> ToolCall {
        let arguments = format!("{{\"command\": \"{command}\"}}");
        ToolCall { id: "c".into(), name: "bash".into(), arguments }
    }

    fn result(output: &str, is_error: bool) -> ToolResult {
        ToolResult { call_id: "c".into(), output: output.into(), is_error }
    }

    /// What is done at each of these calls: `.` nothing, `n` notice, `x` not run, `p` pause.
    fn played(calls: impl IntoIterator<Item = (&'static str, String, bool)>) -> String {
        let mut circle = Circle::default();
        let play = |(command, output, is_error): (&'static str, String, bool)| {
            let call = call(command);
            let is_refused = circle.refuses(&call);
            let output = if is_refused { prompt::NOT_RUN_AGAIN.to_owned() } else { output };
            circle.take(&call, &result(&output, is_error || is_refused));
            let is_told = circle.notice().is_some();
            circle.was_told();
            match (circle.hopeless().is_some(), is_refused, is_told) {
                (true, ..) => 'p',
                (_, true, _) => 'x',
                (.., true) => 'n',
                _ => '.',
            }
        };
        calls.into_iter().map(play).collect()
    }

    #[test]
    fn the_same_call_with_the_same_result() {
        let times = ["0.1", "0.2", "0.3"].into_iter().cycle();
        let same = times.map(|time| ("ls", format!("exit 0 · {time} s\na\n"), false));
        assert_eq!(played(same.take(7)), "..n.xxp");
        let errors = std::iter::repeat(("make", "exit 2\nno\n".to_owned(), true));
        assert_eq!(played(errors.take(5)), ".nxxp");
    }

    #[test]
    fn what_goes_on_is_no_circle() {
        let grows = (0..20).map(|n| ("job 1", format!("exit 0\n{n}\n"), false));
        assert_eq!(played(grows), ".".repeat(20));
        let commands = ["a", "b", "c", "d"].into_iter().cycle().take(20);
        let many = commands.map(|command| (command, "exit 0\n".to_owned(), false));
        assert_eq!(played(many), ".".repeat(20), "four different ones");
        let cut_short = [("make", format!("{}\n", prompt::INTERRUPTED), true)];
        assert_eq!(played(std::iter::repeat_n(cut_short, 20).flatten()), ".".repeat(20));
        let mut circle = Circle::default();
        for _ in 0..20 {
            circle.take(&call("make"), &result("no", true));
            circle.break_out();
            assert_eq!((circle.notice(), circle.hopeless()), (None, None));
        }
    }

    #[test]
    fn two_and_three_in_turn() {
        let turn = |commands: &'static [&'static str], count| {
            let calls = commands.iter().cycle().take(count);
            played(calls.map(|command| (*command, "exit 0\n".to_owned(), false)))
        };
        assert_eq!(turn(&["a", "b"], 10), ".....n...p");
        assert_eq!(turn(&["a", "b", "c"], 15), "........n.....p");
    }

    #[test]
    fn arguments_are_the_same_however_they_are_written() {
        let with = |arguments: &str| key(&ToolCall { arguments: arguments.into(), ..call("") });
        assert_eq!(with("{\"a\":1,\"b\":2}"), with("{ \"a\": 1, \"b\": 2 }"));
        assert_ne!(with("{\"a\":1}"), with("{\"a\":2}"));
        assert_ne!(with("{\"a\":"), with("{\"b\":"));
    }
}
