//! Limits as arguments: of a session that begins, or of one that rests.
//!
//! Invariant: what a flag does not say is left to the settings, or as it is.

use crate::config::{Bound, Config, amount};
use crate::error::{CommandError, Result};
use crate::event::Limit;
use crate::policy::Caps;
use crate::session::id;
use crate::session::spec::{Limits, Spec};
use crate::session::state::State;
use crate::session::store::Store;

/// What a session may use up before a person is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LimitArgs {
    /// Ask a person when it has cost this much, as 5 or 2.50 (default: agent.budget)
    #[arg(long, value_name = "DOLLARS", value_parser = amount::dollars, allow_hyphen_values = true)]
    budget: Option<Bound>,
    /// Ask a person after this many tokens, as 500k or 2m (default: agent.maxTokens)
    #[arg(long, value_name = "TOKENS", value_parser = amount::tokens, allow_hyphen_values = true)]
    max_tokens: Option<Bound>,
    /// Ask a person after this many steps (default: agent.maxSteps)
    #[arg(long, value_name = "STEPS", value_parser = amount::steps, allow_hyphen_values = true)]
    max_steps: Option<Bound>,
    /// Ask a person after this much time at work, as 90m or 2h (default: agent.timeout)
    #[arg(long, value_name = "TIME", value_parser = amount::time, allow_hyphen_values = true)]
    timeout: Option<Bound>,
}

impl LimitArgs {
    /// What was given for this limit.
    pub fn of(&self, limit: Limit) -> Option<Bound> {
        match limit {
            Limit::Steps => self.max_steps,
            Limit::Tokens => self.max_tokens,
            Limit::Budget => self.budget,
            Limit::Timeout => self.timeout,
        }
    }

    /// What was given.
    pub fn given(&self) -> impl Iterator<Item = (Limit, Option<f64>)> {
        Limit::ALL.into_iter().filter_map(|limit| Some((limit, self.of(limit)?.0)))
    }

    /// What was given, and for the rest the settings.
    pub fn or_settings(&self, config: &Config) -> Limits {
        let mut limits = Limits::default();
        for limit in Limit::ALL {
            let setting = match limit {
                Limit::Steps => config.max_steps,
                Limit::Tokens => config.max_tokens,
                Limit::Budget => config.budget,
                Limit::Timeout => config.timeout,
            };
            limits.set(limit, self.of(limit).unwrap_or(setting).0);
        }
        limits
    }

    /// Refuses what would be used up at once.
    ///
    /// # Errors
    /// The session has used as much already.
    pub fn check(&self, spec: &Spec, state: &State) -> Result {
        let id = &spec.id;
        for (limit, to) in self.given() {
            let spent = state.spent(spec, limit).unwrap_or_default();
            let Some(to) = to.filter(|to| *to <= spent) else { continue };
            let (flag, to, spent) = (flag(limit), limit.say(to), limit.say(spent));
            return Err(CommandError::usage(format!(
                "{id} has used {spent} already, so {flag} cannot be {to}"
            ))
            .hint(format!("Give more than {spent}, or none for no limit")));
        }
        Ok(())
    }
}

/// Brings the settings down to what a policy allows; what is given by hand is refused instead.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn cap(config: &mut Config, caps: Caps) {
    let lower = |bound: &mut Bound, cap: Option<f64>| {
        bound.0 = match (bound.0, cap) {
            (Some(set), Some(cap)) => Some(set.min(cap)),
            (set, cap) => set.or(cap),
        };
    };
    lower(&mut config.budget, caps.budget);
    lower(&mut config.max_steps, caps.max_steps.map(f64::from));
    lower(&mut config.max_tokens, caps.max_tokens.map(|it| it as f64));
    lower(&mut config.timeout, caps.timeout.map(|it| it as f64));
}

fn flag(limit: Limit) -> &'static str {
    match limit {
        Limit::Steps => "--max-steps",
        Limit::Tokens => "--max-tokens",
        Limit::Budget => "--budget",
        Limit::Timeout => "--timeout",
    }
}

/// The limits in one line: `budget $5.00, 2 h, 200 steps`.
pub fn words(limits: &Limits, share: Option<&str>) -> String {
    let say = |limit: Limit| Some(limit.say(limits.of(limit)?));
    let budget = match (say(Limit::Budget), share) {
        (None, _) => "no budget".to_owned(),
        (Some(dollars), None) => format!("budget {dollars}"),
        (Some(dollars), Some(group)) => format!("shared budget {group} {dollars}"),
    };
    let others = [Limit::Timeout, Limit::Steps, Limit::Tokens].into_iter().filter_map(say);
    let others: Vec<_> = others.collect();
    match (limits.budget, others.as_slice()) {
        (None, []) => "no limits".to_owned(),
        _ => [&[budget], others.as_slice()].concat().join(", "),
    }
}

/// The limits of a session that begins; those of a shared budget are what it was first made with.
///
/// # Errors
/// The shared budget has no usable name, is not the one that was given, or has no amount.
pub fn of_new(
    store: &Store,
    args: &LimitArgs,
    share: Option<&str>,
    config: &Config,
) -> Result<Limits> {
    let mut limits = args.or_settings(config);
    let Some(name) = share else { return Ok(limits) };
    id::check_name(name)?;
    match (store.budget(name).first()?, args.of(Limit::Budget)) {
        (Some(first), Some(Bound(given))) if given != Some(first) => {
            let first = Limit::Budget.say(first);
            return Err(CommandError::usage(format!(
                "the shared budget {name} is {first} already"
            ))
            .hint("Leave --budget out, or share another: --share-budget NAME"));
        }
        (Some(first), _) => limits.budget = Some(first),
        (None, _) if limits.budget.is_none() => {
            return Err(CommandError::usage(format!("the shared budget {name} has no amount"))
                .hint("--budget DOLLARS"));
        }
        (None, _) => {}
    }
    Ok(limits)
}

/// Makes the budget that a new session is the first to share.
///
/// # Errors
/// It cannot be written.
pub fn make_shared(store: &Store, share: Option<&str>, limits: &Limits) -> Result {
    if let Some((name, dollars)) = share.zip(limits.budget) {
        store.budget(name).make(dollars)?;
    }
    Ok(())
}
