//! What containment and checks cost beside going without: `cargo bench --bench cost`.
//!
//! Invariant: the two sides take turns in one run, and what is told as "more" is the difference of
//! the least of each, which a busy machine blurs least.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a table for people, and no user")]
#![expect(clippy::expect_used, reason = "a bench that cannot run should stop")]

#[path = "cost/hook.rs"]
mod hook;
#[expect(dead_code, reason = "the other benches use the rest of it")]
mod support;
#[path = "cost/wall.rs"]
mod wall;

use std::time::{Duration, Instant};

use support::{S, quantile};

const ROUNDS: usize = 60;

fn main() {
    println!("{}\n", support::machine());
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    support::make(&root, S).unwrap();
    println!("| ms, least (median) | without | with | more | goal |\n|---|---|---|---|---|");
    wall::measure(&root);
    hook::measure(&root);
}

/// Runs both in turn, and tells what the second takes more than the first.
fn row(what: &str, goal: &str, mut without: impl FnMut(), mut with: impl FnMut()) {
    // What is done once for many is not what each of them costs.
    without();
    with();
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(time(&mut without));
        ours.push(time(&mut with));
    }
    let [least, least_ours] = [&plain, &ours].map(|times| quantile(times.clone(), 0.0));
    let [median, median_ours] = [plain, ours].map(|times| quantile(times, 0.5));
    let more = least_ours - least;
    println!(
        "| {what} | {least:.1} ({median:.1}) | {least_ours:.1} ({median_ours:.1}) | {more:.1} | {goal} |"
    );
}

fn time(work: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
