//! What a session has cost so far.
//!
//! Invariant: a fold over the journal, live and on resume: each answer counts once, at the price of
//! the model that gave it; an unknown price is unknown, never 0.

use crate::event::Update;
use crate::message::Usage;
use crate::model::{Choice, Pricing};
use crate::session::spec::Spec;

/// The fold.
#[derive(Clone, Debug)]
pub struct Bill {
    own: Seat,
    now: Seat,
    usage: Usage,
    /// None while nothing was asked, or once a price was not known.
    cost_usd: Option<f64>,
    /// The same, as far as prices are known: what a budget holds.
    counted_usd: f64,
    answers: u32,
    /// The models that have answered, in the order of their first answer: in all, and since the
    /// agent's last commit.
    models: Vec<String>,
    since_commit: Vec<String>,
}

/// A model and its price.
#[derive(Clone, Debug)]
struct Seat {
    label: String,
    pricing: Pricing,
}

impl Seat {
    fn of(model: &str) -> Self {
        let label = model.parse::<Choice>().map_or_else(|_| model.to_owned(), |it| it.label());
        Self { label, pricing: Pricing::of(model) }
    }
}

impl Bill {
    /// Nothing yet, for this session.
    pub fn new(spec: &Spec) -> Self {
        let own = Seat::of(spec.first_model());
        Self {
            now: own.clone(),
            own,
            usage: Usage::default(),
            cost_usd: None,
            counted_usd: 0.0,
            answers: 0,
            models: Vec::new(),
            since_commit: Vec::new(),
        }
    }

    /// Takes in what has happened.
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::AgentMessage(answer) => {
                self.add(&answer.usage);
                for models in [&mut self.models, &mut self.since_commit] {
                    if !models.contains(&self.now.label) {
                        models.push(self.now.label.clone());
                    }
                }
            }
            Update::Checkpoint(made) if made.commit.is_some() && made.by_person.is_none() => {
                self.since_commit.clear();
            }
            Update::Unfinished(unfinished) => self.add(&unfinished.usage),
            Update::Compaction(made) if made.usage != Usage::default() => self.add(&made.usage),
            Update::Model(change) => {
                self.now = Seat::of(&change.to);
                if change.lasting {
                    self.own = self.now.clone();
                }
            }
            // The session that this one was forked from has paid for what came before.
            Update::Fork(_) => {
                (self.usage, self.cost_usd, self.answers) = (Usage::default(), None, 0);
                self.counted_usd = 0.0;
            }
            Update::State(change) if change.is_rest() => self.now = self.own.clone(),
            _ => {}
        }
    }

    /// Tokens so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// US dollars so far; none while a price is unknown.
    pub fn cost_usd(&self) -> Option<f64> {
        self.cost_usd
    }

    /// US dollars so far, as far as prices are known.
    pub fn counted_usd(&self) -> f64 {
        self.counted_usd
    }

    /// Dollars for these tokens, at the price of the model that goes on.
    pub fn price(&self, usage: &Usage) -> Option<f64> {
        self.now.pricing.cost(usage)
    }

    /// The model that goes on, for people.
    pub fn model(&self) -> &str {
        &self.now.label
    }

    /// The models that have answered, for people.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Those that have answered since the agent's last commit.
    pub fn since_commit(&self) -> &[String] {
        &self.since_commit
    }

    fn add(&mut self, usage: &Usage) {
        let so_far = if self.answers == 0 { Some(0.0) } else { self.cost_usd };
        let price = self.price(usage);
        self.cost_usd = so_far.zip(price).map(|(sum, more)| sum + more);
        self.counted_usd += price.unwrap_or_default();
        self.usage += *usage;
        self.answers += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Compaction, ModelChange, StateChange};
    use crate::message::{Answer, StopReason};
    use crate::session::spec::tests::sample;

    fn answer(usage: Usage) -> Update {
        let (text, thought) = (String::new(), String::new());
        let stop = StopReason::EndTurn;
        Update::AgentMessage(Answer { text, thought, calls: Vec::new(), stop, usage, raw: None })
    }

    fn change(to: &str) -> Update {
        let (from, to) = ("anthropic/claude-opus-5".to_owned(), to.to_owned());
        Update::Model(ModelChange { from, to, reason: String::new(), lasting: false })
    }

    #[test]
    fn k02_each_answer_counts_once_at_the_price_of_its_model() {
        let million = Usage { input: 1_000_000, ..Usage::default() };
        let price = |model: &str| Pricing::of(model).cost(&million).unwrap();
        let (opus, gpt) = (price("anthropic/claude-opus-5"), price("openai/gpt-5"));
        let model = "anthropic/claude-opus-5".to_owned();
        let mut bill = Bill::new(&Spec { model, ..sample("add-7f3k") });
        assert_eq!(bill.cost_usd(), None);
        let mut costs = Vec::new();
        let rest = StateChange {
            from: "running".into(),
            to: "paused".into(),
            reason: String::new(),
            usage: Usage::default(),
        };
        for update in [
            answer(million),
            change("openai/gpt-5"),
            answer(million),
            Update::Compaction(Compaction { usage: million, ..Compaction::default() }),
            Update::Compaction(Compaction::default()),
            Update::State(rest),
            answer(million),
            change("ollama/some"),
            answer(million),
            change("openai/gpt-5"),
            answer(million),
        ] {
            bill.apply(&update);
            costs.push(bill.cost_usd());
        }
        let two = Some(opus + gpt + gpt);
        let (one, three) = (Some(opus), Some(opus + gpt + gpt + opus));
        assert_eq!(
            costs,
            [one, one, Some(opus + gpt), two, two, two, three, three, None, None, None]
        );
        // What has no price gives nothing back of what had one.
        assert_eq!(bill.counted_usd(), opus + gpt + gpt + opus + gpt);
        assert_eq!(bill.usage().input, 6_000_000);
    }

    #[test]
    fn a_model_that_was_chosen_for_good_stays_after_a_rest() {
        let million = Usage { input: 1_000_000, ..Usage::default() };
        let price = |model: &str| Pricing::of(model).cost(&million).unwrap();
        let (opus, gpt) = ("anthropic/claude-opus-5", "openai/gpt-5");
        let spec =
            Spec { model: gpt.to_owned(), began_with: Some(opus.to_owned()), ..sample("add-7f3k") };
        let (from, to, reason) = (opus.to_owned(), gpt.to_owned(), String::new());
        let rest = StateChange {
            from: "running".into(),
            to: "paused".into(),
            reason: String::new(),
            usage: Usage::default(),
        };
        let mut bill = Bill::new(&spec);
        for update in [
            answer(million),
            Update::Model(ModelChange { from, to, reason, lasting: true }),
            Update::State(rest),
            answer(million),
        ] {
            bill.apply(&update);
        }
        assert_eq!(bill.cost_usd(), Some(price(opus) + price(gpt)));
        assert_eq!(bill.models(), [opus, gpt]);
    }
}
