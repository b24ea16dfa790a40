//! What a pull request says of the session it is from.
//!
//! Invariant: what a model wrote calls nobody and hides nothing; and what a person writes around
//! our part of the text stays theirs.

use std::fmt::Write;

use super::stack::Member;
use crate::event::{PullRequest, VerifyRecord};
use crate::land::message::clean;
use crate::message::{PlanItem, PlanStatus};
use crate::plan::Plan;
use crate::redact;
use crate::session::record;
use crate::session::spec::Spec;
use crate::session::state::State;

/// How our part of the text begins and ends; neither is shown.
const BEGIN: &str =
    "<!-- git-agent: what is between these lines is written anew at each update -->";
pub(super) const END: &str = "<!-- git-agent: end -->";

/// What is said.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// What was asked.
    pub spec: &'a Spec,
    /// Where it is.
    pub state: &'a State,
    /// What the pull request holds.
    pub plan: &'a Plan,
    /// What the checks said of its very tree, where they were run for it.
    pub verify: Option<&'a VerifyRecord>,
    /// Whether it tells what the session has cost.
    pub cost: bool,
    /// The remote's address, where the session's record was pushed there too.
    pub record_at: Option<&'a str>,
    /// The stack that it is part of.
    pub stack: &'a Stack,
}

/// A stack of pull requests; one alone is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The pull requests, the highest first.
    pub rungs: Vec<Rung>,
    /// The branch that all of it is for.
    pub into: String,
}

/// One pull request of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The session.
    pub id: String,
    /// What it is called at the forge, `#7`.
    pub name: String,
    /// What it does.
    pub title: String,
}

impl Rung {
    /// That of a session whose pull request is known.
    pub fn of(member: &Member, known: &PullRequest) -> Self {
        Self { id: member.spec.id.clone(), name: known.name(), title: member.subject() }
    }
}

impl Body<'_> {
    /// The text, in Markdown.
    pub fn text(&self) -> String {
        let Self { spec, state, .. } = self;
        let mut parts = vec![BEGIN.to_owned()];
        parts.extend(self.stacked());
        parts.push(format!("### Task\n\n{}", quoted(&clean(&spec.task))));
        let summary = tame(&clean(&state.summary));
        if !summary.is_empty() {
            parts.push(format!("### Summary\n\n{summary}"));
        }
        if !state.plan.is_empty() {
            let items: Vec<_> = state.plan.iter().map(item).collect();
            parts.push(format!("### Plan\n\n{}", items.join("\n")));
        }
        parts.push(format!("### Verified\n\n{}", self.verified()));
        parts.push(format!("### Session\n\n{}", self.session()));
        parts.push(END.to_owned());
        redact::text(&parts.join("\n\n")).into_owned()
    }

    fn stacked(&self) -> Option<String> {
        let Stack { rungs, into } = self.stack;
        let place = rungs.iter().position(|rung| rung.id == self.spec.id)?;
        if rungs.len() == 1 {
            return None;
        }
        let mut text = match rungs.get(place + 1) {
            Some(below) => format!("Stands on {}, and is to be merged after it.", below.name),
            None => "Others stand on it.".to_owned(),
        };
        text += "\n\n### Stack\n\n";
        for (at, Rung { name, title, .. }) in rungs.iter().enumerate() {
            let title = tame(title);
            text += &match at == place {
                true => format!("- **{title}** (this one)\n"),
                false => format!("- {name} {title}\n"),
            };
        }
        Some(format!("{text}- `{into}`"))
    }

    fn verified(&self) -> String {
        let Self { spec, state, plan, verify, .. } = self;
        let tree = plan.tree.to_hex_with_len(7);
        let passed = |record: &VerifyRecord| {
            let command = record.command.replace('`', "'");
            format!("`{command}` exited with {} on this very tree, `{tree}`.", record.exit)
        };
        match (verify, &state.verify, &plan.unverified) {
            (Some(record), _, _) => passed(record),
            (None, Some(record), None) if plan.verified => passed(record),
            (None, _, Some(why)) => format!("**Not verified:** {why}."),
            (None, _, None) if spec.verify.is_empty() => {
                "**Not verified:** the session has no verify command.".to_owned()
            }
            (None, _, None) => format!("Verified before; the tree is `{tree}`."),
        }
    }

    fn session(&self) -> String {
        let Self { spec, state, .. } = self;
        let models = match state.models.as_slice() {
            [] => spec.model_label(),
            models => models.join(", "),
        };
        let id = &spec.id;
        let mut text = format!("`{id}` by git-agent with {models}, {} steps", state.step);
        if self.cost {
            let usage = state.usage;
            let money = state.cost_usd.map_or_else(|| "?".to_owned(), |cost| format!("${cost:.2}"));
            // Writing to a string does not fail.
            write!(text, ", {money} ({} tokens in, {} out)", usage.input, usage.output)
                .unwrap_or_default();
        }
        let name = format!("{}{id}", record::PREFIX);
        match self.record_at {
            Some(address) => format!(
                "{text}.\nAll of it, word for word:\n\n```\ngit fetch {address} {name}:{name}\n\
                 git agent audit {id}\n```"
            ),
            None => format!(
                "{text}.\nAll of it, word for word, is in the ref `{name}` of whoever opened this: \
                 after `git push origin {name}` anybody may `git fetch origin {name}`."
            ),
        }
    }
}

/// A description with our part of it written anew: what a person wrote around it stays, and where
/// they have taken it out, it stays out.
pub fn renewed(old: &str, new: &str) -> Option<String> {
    // A forge may give line ends back in its own way.
    let old = old.replace("\r\n", "\n");
    let begin = old.find(BEGIN)?;
    let end = begin + old[begin..].find(END)? + END.len();
    let whole = format!("{}{new}{}", &old[..begin], &old[end..]);
    (whole != old).then_some(whole)
}

fn item(item: &PlanItem) -> String {
    let text = tame(&item.text.split_whitespace().collect::<Vec<_>>().join(" "));
    match item.status {
        PlanStatus::Done => format!("- [x] {text}"),
        PlanStatus::Pending | PlanStatus::Doing => format!("- [ ] {text}"),
        PlanStatus::Dropped => format!("- [ ] ~~{text}~~"),
    }
}

fn quoted(text: &str) -> String {
    text.lines()
        .map(|line| format!("> {line}").trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Words of a model: nobody is called by an `@`, nothing is hidden in a comment.
fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text.replace("<!--", "&lt;!--");
    while let Some(at) = rest.find('@') {
        let after = rest.split_off(at + 1);
        tamed.push_str(&rest);
        if after.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            tamed.push('\u{200b}');
        }
        rest = after;
    }
    tamed + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_around_ours_stays() {
        let ours = |text: &str| format!("{BEGIN}\n\n{text}\n\n{END}");
        let old = format!("Closes #3\r\n\r\n{}\r\n\r\nThanks", ours("a").replace('\n', "\r\n"));
        let new = renewed(&old, &ours("b")).unwrap();
        assert_eq!(new, format!("Closes #3\n\n{}\n\nThanks", ours("b")));
        assert_eq!(renewed(&new, &ours("b")), None);
        assert_eq!(renewed("all mine", &ours("b")), None);
    }

    #[test]
    fn a_model_calls_nobody_and_hides_nothing() {
        assert_eq!(
            tame("ask @ada, a@b.example, @ <!-- x"),
            "ask @\u{200b}ada, a@\u{200b}b.example, @ &lt;!-- x"
        );
    }
}
