//! Several attempts at one task: how many, with which model, by which approach.
//!
//! Invariant: what was given either shares out evenly or is refused, before anything is made.

use clap::builder::NonEmptyStringValueParser;

use crate::error::{CommandError, Result};

/// More attempts than this at once are a slip of the finger.
const MOST: i64 = 32;

/// Several attempts at one task.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct AttemptArgs {
    /// Make this many attempts at the task, each in a session of its own; compare shows them side
    /// by side, and pick lands one
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST), allow_negative_numbers = true)]
    attempts: Option<u32>,
    /// How one attempt is to go about the task; given several times, one attempt for each
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true)]
    approach: Vec<String>,
    /// One attempt with each of these models; of several approaches, one for each
    #[arg(
        long,
        value_name = "PROVIDER/NAME,…",
        value_delimiter = ',',
        conflicts_with = "model",
        hide_short_help = true,
        value_parser = NonEmptyStringValueParser::new(),
    )]
    models: Vec<String>,
}

/// One attempt, as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The model, if not the one of all.
    pub(super) model: Option<&'a str>,
    /// How to go about it.
    pub(super) approach: Option<&'a str>,
}

impl AttemptArgs {
    /// The attempts that are wanted: one, where nothing was said.
    ///
    /// # Errors
    /// The numbers do not go together.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted<'_>>> {
        let Self { attempts, approach, models } = self;
        let (approaches, named) = (approach.len(), models.len());
        if approaches > 0 && named > 0 && approaches != named {
            return Err(CommandError::usage(format!(
                "--approach is given {approaches} times, and --models names {named}"
            ))
            .hint("Name one model for each approach, or --model for all of them"));
        }
        let least = approaches.max(named).max(1);
        let count = attempts.map_or(least, |count| count as usize);
        if approaches > 0 && count != approaches {
            return Err(CommandError::usage(format!(
                "--attempts is {count}, and --approach is given {approaches} times"
            ))
            .hint("Leave --attempts out: there is one attempt for each --approach"));
        }
        if count % least != 0 {
            let next = count.div_ceil(least) * least;
            return Err(CommandError::usage(format!(
                "{count} attempts cannot be shared out evenly among {named} models"
            ))
            .hint(format!("--attempts {next}, or leave it out for one with each model")));
        }
        let one = |at: usize| Wanted {
            model: models.get(at % least).map(String::as_str),
            approach: approach.get(at).map(String::as_str),
        };
        Ok((0..count).map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(
        attempts: Option<u32>,
        approach: &str,
        models: &str,
    ) -> std::result::Result<String, String> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let args = AttemptArgs { attempts, approach: words(approach), models: words(models) };
        let said =
            |it: &Wanted<'_>| format!("{}:{}", it.model.unwrap_or("-"), it.approach.unwrap_or("-"));
        let wanted = args.wanted().map_err(|error| error.message)?;
        Ok(wanted.iter().map(said).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn numbers_models_and_approaches_go_together_or_are_refused() {
        assert_eq!(wanted(None, "", "").unwrap(), "-:-");
        assert_eq!(wanted(Some(2), "", "").unwrap(), "-:- -:-");
        assert_eq!(wanted(None, "x y", "").unwrap(), "-:x -:y");
        assert_eq!(wanted(Some(2), "x y", "a b").unwrap(), "a:x b:y");
        assert_eq!(wanted(Some(4), "", "a b").unwrap(), "a:- b:- a:- b:-");
        let refused = wanted(None, "x y", "a b c").unwrap_err();
        assert_eq!(refused, "--approach is given 2 times, and --models names 3");
        let refused = wanted(Some(3), "x y", "").unwrap_err();
        assert_eq!(refused, "--attempts is 3, and --approach is given 2 times");
        let refused = wanted(Some(3), "", "a b").unwrap_err();
        assert_eq!(refused, "3 attempts cannot be shared out evenly among 2 models");
    }
}
