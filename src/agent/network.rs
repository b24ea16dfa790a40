//! The hosts that a session may reach because a person said so: a fold over the journal; and the
//! questions about those that it may not.
//!
//! Invariant: a host is asked about once, and only where somebody is there to answer; nothing but
//! a person's yes opens it.

use std::collections::BTreeSet;

use super::{Agent, Rest, World, prompt};
use crate::event::{Access, Decision, Question, Update, Visit};
use crate::tool::Called;

/// How many hosts one call may ask about: the rest stays blocked, and is asked about when a
/// command wants it again.
const QUESTIONS: usize = 3;

/// What people have said of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    asked: BTreeSet<String>,
    allowed: Vec<String>,
}

impl Hosts {
    /// Takes in what is asked.
    pub(super) fn ask(&mut self, question: &Question) {
        self.asked.extend(question.host().map(str::to_owned));
    }

    /// Takes in what was decided; gives what the model is told, where it was about a host.
    pub(super) fn decide(&mut self, question: &Question, decision: &Decision) -> Option<String> {
        let host = question.host()?;
        if decision.verdict.is_yes() {
            self.allowed.push(host.to_owned());
            return Some(prompt::host_allowed(host));
        }
        Some(prompt::host_denied(host, &decision.reason))
    }
}

impl<W: World> Agent<'_, W> {
    /// Lets the commands reach what a person has allowed.
    pub(super) fn open_hosts(&self) {
        for host in &self.conversation.hosts().allowed {
            self.tools.allow_host(host);
        }
    }

    /// Journals which hosts were wanted since the last look, and asks about those that are blocked.
    /// Rests where the sandbox is no more.
    pub(super) fn tell_visits(&mut self, visits: Vec<Visit>) -> Result<(), Rest> {
        let blocked = visits.iter().filter(|it| it.access == Access::NotAllowed);
        let hosts = blocked.map(|it| it.place.clone());
        let asked = &self.conversation.hosts().asked;
        let new: Vec<_> = hosts.filter(|host| !asked.contains(host)).take(QUESTIONS).collect();
        let questions = new.into_iter().filter(|_| self.tools.is_attended());
        let questions = questions.map(|host| Update::Question(Question::of_host(host)));
        let questions: Vec<_> = questions.collect();
        self.tell(visits.into_iter().map(Update::Network).chain(questions).collect())?;
        // Whatever the last commands said, it was not theirs to say.
        let gone = |why| Rest::Paused { reason: format!("the sandbox has gone: {why}") };
        self.tools.check().map_err(gone)
    }
}

/// Says in the result of the last of these calls what was kept from it, so that the model does not
/// take it for a fault of the host.
pub(super) fn say_blocked<C>(ended: &mut [(C, (Called, u64))], visits: &[Visit], asks: bool) {
    if let (Some((_, (called, _))), Some(note)) =
        (ended.last_mut(), prompt::blocked_hosts(visits, asks))
    {
        called.output.push_str(&note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Verdict;

    fn question(host: &str) -> Question {
        Question::of_host(host.to_owned())
    }

    fn decision(verdict: Verdict) -> Decision {
        Decision { question: 1, verdict, reason: "not that".to_owned(), inbox_id: None }
    }

    #[test]
    fn only_a_yes_opens_a_host_and_the_model_hears_of_it() {
        let mut hosts = Hosts::default();
        hosts.ask(&question("a.example:443"));
        let said = hosts.decide(&question("a.example:443"), &decision(Verdict::Approved));
        assert!(said.unwrap().contains("may reach a.example:443 now"));
        let said = hosts.decide(&question("b.example:443"), &decision(Verdict::Denied)).unwrap();
        assert!(said.contains("b.example:443: not that"), "{said}");
        assert_eq!(hosts.allowed, ["a.example:443"]);
        assert_eq!(hosts.decide(&Question::default(), &decision(Verdict::Approved)), None);
    }

    #[test]
    fn x17_the_result_of_a_call_says_what_was_blocked() {
        let visit = |place: &str, access| Visit { place: place.to_owned(), access, received: 0 };
        let visits = [
            visit("a.example:443", Access::Allowed),
            visit("b.example:443", Access::NotAllowed),
            visit("c.example:80", Access::Private),
        ];
        let note = prompt::blocked_hosts(&visits, false).unwrap();
        assert_eq!(
            note,
            "[network] blocked by the sandbox, whatever the program says of it: b.example:443 (not \
             among the hosts that this session may reach), c.example:80 (leads to an address that \
             is not in the internet). Go on without.\n"
        );
        let note = prompt::blocked_hosts(&visits, true).unwrap();
        assert!(note.ends_with("A person is asked about it.\n"), "{note}");
        assert_eq!(prompt::blocked_hosts(&visits[..1], true), None);
    }
}
