//! What a gate has measured, as it stands in the journal beside the verify command's record.
//!
//! Invariant: a number here was measured; what could not be is none.

use serde::{Deserialize, Serialize};

/// What a gate has measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What it is about.
    pub kind: GateKind,
    /// The work; none where nothing could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Sample>,
    /// What the work is compared with: the base, or the branch it is to land on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Sample>,
    /// What was asked for, in per cent: the least coverage, the most slowdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// What a gate is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The share of lines that tests run, in per cent.
    Coverage,
    /// How long a command takes, in milliseconds.
    Bench,
}

/// Several runs of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many.
    pub runs: u32,
}

impl Sample {
    /// What these runs say; none where there are none.
    pub fn of(runs: &[f64]) -> Option<Self> {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self { median, least, most, runs: u32::try_from(runs.len()).unwrap_or(u32::MAX) })
    }

    /// What was measured once.
    pub fn once(value: f64) -> Self {
        Self { median: value, least: value, most: value, runs: 1 }
    }
}

impl Gate {
    /// How much more the work has than what it is compared with: in points of coverage, or in per
    /// cent of the time. None where there is nothing to compare.
    pub fn change(&self) -> Option<f64> {
        let (before, after) = (self.before?.median, self.after?.median);
        match self.kind {
            GateKind::Coverage => Some(after - before),
            GateKind::Bench => (before > 0.0).then(|| (after / before - 1.0) * 100.0),
        }
    }

    /// Whether it has got worse by more than the runs differ among themselves.
    pub fn is_worse(&self) -> bool {
        let (Some(before), Some(after)) = (self.before, self.after) else { return false };
        match self.kind {
            GateKind::Coverage => after.median < before.median,
            GateKind::Bench => after.median > before.most && after.least > before.median,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_stands_in_the_middle() {
        let sample = |median, least, most, runs| Some(Sample { median, least, most, runs });
        assert_eq!(Sample::of(&[]), None);
        assert_eq!(Sample::of(&[3.0, 1.0, 2.0]), sample(2.0, 1.0, 3.0, 3));
        assert_eq!(Sample::of(&[4.0, 1.0, 2.0, 3.0]), sample(2.5, 1.0, 4.0, 4));
        assert_eq!(Sample::of(&[7.0]), Some(Sample::once(7.0)));
    }

    #[test]
    fn what_the_runs_differ_by_anyway_is_no_regression() {
        let bench = |before: &[f64], after: &[f64]| Gate {
            kind: GateKind::Bench,
            before: Sample::of(before),
            after: Sample::of(after),
            limit: None,
        };
        let noisy = bench(&[90.0, 100.0, 130.0], &[95.0, 120.0, 140.0]);
        assert!(!noisy.is_worse());
        assert!(noisy.change().is_some_and(|it| (it - 20.0).abs() < 1e-9));
        assert!(bench(&[90.0, 100.0, 110.0], &[115.0, 120.0, 140.0]).is_worse());
        assert!(!bench(&[], &[115.0]).is_worse());
        let coverage = Gate {
            kind: GateKind::Coverage,
            before: Some(Sample::once(90.0)),
            after: Some(Sample::once(89.5)),
            limit: Some(80.0),
        };
        assert_eq!((coverage.change(), coverage.is_worse()), (Some(-0.5), true));
    }
}
