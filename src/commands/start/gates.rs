//! What work must measure up to, as flags.
//!
//! Invariant: a gate that could never be measured is refused before anything is made.

use clap::builder::NonEmptyStringValueParser;

use crate::error::{CommandError, Result};
use crate::session::spec::Gates;

/// What the work must measure up to: its verify commands, and more.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct GateArgs {
    /// Command that must exit 0 on the committed tree before the session is done (may be repeated)
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new())]
    pub(super) verify: Vec<String>,
    /// Not done while tests run less than this share of the lines, in per cent, as 90 or 87.5
    #[arg(long, value_name = "PERCENT", value_parser = percent, allow_hyphen_values = true, hide_short_help = true)]
    min_coverage: Option<f64>,
    /// The report that verify leaves: lcov, Cobertura XML or llvm-cov JSON (default: found by its
    /// usual name)
    #[arg(long, value_name = "PATH", requires = "min_coverage", value_parser = inside, hide_short_help = true)]
    coverage_report: Option<String>,
    /// Time this command on the base and on the work, several runs of each
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new(), hide_short_help = true)]
    bench: Option<String>,
    /// Not done while it takes this much longer than on the base, as 10%
    #[arg(long, value_name = "PERCENT", requires = "bench", value_parser = slowdown, allow_hyphen_values = true, hide_short_help = true)]
    max_slowdown: Option<f64>,
    /// Find something out: the work never lands without --force
    #[arg(long, hide_short_help = true)]
    experiment: bool,
}

impl GateArgs {
    /// As a session keeps them; `checks` are its verify commands.
    ///
    /// # Errors
    /// Coverage is asked for, and no command that could write a report.
    pub(super) fn to_gates(&self, checks: &[String]) -> Result<Gates> {
        let Self { min_coverage, coverage_report, bench, max_slowdown, .. } = self.clone();
        if min_coverage.is_some() && checks.is_empty() {
            return Err(CommandError::usage("--min-coverage needs a verify command")
                .hint("--verify CMD, with one that writes a report, as cargo llvm-cov --lcov"));
        }
        Ok(Gates { min_coverage, coverage_report, bench, max_slowdown })
    }

    /// Whether its work is not for landing.
    pub(super) fn is_experiment(&self) -> bool {
        self.experiment
    }
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>();
    match number {
        Ok(number) if number > 0.0 && number <= 100.0 => Ok(number),
        _ => Err("expected a share above 0 and up to 100, such as 90".to_owned()),
    }
}

fn slowdown(text: &str) -> std::result::Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>();
    match number {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a share from 0, such as 10%".to_owned()),
    }
}

/// A path from the root of the worktree.
fn inside(text: &str) -> std::result::Result<String, String> {
    use std::path::{Component, Path};
    let mut parts = Path::new(text).components();
    match !text.is_empty()
        && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        true => Ok(text.to_owned()),
        false => Err("expected a path from the root of the repository".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shares() {
        assert_eq!(["90", "87.5%", " 100 "].map(|it| percent(it).unwrap()), [90.0, 87.5, 100.0]);
        for bad in ["", "0", "-1", "101", "NaN", "inf", "many"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert_eq!(["0", "10%", "150"].map(|it| slowdown(it).unwrap()), [0.0, 10.0, 150.0]);
        assert!(slowdown("-1").is_err() && slowdown("NaN").is_err());
    }

    #[test]
    fn a_report_lies_in_the_worktree() {
        assert_eq!(inside("./target/lcov.info").unwrap(), "./target/lcov.info");
        for bad in ["", "/etc/passwd", "../x", "a/../../x"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn coverage_without_a_command_that_measures_it_is_refused() {
        let args = GateArgs { min_coverage: Some(90.0), ..GateArgs::default() };
        assert_eq!(
            args.to_gates(&[]).unwrap_err().message,
            "--min-coverage needs a verify command"
        );
        let gates = args.to_gates(&["make test".to_owned()]).unwrap();
        assert_eq!(gates, Gates { min_coverage: Some(90.0), ..Gates::default() });
    }
}
