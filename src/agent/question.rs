//! What a person is to answer: a fold over the journal.
//!
//! Invariant: questions are answered in the order they were asked, each by what its kind asks for
//! and once; a question keeps its number on every resume.

use std::collections::VecDeque;

use crate::event::{Decision, Question, QuestionKind};

/// The questions of a session.
#[derive(Debug, Default)]
pub(super) struct Questions {
    asked: u32,
    open: VecDeque<Question>,
}

impl Questions {
    /// Takes in what is asked. Who asked in earlier times did not number it.
    pub(super) fn ask(&mut self, question: &Question) {
        self.asked += 1;
        let number = if question.number > 0 { question.number } else { self.asked };
        self.open.push_back(Question { number, ..question.clone() });
    }

    /// The one that is to be answered now.
    pub(super) fn front(&self) -> Option<&Question> {
        self.open.front()
    }

    /// Whether this call waits for an answer.
    pub(super) fn is_for(&self, call_id: &str) -> bool {
        self.open.iter().any(|question| question.call_id.as_deref() == Some(call_id))
    }

    /// Whether changes wait for an answer before they are committed.
    pub(super) fn hold_changes(&self) -> bool {
        self.open.iter().any(|question| question.kind == QuestionKind::Changes)
    }

    /// A person has spoken: the question that this answers, if one is asked that wants words.
    pub(super) fn hear(&mut self) -> Option<Question> {
        self.pop_if(|question| question.kind.is_for_words())
    }

    /// A person has decided: the question, where it is the one that is asked now.
    pub(super) fn decide(&mut self, decision: &Decision) -> Option<Question> {
        self.pop_if(|question| question.kind.is_decision() && question.number == decision.question)
    }

    fn pop_if(&mut self, is_answered: impl Fn(&Question) -> bool) -> Option<Question> {
        self.front().is_some_and(is_answered).then(|| self.open.pop_front()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Limit, Verdict};

    fn question(text: &str, kind: QuestionKind) -> Question {
        Question { text: text.to_owned(), kind, ..Question::default() }
    }

    fn decision(question: u32) -> Decision {
        let (reason, inbox_id) = (String::new(), None);
        Decision { question, verdict: Verdict::Approved, reason, inbox_id }
    }

    #[test]
    fn e15_each_question_is_answered_once_and_by_what_it_asks_for() {
        let mut questions = Questions::default();
        questions.ask(&question("which?", QuestionKind::Ask));
        questions
            .ask(&Question { limit: Some(Limit::Steps), ..question("more?", QuestionKind::Limit) });
        questions.ask(&question("and which?", QuestionKind::Ask));
        let number = |question: Option<Question>| question.map(|question| question.number);
        assert_eq!(questions.decide(&decision(1)), None, "a question for words is not decided");
        assert_eq!(number(questions.hear()), Some(1));
        assert_eq!(questions.hear(), None, "words decide nothing");
        assert_eq!(questions.decide(&decision(3)), None, "it is not asked yet");
        assert_eq!(number(questions.decide(&decision(2))), Some(2));
        assert_eq!(questions.decide(&decision(2)), None, "it was answered");
        assert_eq!(number(questions.hear()), Some(3));
        assert_eq!(questions.front(), None);
    }
}
