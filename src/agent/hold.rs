//! What a person is asked about paths that a rule wants them to look at, and what they have said: a
//! fold over the journal.
//!
//! Invariant: a yes is for the content that was asked about, or for the paths for good where it was
//! said so; after a no nothing is committed before it is put back.

use std::collections::BTreeSet;

use super::{Agent, Rest, World};
use crate::event::{Decision, Finding, PutBack, Question, QuestionKind, Update, Verdict};
use crate::file::Changed;

/// How many paths a question names.
const NAMED: usize = 10;

/// What people have said of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// Kept as they were found, up to the next checkpoint.
    kept: Vec<Finding>,
    /// To be written by a call of this step, by rule and path.
    written: BTreeSet<(String, String)>,
    /// Not asked about any more, by rule and path.
    always: BTreeSet<(String, String)>,
    /// Denied, and not put back yet.
    denied: Option<PutBack>,
}

impl Consent {
    /// Whether a person has said yes to this, of a step that may have changed so much: a program
    /// that ran may have written again what a call was allowed to write.
    pub fn covers(&self, finding: &Finding, changed: &Changed) -> bool {
        let named = (finding.rule.clone(), finding.path.clone());
        self.always.contains(&named)
            || (*changed != Changed::Anything && self.written.contains(&named))
            || self.kept.iter().any(|kept| {
                (&kept.rule, &kept.path, &kept.content)
                    == (&finding.rule, &finding.path, &finding.content)
            })
    }

    /// Whether a call may touch this, for good.
    pub(super) fn is_always(&self, finding: &Finding) -> bool {
        self.always.contains(&(finding.rule.clone(), finding.path.clone()))
    }

    pub(super) fn decide(&mut self, question: &Question, decision: &Decision) {
        let named = question.findings.iter().map(|it| (it.rule.clone(), it.path.clone()));
        match (question.kind, decision.verdict) {
            (_, Verdict::Always) => self.always.extend(named),
            (QuestionKind::Changes, Verdict::Approved) => {
                let exact = question.findings.iter().filter(|it| it.is_exact());
                self.always.extend(exact.map(|it| (it.rule.clone(), it.path.clone())));
                self.kept.extend(question.findings.iter().cloned());
            }
            (QuestionKind::Permission, Verdict::Approved) => self.written.extend(named),
            (QuestionKind::Changes, Verdict::Denied) => {
                let mut paths: Vec<_> = named.map(|(_, path)| path).collect();
                paths.dedup();
                let reason = decision.reason.clone();
                self.denied = Some(PutBack { paths, reason, kept: None });
            }
            _ => {}
        }
    }

    /// Everything up to here is committed.
    pub(super) fn settle(&mut self) {
        self.kept.clear();
        self.written.clear();
    }

    pub(super) fn is_put_back(&mut self) {
        self.denied = None;
    }
}

impl<W: World> Agent<'_, W> {
    /// Takes out of the worktree what a person did not allow.
    pub(super) fn put_back(&mut self) -> Result<(), Rest> {
        let Some(denied) = self.conversation.consent().denied.clone() else { return Ok(()) };
        let kept = self.world.put_back(&denied.paths)?;
        self.tell(vec![Update::PutBack(PutBack { kept, ..denied })])
    }
}

/// What is asked where these changes wait to be committed.
pub(super) fn question(findings: Vec<Finding>) -> Question {
    let named = findings.iter().take(NAMED).map(|it| format!("{} {}", it.path, it.why));
    let mut named = named.collect::<Vec<_>>().join("; ");
    if findings.len() > NAMED {
        named = format!("{named}; and {} more", findings.len() - NAMED);
    }
    Question {
        text: format!("keep these changes? {named}; deny puts them back"),
        kind: QuestionKind::Changes,
        findings,
        ..Question::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(path: &str, content: &str) -> Finding {
        let (rule, why) = ("protect".to_owned(), "is protected".to_owned());
        Finding { rule, path: path.to_owned(), why, content: Some(content.to_owned()) }
    }

    fn after(kind: QuestionKind, verdict: Verdict) -> Consent {
        let question = Question { kind, findings: vec![finding("a", "1")], ..Question::default() };
        let (reason, inbox_id) = ("no".to_owned(), None);
        let mut consent = Consent::default();
        consent.decide(&question, &Decision { question: 1, verdict, reason, inbox_id });
        consent
    }

    #[test]
    fn a_yes_is_for_what_was_seen() {
        let anything = Changed::Anything;
        let mut kept = after(QuestionKind::Changes, Verdict::Approved);
        assert!(kept.covers(&finding("a", "1"), &anything));
        assert!(!kept.covers(&finding("a", "2"), &anything), "it was changed since");
        assert!(!kept.covers(&finding("b", "1"), &anything));
        kept.settle();
        assert!(!kept.covers(&finding("a", "1"), &anything), "that was another step");
        let mut always = after(QuestionKind::Changes, Verdict::Always);
        always.settle();
        assert!(always.covers(&finding("a", "2"), &anything));
        let written = after(QuestionKind::Permission, Verdict::Approved);
        let paths = Changed::Paths(vec!["a".into()]);
        assert!(written.covers(&finding("a", "2"), &paths));
        assert!(!written.covers(&finding("a", "2"), &anything), "a program ran too");
    }

    #[test]
    fn a_no_is_put_back_once() {
        let mut denied = after(QuestionKind::Changes, Verdict::Denied);
        assert!(!denied.covers(&finding("a", "1"), &Changed::Anything));
        let put_back = PutBack { paths: vec!["a".to_owned()], reason: "no".to_owned(), kept: None };
        assert_eq!(denied.denied, Some(put_back));
        denied.is_put_back();
        assert_eq!(denied, Consent::default());
        assert_eq!(after(QuestionKind::Permission, Verdict::Denied), Consent::default());
    }

    #[test]
    fn a_question_names_the_first_paths_and_counts_the_rest() {
        let findings: Vec<_> = (0..12).map(|at| finding(&format!("f{at}"), "1")).collect();
        let text = question(findings[..1].to_vec()).text;
        assert_eq!(text, "keep these changes? f0 is protected; deny puts them back");
        let text = question(findings).text;
        assert!(text.ends_with("; f9 is protected; and 2 more; deny puts them back"), "{text}");
    }
}
