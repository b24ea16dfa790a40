//! What work must measure up to besides its verify commands: coverage, and the time of a command.
//!
//! Both are measured on the work and on what it is compared with, which lies in a worktree for a
//! moment meanwhile. The times of the two are taken in turn, so that a machine which gets slower
//! does so for both.
//!
//! Invariant: what cannot be measured on the work fails its gate; what cannot be on the other side
//! fails it only where the gate is about the difference.

use std::path::Path;

use super::stand::Stand;
use crate::event::{Gate, GateKind, Sample, VerifyRecord};
use crate::git::{ObjectId, Repo, Scratch};
use crate::measure::coverage::Watch;
use crate::plan::LandError;
use crate::session::cage;
use crate::session::spec::{self, Spec};
use crate::tool::Toolbox;

/// Runs of a command on each side, after one that is not counted.
const RUNS: usize = 5;
/// The same of a command that takes long.
const FEW_RUNS: usize = 3;
/// That is long, in milliseconds.
const LONG: f64 = 20_000.0;

/// The work that is measured.
pub struct Ground<'a> {
    /// What its commands run with.
    pub tools: &'a Toolbox,
    /// What its verify commands were watched by for a report of coverage.
    pub watch: Option<&'a Watch>,
    /// Its tree, in hex.
    pub tree: &'a str,
}

/// What the work is compared with.
#[derive(Clone, Copy)]
pub struct Baseline<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// What the session was asked.
    pub spec: &'a Spec,
    /// The commit.
    pub commit: ObjectId,
    /// This program.
    pub program: Option<&'a Path>,
    /// Where a worktree for a moment may be made.
    pub folder: &'a Path,
}

/// Measures what the session's gates ask for, up to the first that stays shut. What the coverage
/// was before may be `known` already.
///
/// # Errors
/// A command on the work could not be run at all.
pub async fn measure(
    ground: &Ground<'_>,
    baseline: &Baseline<'_>,
    known: Option<Sample>,
) -> Result<Vec<VerifyRecord>, LandError> {
    let gates = &baseline.spec.gates;
    let mut records = Vec::new();
    if gates.is_open() {
        return Ok(records);
    }
    let mut other = Other { baseline, laid_out: None };
    if let (Some(least), Some(watch)) = (gates.min_coverage, ground.watch) {
        let record = coverage(ground, watch, &mut other, known, least).await;
        let is_shut = record.exit != 0;
        records.push(record);
        if is_shut {
            return Ok(records);
        }
    }
    if let Some(command) = &gates.bench {
        records.push(bench(ground, &mut other, command, gates.max_slowdown).await?);
    }
    Ok(records)
}

async fn coverage(
    ground: &Ground<'_>,
    watch: &Watch,
    other: &mut Other<'_>,
    known: Option<Sample>,
    least: f64,
) -> VerifyRecord {
    let started = std::time::Instant::now();
    let mut gate = Gate { kind: GateKind::Coverage, after: None, before: None, limit: Some(least) };
    let (is_open, mut output) = match watch.end() {
        Err(error) => (false, format!("the coverage is not known: {error}\n")),
        Ok((lines, report)) => {
            let percent = lines.percent();
            gate.after = Some(Sample::once(percent));
            let said = format!(
                "tests run {percent:.2} % of the lines ({} of {}, by {report})",
                lines.run, lines.all
            );
            let is_enough = percent >= least;
            let asked = format!("; at least {least} % is asked for");
            (is_enough, format!("{said}{}\n", if is_enough { "" } else { &asked }))
        }
    };
    if gate.after.is_some() {
        let before = match known {
            Some(before) => Ok(before),
            None => other.coverage().await,
        };
        match before {
            Ok(before) => {
                gate.before = Some(before);
                output.push_str(&format!("before it was {:.2} %\n", before.median));
            }
            Err(why) => output.push_str(&format!("what it was before is not known: {why}\n")),
        }
    }
    VerifyRecord {
        command: spec::coverage_name(least),
        exit: i32::from(!is_open),
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        tree: ground.tree.to_owned(),
        output,
        gate: Some(gate),
    }
}

async fn bench(
    ground: &Ground<'_>,
    other: &mut Other<'_>,
    command: &str,
    most: Option<f64>,
) -> Result<VerifyRecord, LandError> {
    let started = std::time::Instant::now();
    let mut record = VerifyRecord {
        command: spec::bench_name(command),
        exit: 0,
        millis: 0,
        tree: ground.tree.to_owned(),
        output: String::new(),
        gate: None,
    };
    let mut gate = Gate { kind: GateKind::Bench, after: None, before: None, limit: most };
    let warm_up = cage::run(ground.tools, command).await?;
    let mut compared = match warm_up.exit {
        0 => other.time(command).await,
        _ => Err("the work itself fails".to_owned()),
    };
    let (mut after, mut before) = (Vec::new(), Vec::new());
    let runs = if millis(warm_up.millis) > LONG { FEW_RUNS } else { RUNS };
    let mut failed = (warm_up.exit != 0).then_some(warm_up);
    for _ in 0..runs {
        if failed.is_some() {
            break;
        }
        if compared.is_ok() {
            compared = other.time(command).await;
            before.extend(compared.as_ref().ok().copied());
        }
        let ran = cage::run(ground.tools, command).await?;
        match ran.exit {
            0 => after.push(millis(ran.millis)),
            _ => failed = Some(ran),
        }
    }
    if let Some(ran) = failed {
        record.exit = ran.exit;
        record.output = ran.output;
    } else {
        gate.after = Sample::of(&after);
        gate.before = compared.as_ref().ok().and_then(|_| Sample::of(&before));
        record.output = told(&gate, compared.as_ref().err());
        record.exit = i32::from(!is_quick_enough(&gate));
    }
    record.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    record.gate = Some(gate);
    Ok(record)
}

/// Whether the work is not slower than it may be; not so where that cannot be told.
fn is_quick_enough(gate: &Gate) -> bool {
    match (gate.limit, gate.change()) {
        (None, _) => true,
        (Some(most), Some(slower)) => slower <= most || !gate.is_worse(),
        (Some(_), None) => false,
    }
}

/// The times in words.
fn told(gate: &Gate, why: Option<&String>) -> String {
    let said = |sample: &Sample| {
        let Sample { median, least, most, runs } = sample;
        format!("{median:.0} ms ({least:.0} to {most:.0}, {runs} runs)")
    };
    let mut text = String::new();
    if let Some(after) = &gate.after {
        text.push_str(&format!("it takes {}\n", said(after)));
    }
    if let Some(before) = &gate.before {
        text.push_str(&format!("before it took {}\n", said(before)));
    }
    if let Some(why) = why {
        text.push_str(&format!("how long it took before is not known: {why}\n"));
    }
    if let Some(change) = gate.change() {
        let (word, change) = if change < 0.0 { ("faster", -change) } else { ("slower", change) };
        let noise = if gate.is_worse() || word == "faster" {
            ""
        } else {
            ", within what the runs differ by"
        };
        text.push_str(&format!("that is {change:.1} % {word}{noise}\n"));
    }
    if let (Some(most), false) = (gate.limit, is_quick_enough(gate)) {
        text.push_str(&format!("it may be {most} % slower at most\n"));
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run are far below 2^52")]
fn millis(millis: u64) -> f64 {
    millis as f64
}

/// What the work is compared with, laid out when it is first asked for.
struct Other<'a> {
    baseline: &'a Baseline<'a>,
    laid_out: Option<Result<(Stand, Scratch), String>>,
}

impl Other<'_> {
    /// Its coverage, by the session's own verify commands.
    async fn coverage(&mut self) -> Result<Sample, String> {
        let spec = self.baseline.spec;
        let stand = self.stand().await?;
        let watch = Watch::begin(stand.root(), spec.gates.coverage_report.as_deref());
        for command in &spec.verify {
            let ran = stand.run(command).await.map_err(|error| error.to_string())?;
            if ran.exit != 0 {
                return Err(format!("'{command}' fails there with exit code {}", ran.exit));
            }
        }
        let (lines, _) = watch.end().map_err(|error| error.to_string())?;
        Ok(Sample::once(lines.percent()))
    }

    /// How long a command takes there, in milliseconds.
    async fn time(&mut self, command: &str) -> Result<f64, String> {
        let ran = self.stand().await?.run(command).await.map_err(|error| error.to_string())?;
        match ran.exit {
            0 => Ok(millis(ran.millis)),
            exit => Err(format!("it fails there with exit code {exit}")),
        }
    }

    async fn stand(&mut self) -> Result<&Stand, String> {
        let laid_out = match self.laid_out.take() {
            Some(laid_out) => laid_out,
            None => lay_out(self.baseline).await.map_err(|error| error.to_string()),
        };
        self.laid_out.insert(laid_out).as_ref().map(|(stand, _)| stand).map_err(Clone::clone)
    }
}

async fn lay_out(baseline: &Baseline<'_>) -> Result<(Stand, Scratch), LandError> {
    let Baseline { repo, spec, commit, program, folder } = *baseline;
    let scratch = repo.scratch(folder, commit, repo.tree_of(commit)?)?;
    let stand = Stand::open(repo, spec, &scratch, program).await?;
    stand.set_up(repo).await?;
    Ok((stand, scratch))
}
