//! What a session may use up: which limits there are, and what happens to them.
//!
//! Invariant: an amount is in the limit's own unit, and is worded here alone.

use serde::{Deserialize, Serialize};

/// Something that a session may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Answers of the model.
    Steps,
    /// Tokens, in and out.
    Tokens,
    /// US dollars.
    Budget,
    /// Time at work, in seconds.
    Timeout,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Steps, Self::Tokens, Self::Budget, Self::Timeout];

    /// An amount, as people say it: `200 steps`, `500k tokens`, `$5.00`, `1 h 30 m`.
    pub fn say(self, amount: f64) -> String {
        match self {
            Self::Steps if amount < 1.5 => "1 step".to_owned(),
            Self::Steps => format!("{amount:.0} steps"),
            Self::Tokens if amount < 1.5 => "1 token".to_owned(),
            Self::Tokens => format!("{} tokens", short(amount)),
            Self::Budget => format!("${amount:.2}"),
            Self::Timeout => time(amount),
        }
    }

    /// What is counted: `money`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Tokens => "tokens",
            Self::Budget => "money",
            Self::Timeout => "time",
        }
    }

    /// The limit itself: `the budget of $5.00`.
    pub fn name(self, amount: f64) -> String {
        let said = self.say(amount);
        match self {
            Self::Steps | Self::Tokens => format!("the limit of {said}"),
            Self::Budget => format!("the budget of {said}"),
            Self::Timeout => format!("the time of {said}"),
        }
    }

    /// That it is used up: `the budget of $5.00 is spent`.
    pub fn reached(self, amount: f64) -> String {
        format!("{} is {}", self.name(amount), self.used_up())
    }

    /// What is said of it once it is: `spent`.
    pub fn used_up(self) -> &'static str {
        match self {
            Self::Steps | Self::Tokens => "reached",
            Self::Budget => "spent",
            Self::Timeout => "over",
        }
    }
}

/// `1.5m`, `500k`, `812`: as one would type it.
fn short(amount: f64) -> String {
    let (scaled, unit) = match amount {
        amount if amount >= 1e6 => (amount / 1e6, "m"),
        amount if amount >= 1e3 => (amount / 1e3, "k"),
        amount => (amount, ""),
    };
    let digits = format!("{scaled:.2}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// `45 s`, `90 m` as `1 h 30 m`, `2 h`.
fn time(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.0} s");
    }
    let minutes = (seconds / 60.0).floor();
    let (hours, rest) = ((minutes / 60.0).floor(), minutes % 60.0);
    let left = seconds % 60.0;
    match (hours >= 1.0, rest >= 1.0) {
        (true, true) => format!("{hours:.0} h {rest:.0} m"),
        (true, false) => format!("{hours:.0} h"),
        (false, _) if left >= 1.0 => format!("{minutes:.0} m {left:.0} s"),
        (false, _) => format!("{minutes:.0} m"),
    }
}

/// A person has set a limit anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitChange {
    /// Which one.
    pub limit: Limit,
    /// How much there may be in all; none for no limit at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// How much an approval adds from now on.
    pub more: f64,
    /// How much was used up then.
    #[serde(default)]
    pub spent: f64,
    /// The inbox message that asked for it, so that none is heard twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<String>,
}

/// How much of a limit is used up when a person is told, in percent.
pub const NOTICED: u8 = 80;

/// So much of a limit is used up, and was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitMark {
    /// Which one.
    pub limit: Limit,
    /// How much of it.
    pub percent: u8,
    /// What was said of it, to the model too.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_said_as_they_are_typed() {
        let said = |limit: Limit, amounts: &[f64]| -> Vec<String> {
            amounts.iter().map(|amount| limit.say(*amount)).collect()
        };
        assert_eq!(said(Limit::Steps, &[1.0, 200.0]), ["1 step", "200 steps"]);
        assert_eq!(said(Limit::Tokens, &[1.0]), ["1 token"]);
        let tokens = said(Limit::Tokens, &[812.0, 1_500.0, 500e3, 2e6, 1.25e6]);
        assert_eq!(
            tokens,
            ["812 tokens", "1.5k tokens", "500k tokens", "2m tokens", "1.25m tokens"]
        );
        assert_eq!(said(Limit::Budget, &[5.0, 0.125]), ["$5.00", "$0.12"]);
        let times = said(Limit::Timeout, &[30.0, 90.0, 300.0, 5_400.0, 7_200.0]);
        assert_eq!(times, ["30 s", "1 m 30 s", "5 m", "1 h 30 m", "2 h"]);
        assert_eq!(Limit::Budget.reached(5.0), "the budget of $5.00 is spent");
        assert_eq!(Limit::Timeout.reached(7_200.0), "the time of 2 h is over");
    }
}
