//! Whether the calls of an answer may run: by the rules, by where the session may work, and by what
//! a person has said.
//!
//! Invariant: it is decided before a call is journalled as begun, and what was decided is in the
//! journal: a question, a result that says why not, or the beginning. A yes is for the call, the
//! target and the rule that were shown; where one of them is another by now, it is asked again.

use super::permission::{self, Ruling};
use super::{Agent, Rest, World, prompt, updates_of};
use crate::event::{Finding, Question, QuestionKind, Update};
use crate::message::ToolCall;
use crate::tool::output::neutral;
use crate::tool::{Aim, Target};

/// What a rule on paths says of one that a tool is about to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// The rule and the path.
    pub finding: Finding,
    /// No person is asked: it is not written.
    pub is_denied: bool,
}

/// What is to become of a call.
enum Permit {
    Run,
    Ask(Question),
    /// Not run, and why, as the model reads it.
    Deny(String),
}

impl<W: World> Agent<'_, W> {
    /// Those of the next calls that may run now, up to the first that a person must be asked about;
    /// none where that was the first of them, and is asked.
    pub(super) fn permitted(
        &mut self,
        group: Vec<ToolCall>,
    ) -> Result<Option<Vec<ToolCall>>, Rest> {
        let mut run = Vec::new();
        for call in group {
            match self.permit(&call) {
                Permit::Run => run.push(call),
                // In their order: what comes before goes first.
                _ if !run.is_empty() => break,
                Permit::Ask(question) => {
                    self.tell(vec![Update::Question(question)])?;
                    return Ok(None);
                }
                Permit::Deny(why) => {
                    let called = self.tools.not_run(&call, &why);
                    self.tell(updates_of(call, called, 0))?;
                }
            }
        }
        Ok(Some(run))
    }

    fn permit(&self, call: &ToolCall) -> Permit {
        // Neither is run: both are answered in words.
        if self.conversation.was_cut_off() || self.conversation.refuses(call) {
            return Permit::Run;
        }
        let Some(aim) = self.tools.aim(call) else { return Permit::Run };
        let guarded = match &aim.target {
            Target::Write(path) => self.world.guard(path),
            _ => None,
        };
        let guarded = guarded.filter(|it| !self.conversation.consent().is_always(&it.finding));
        let ruling = self.rules.judge(&aim);
        match (&guarded, &ruling) {
            (_, Ruling::Deny(rule)) => return Permit::Deny(prompt::forbidden(rule)),
            (Some(Guarded { finding, is_denied: true }), _) => {
                return Permit::Deny(prompt::off_limits(finding));
            }
            (None, Ruling::Allow) => return Permit::Run,
            _ => {}
        }
        let question = self.question(call, &aim, guarded.map(|it| it.finding), ruling);
        match self.conversation.is_permitted(&call.id, &question.text) {
            true => Permit::Run,
            false => Permit::Ask(question),
        }
    }

    fn question(
        &self,
        call: &ToolCall,
        aim: &Aim,
        finding: Option<Finding>,
        ruling: Ruling,
    ) -> Question {
        let does = match &aim.target {
            Target::Command(command) => format!("run {}", escaped(command.trim())),
            Target::Read(path) => format!("read {}", escaped(path)),
            Target::Write(path) => format!("write {}", escaped(path)),
            Target::Nothing => format!("use {}", aim.tool),
        };
        let rule = match ruling {
            Ruling::Ask(rule) => Some(rule),
            _ => None,
        };
        let why = [finding.as_ref().map(|it| format!("it {}", it.why)), rule.clone()];
        let why = why.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let mut findings: Vec<_> = finding.into_iter().collect();
        let is_guarded = !findings.is_empty();
        if let (Some(rule), Target::Write(path)) = (rule, &aim.target) {
            findings.push(permission::finding(&rule, path));
        }
        Question {
            text: format!("may it {does}? ({why})"),
            kind: QuestionKind::Permission,
            call_id: Some(call.id.clone()),
            findings,
            always: self.rules.allowing(aim).filter(|_| !is_guarded),
            ..Question::default()
        }
    }
}

/// The whole of it in one line, with nothing in it that does not show.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            letter if neutral(letter) != letter || letter == '\u{200d}' => {
                shown.extend(letter.escape_unicode());
            }
            letter => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x14_all_of_a_command_is_shown_and_nothing_of_it_hides() {
        let long = "y".repeat(500);
        let shown = escaped(&("echo \\n\n\trm \u{202e}x\u{1b}[2K ".to_owned() + &long));
        let wanted = r"echo \\n\n\trm \u{202e}x\u{1b}[2K ".to_owned() + &long;
        assert_eq!(shown, wanted);
    }
}
