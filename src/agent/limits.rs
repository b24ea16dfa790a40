//! When the loop gives up by itself, or asks a person whether it may go on.
//!
//! Invariant: a limit is looked at before each request, so none is passed by more than one answer;
//! what the limits are, and what of them was said, is told by the journal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Agent, Fault, Rest, World};
use crate::event::{
    Decision, Limit, LimitChange, LimitMark, NOTICED, Question, QuestionKind, Update, Verdict,
};
use crate::message::Usage;
use crate::model::ModelError;

/// At how much of a limit the model is told, in percent.
const MARKS: [u8; 3] = [50, NOTICED, 95];

/// Time at work is journalled in pieces of at least this.
const LAP: Duration = Duration::from_secs(1);

/// How often, how long and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What may be used up.
    pub allowed: Allowances,
    /// Times that a failing verify goes back to the model before the session has failed.
    pub red_rounds: u32,
    /// Answers in a row that may be of no use.
    pub strikes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { allowed: Allowances::default(), red_rounds: 3, strikes: 3 }
    }
}

/// How much of something there may be, and how much an approval adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// In all.
    pub to: f64,
    /// An approval adds this.
    pub more: f64,
}

/// What may be used up, by limit; what is not there is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allowances([Option<Allowance>; Limit::ALL.len()]);

impl Allowances {
    /// How much of this there may be.
    pub fn of(&self, limit: Limit) -> Option<Allowance> {
        self.0[limit as usize]
    }

    /// Allows so much, and as much again with each approval.
    #[must_use]
    pub fn with(mut self, limit: Limit, to: Option<f64>) -> Self {
        self.0[limit as usize] = to.map(|to| Allowance { to, more: to });
        self
    }
}

/// What the journal tells of the limits.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Steps of another session that this one was forked from.
    before: u32,
    /// Time at work, in milliseconds.
    pub(super) worked: u64,
    /// Limits that a person has set anew.
    changed: [Option<Option<Allowance>>; Limit::ALL.len()],
    /// What was said of a limit.
    said: BTreeSet<(Limit, u8)>,
}

impl Account {
    /// The account of a session that goes on from this step of another, with limits of its own.
    pub(super) fn after(step: u32) -> Self {
        Self { before: step, ..Self::default() }
    }

    /// How much of this there may be by now.
    pub(super) fn allowed(&self, limits: &Limits, limit: Limit) -> Option<Allowance> {
        self.changed[limit as usize].unwrap_or_else(|| limits.allowed.of(limit))
    }

    pub(super) fn change(&mut self, change: &LimitChange) {
        let LimitChange { limit, to, more, spent, .. } = *change;
        self.changed[limit as usize] = Some(to.map(|to| Allowance { to, more }));
        self.is_raised(limit);
        let is_used = |mark: &u8| to.is_some_and(|to| spent / to * 100.0 >= f64::from(*mark));
        self.said.extend(MARKS.into_iter().filter(is_used).map(|mark| (limit, mark)));
    }

    /// There is more of this by now, by a person's word here or in a session that shares it: what
    /// was said of the old limit is said anew of the new one.
    pub(super) fn is_raised(&mut self, limit: Limit) {
        self.said.retain(|(said, percent)| *said != limit || *percent == 0);
    }

    pub(super) fn mark(&mut self, mark: &LimitMark) {
        self.said.insert((mark.limit, mark.percent));
    }

    fn was_said(&self, limit: Limit, percent: u8) -> bool {
        self.said.range((limit, percent)..=(limit, u8::MAX)).next().is_some()
    }
}

/// What the session has cost, as far as prices are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Money {
    /// US dollars, as far as prices are known.
    pub dollars: f64,
    /// The budget that it shares with other sessions.
    pub shared: Option<Shared>,
}

/// A budget of several sessions, in US dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// What all of them have cost.
    pub spent: f64,
    /// What they may cost.
    pub allowed: Allowance,
}

/// How far a limit is used up.
#[derive(Clone, Debug, PartialEq)]
struct Standing {
    limit: Limit,
    spent: f64,
    allowed: Allowance,
    /// The name of a shared budget.
    shared: Option<String>,
}

impl Standing {
    fn is_over(&self) -> bool {
        self.spent >= self.allowed.to
    }

    fn name(&self) -> String {
        match &self.shared {
            Some(group) => {
                format!("the shared budget {group} of {}", self.limit.say(self.allowed.to))
            }
            None => self.limit.name(self.allowed.to),
        }
    }

    fn question(&self) -> Question {
        let reached = format!("{} is {}", self.name(), self.limit.used_up());
        let more = self.limit.say(self.allowed.more);
        Question {
            text: format!("{reached}; approve adds another {more}"),
            kind: QuestionKind::Limit,
            limit: Some(self.limit),
            reached: Some(reached.into()),
            ..Question::default()
        }
    }

    /// The highest mark that is reached and was not said.
    fn mark(&self, account: &Account) -> Option<LimitMark> {
        let used = self.spent / self.allowed.to * 100.0;
        let percent = MARKS.into_iter().rfind(|mark| used >= f64::from(*mark))?;
        if account.was_said(self.limit, percent) {
            return None;
        }
        let (name, spent) = (self.name(), self.limit.say(self.spent));
        let text = format!("{percent} % of {name} is used: {spent}");
        Some(LimitMark { limit: self.limit, percent, text })
    }

    /// The limit after an approval: as much again, as often as it takes.
    fn raised(&self) -> f64 {
        let Allowance { to, more } = self.allowed;
        to + more * (((self.spent - to) / more).floor().max(0.0) + 1.0)
    }
}

/// The room that there was before a request.
#[derive(Debug)]
pub(super) struct Room {
    standings: Vec<Standing>,
    since: Instant,
}

impl Room {
    /// Whether there is none for another try, after these have failed.
    pub(super) fn is_used_up(&self, lost: &[Usage], world: &impl World) -> bool {
        let lost_tokens: f64 = lost.iter().copied().map(tokens).sum();
        let lost_dollars: f64 = lost.iter().filter_map(|usage| world.price(usage)).sum();
        self.standings.iter().any(|Standing { limit, spent, allowed, .. }| {
            let more = match limit {
                Limit::Steps => 0.0,
                Limit::Tokens => lost_tokens,
                Limit::Budget => lost_dollars,
                Limit::Timeout => self.since.elapsed().as_secs_f64(),
            };
            spent + more >= allowed.to
        })
    }
}

impl<W: World> Agent<'_, W> {
    /// What room there is for another request; where there is none, a person is asked. What a
    /// person and the model should know of the limits is said.
    pub(super) fn look_at_limits(&mut self) -> Result<Option<Room>, Rest> {
        if self.conversation.strikes() >= self.limits.strikes {
            let strikes = self.conversation.strikes();
            let reason = format!("{strikes} answers in a row were empty, cut off or unreadable");
            return Err(Rest::Paused { reason });
        }
        if let Some(reason) = self.conversation.hopeless() {
            return Err(Rest::Paused { reason: reason.to_owned() });
        }
        self.tell_worked(LAP)?;
        let standings = self.standings()?;
        if let Some(over) = standings.iter().find(|standing| standing.is_over()) {
            self.tell(vec![Update::Question(over.question())])?;
            return Ok(None);
        }
        let account = self.conversation.account();
        let marks = standings.iter().filter_map(|standing| standing.mark(account));
        let marks: Vec<_> = marks.chain(self.uncounted(&standings)).collect();
        self.tell(marks.into_iter().map(Update::LimitMark).collect())?;
        Ok(Some(Room { standings, since: Instant::now() }))
    }

    /// A limit that somebody else has raised meanwhile is no question any more.
    pub(super) fn wait(&mut self, question: Question) -> Result<(), Rest> {
        let Some(limit) = question.limit.filter(|_| question.kind == QuestionKind::Limit) else {
            return Err(Rest::NeedsInput(Box::new(question)));
        };
        if self.standings()?.iter().any(|it| it.limit == limit && it.is_over()) {
            return Err(Rest::NeedsInput(Box::new(question)));
        }
        self.tell(vec![Update::Decision(Decision {
            question: question.number,
            verdict: Verdict::Withdrawn,
            reason: String::new(),
            inbox_id: None,
        })])
    }

    /// What a decision on a reached limit does to it; nothing to a budget that is shared, which
    /// whoever decides raises for all.
    pub(super) fn limit_after(
        &mut self,
        question: &Question,
        verdict: Verdict,
    ) -> Result<Option<LimitChange>, Rest> {
        let limit = question.limit.filter(|_| question.kind == QuestionKind::Limit);
        let standing = self.standings()?.into_iter().find(|it| Some(it.limit) == limit);
        let Some(standing) = standing.filter(|it| it.shared.is_none() && verdict.is_yes()) else {
            return Ok(None);
        };
        let to = (verdict != Verdict::Always).then(|| standing.raised());
        let Standing { limit, spent, allowed: Allowance { more, .. }, .. } = standing;
        Ok(Some(LimitChange { limit, to, more, spent, inbox_id: None }))
    }

    /// A limit as a person sets it by hand.
    pub(super) fn new_limit(
        &self,
        limit: Limit,
        to: Option<f64>,
        inbox_id: Option<String>,
    ) -> Result<LimitChange, Fault> {
        let spent = self.spent(limit, &self.world.money()?);
        Ok(LimitChange { limit, to, more: to.unwrap_or_default(), spent, inbox_id })
    }

    /// How far each limit is used up.
    fn standings(&self) -> Result<Vec<Standing>, Fault> {
        let money = self.world.money()?;
        let standing = |limit: Limit| {
            let shared = money.shared.as_ref().filter(|_| limit == Limit::Budget);
            if let Some(Shared { name, spent, allowed }) = shared {
                let (spent, allowed, shared) = (*spent, *allowed, Some(name.clone()));
                return Some(Standing { limit, spent, allowed, shared });
            }
            let allowed = self.conversation.account().allowed(&self.limits, limit)?;
            Some(Standing { limit, spent: self.spent(limit, &money), allowed, shared: None })
        };
        Ok(Limit::ALL.into_iter().filter_map(standing).collect())
    }

    /// How much of this the session has used up.
    fn spent(&self, limit: Limit, money: &Money) -> f64 {
        match limit {
            Limit::Steps => {
                let before = self.conversation.account().before;
                f64::from(self.conversation.step().saturating_sub(before))
            }
            Limit::Tokens => tokens(self.conversation.usage()),
            Limit::Budget => money.dollars,
            Limit::Timeout => {
                let worked = Duration::from_millis(self.conversation.account().worked);
                (worked + self.lap.elapsed()).as_secs_f64()
            }
        }
    }

    /// That a budget cannot bind where no price is known: said once.
    fn uncounted(&self, standings: &[Standing]) -> Option<LimitMark> {
        let budget = standings.iter().find(|standing| standing.limit == Limit::Budget)?;
        let is_said = self.conversation.account().said.contains(&(Limit::Budget, 0));
        if is_said || self.world.price(&Usage::default()).is_some() {
            return None;
        }
        let name = budget.name();
        let text = format!(
            "no price is known for this model: tokens are counted, money is not, and {name} \
             cannot hold it"
        );
        Some(LimitMark { limit: Limit::Budget, percent: 0, text })
    }

    /// Journals how long it was at work since the last time, if that is at least this.
    pub(super) fn tell_worked(&mut self, at_least: Duration) -> Result<(), Rest> {
        let lap = self.lap.elapsed();
        let millis = u64::try_from(lap.as_millis()).unwrap_or(u64::MAX);
        if lap < at_least || millis == 0 {
            return Ok(());
        }
        self.lap = Instant::now();
        self.tell(vec![Update::Worked(millis)])
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn tokens(usage: Usage) -> f64 {
    (usage.input + usage.output) as f64
}

/// Where a model that gives no answer leaves the session.
pub(super) fn rest_after(error: &ModelError) -> Rest {
    match error {
        ModelError::KeyRefused { .. } => Rest::NeedsInput(Box::new(Question {
            text: error.to_string(),
            kind: QuestionKind::Key,
            ..Question::default()
        })),
        ModelError::CommandFailed { .. } => Rest::Failed { reason: error.to_string() },
        _ => Rest::Paused { reason: error.to_string() },
    }
}
