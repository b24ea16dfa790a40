//! A step, end to end: `cargo bench --bench step [-- small|S|four|fifty]…`, all without a name.
//!
//! The same 20 shell steps are done by the program, with all that it keeps, and by the least that
//! any loop must do; git makes the same 20 commits beside it.
//!
//! Invariant: what is compared is measured turn by turn in one run, against the same server, and
//! memory in a run of its own, so that looking costs nothing that is timed.

#![expect(clippy::print_stdout, reason = "a table for people")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot run should stop")]

#[path = "step/floor.rs"]
mod floor;
#[path = "step/memory.rs"]
mod memory;
#[expect(dead_code, reason = "the other bench uses the rest of it")]
mod support;
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
#[path = "../tests/support/mod.rs"]
mod testing;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git_agent::session::state::Phase;
use git_agent::session::store::{Session, Store};
use serde_json::json;
use testing::home::Home;
use testing::repo::{Repo, Shape};
use testing::server::{Dialect, Record, Script, Server, Turn, prefix_stability};

use memory::{Peak, peak};
use support::{S, median, millis, quantile};

const STEPS: usize = 20;
const ROUNDS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let asked = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    println!("{}\n", support::machine());
    if asked("small") {
        one(&Place::small());
    }
    if asked("S") {
        one(&Place::s());
    }
    if asked("four") {
        four(&Place::small());
    }
    if asked("fifty") {
        fifty(&Place::small());
    }
}

/// A repository, and the home it is in.
struct Place {
    name: &'static str,
    repo: Repo,
    dir: PathBuf,
}

impl Place {
    fn small() -> Self {
        let repo = Repo::with(Shape::Plain);
        for (key, value) in [
            ("user.name", "Ada"),
            ("user.email", "ada@example.org"),
            // All that are started run: the queue is not what is measured.
            ("agent.maxRunning", "64"),
            ("agent.maxRunningTotal", "64"),
        ] {
            repo.git(&["config", key, value]);
        }
        Self { name: "a small repository", dir: repo.main().to_owned(), repo }
    }

    fn s() -> Self {
        let repo = Repo::with(Shape::Plain);
        let dir = repo.home().root().join("S");
        support::make(&dir, S).unwrap();
        Self { name: "S (2,000 files)", repo, dir }
    }

    fn home(&self) -> &Home {
        self.repo.home()
    }

    /// Starts a session on this task, which ends the verb `start`: how long that took.
    fn start(&self, server: &Server, task: &str) -> Duration {
        let started = Instant::now();
        let start = self.home().cmd(self.home().program()).dir(&self.dir);
        let start = start.args(&["start", task, "--model", Dialect::Anthropic.model()]);
        start.envs(server.env(Dialect::Anthropic)).run().success();
        started.elapsed()
    }

    fn session(&self, task: &str) -> Session {
        let listing = Store::open(&self.dir.join(".git")).list().unwrap();
        let mut sessions = listing.sessions.into_iter();
        sessions.rfind(|session| session.spec.task == task).expect("it was started")
    }

    /// Waits until nothing of the session runs any more.
    fn wait(&self, task: &str) {
        let session = self.session(task);
        let until = Instant::now() + PATIENCE;
        while session.holder().unwrap().is_some() || session.state().unwrap().phase != Phase::Done {
            assert!(Instant::now() < until, "{:?}", session.state());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the model has run in a step.
fn command(step: usize) -> String {
    format!("seq {step} 300 > out-{step}.txt; wc -l out-*.txt")
}

fn script() -> Script {
    let steps = (1..=STEPS).map(|step| Turn::call("bash", json!({ "command": command(step) })));
    let finish = Turn::call("finish", json!({"summary": "Counted.", "checks": "none"}));
    Script::new(steps.chain([finish]))
}

/// What one session showed.
struct Shown {
    wall: Duration,
    back: Duration,
    first_request: Duration,
    gaps: Vec<Duration>,
    sent: usize,
    stable: f64,
}

fn run(place: &Place, task: &str) -> Shown {
    let server = Server::start(script());
    let started = Instant::now();
    let back = place.start(&server, task);
    place.wait(task);
    let wall = started.elapsed();
    let (records, bodies) = answered(&server);
    server.finish();
    Shown {
        wall,
        back,
        first_request: records[0].request.first_byte - started,
        gaps: gaps(&records),
        sent: bodies.iter().map(Vec::len).sum(),
        stable: prefix_stability(&bodies),
    }
}

/// The requests that were answered with a turn, and their bodies.
fn answered(server: &Server) -> (Vec<Record>, Vec<Vec<u8>>) {
    let records: Vec<_> =
        server.records().into_iter().filter(|record| record.turn.is_some()).collect();
    assert_eq!(records.len(), STEPS + 1);
    let bodies = records.iter().map(|record| record.request.body.clone()).collect();
    (records, bodies)
}

fn gaps(records: &[Record]) -> Vec<Duration> {
    let gap =
        |pair: &[Record]| pair[1].request.first_byte.saturating_duration_since(pair[0].last_byte);
    records.windows(2).map(gap).collect()
}

fn one(place: &Place) {
    let (mut ours, mut floor, mut chain, mut worktree) = (vec![], vec![], vec![], vec![]);
    let mut floor_gaps = Vec::new();
    for round in 0..ROUNDS {
        let name = |what: &str| format!("{what}-{round}");
        worktree.push(add_worktree(place, &name("git")));
        chain.push(git_chain(&place.dir.join("..").join(name("git"))));
        let server = Server::start(script());
        floor.push(floor::run(&server, place.home(), STEPS));
        let (records, _) = answered(&server);
        floor_gaps.extend(gaps(&records));
        server.finish();
        ours.push(run(place, &name("task")));
    }
    let gaps: Vec<_> = ours.iter().flat_map(|shown| shown.gaps.clone()).collect();
    let of = |what: fn(&Shown) -> Duration| median(ours.iter().map(what).collect());
    let (gap, floor_gap) = (median(gaps.clone()), median(floor_gaps.clone()));
    let commit = median(chain.clone()) / STEPS as f64;
    let (back, worktree) = (of(|shown| shown.back), median(worktree));
    let peak = peak(place.home(), || {
        let server = Server::start(script());
        place.start(&server, "memory");
        place.wait("memory");
        server.finish();
    });
    println!("## {STEPS} shell steps on {}, {ROUNDS} sessions\n", place.name);
    println!("| | measured | goal |\n|---|---|---|");
    row("wall, s", seconds(of(|shown| shown.wall)), "≤ 0.5");
    row("gap a step, median, ms", millis(gap), "≤ 15");
    row("gap a step, p90, ms", millis(quantile(gaps, 0.9)), "");
    row("`start` → first request, ms", millis(of(|shown| shown.first_request)), "≤ 60");
    row("`start` until back, ms", millis(back), "");
    row("… without `git worktree add`, ms", millis(back - worktree), "≤ 80");
    row("memory of the supervisor (PSS), MiB", mib(peak, |peak| peak.supervisor), "≤ 20");
    row("memory of its guard (PSS), MiB", mib(peak, |peak| peak.guard), "");
    row("sent, KiB", format!("{:.0}", ours[0].sent as f64 / 1024.0), "≤ 200");
    row("prefix-stable, %", format!("{:.1}", ours[0].stable * 100.0), "≥ 99");
    row("least loop, no git, no journal: wall, s", seconds(median(floor)), "");
    row("least loop: gap a step, median, ms", millis(floor_gap), "");
    row("`git add -A; git commit`, each, ms", millis(commit), "");
    row("`git worktree add`, ms", millis(worktree), "");
    row("a synced append to a file, ms", millis(support::synced_append(&place.dir)), "");
    let ratio = format!("{:.2}", gap / (floor_gap + commit));
    row("gap ÷ (least gap + git's commit)", ratio, "");
    println!();
}

fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("| {what} | {measured} | {goal} |");
}

fn seconds(millis: f64) -> String {
    format!("{:.2}", millis / 1000.0)
}

fn mib(peak: Option<Peak>, of: fn(Peak) -> u64) -> String {
    peak.map_or_else(|| "?".into(), |peak| format!("{:.1}", of(peak) as f64 / 1024.0))
}

fn add_worktree(place: &Place, name: &str) -> Duration {
    let started = Instant::now();
    let path = format!("../{name}");
    place.home().git(&place.dir, &["worktree", "add", "-q", "-b", name, &path]);
    started.elapsed()
}

/// The commits alone: the commands of the steps are not counted.
fn git_chain(dir: &Path) -> Duration {
    let mut sum = Duration::ZERO;
    for step in 1..=STEPS {
        support::sh(dir, &command(step));
        sum += support::sh(dir, "git add -A && git commit -qm step");
    }
    sum
}

fn four(place: &Place) {
    let one = median((0..ROUNDS).map(|round| run(place, &format!("one-{round}")).wall).collect());
    let together = |name: &str| {
        let tasks: Vec<String> = (0..4).map(|task| format!("{name}-of-four-{task}")).collect();
        let server = Server::start_many(tasks.iter().map(|task| script().for_task(task)).collect());
        let started = Instant::now();
        std::thread::scope(|scope| {
            for task in &tasks {
                scope.spawn(|| place.start(&server, task));
            }
        });
        tasks.iter().for_each(|task| place.wait(task));
        let wall = started.elapsed();
        server.finish();
        wall
    };
    let four = median((0..ROUNDS).map(|round| together(&format!("round-{round}"))).collect());
    let peak = peak(place.home(), || assert!(together("memory") < PATIENCE));
    println!("## Four sessions at once\n\n| | measured | goal |\n|---|---|---|");
    row("wall, s", seconds(four), "");
    row("wall ÷ one", format!("{:.2}", four / one), "≤ 2");
    row("memory of all, guards too (PSS), MiB", mib(peak, |peak| peak.all), "≤ 80");
    println!();
}

/// Fifty sessions that wait for their model.
fn fifty(place: &Place) {
    let tasks: Vec<String> = (0..50).map(|task| format!("idle-{task:02}")).collect();
    let slow = || Turn::text("Done.").delay(Duration::from_secs(600));
    let scripts = tasks.iter().map(|task| Script::new([slow()]).for_task(task)).collect();
    let server = Server::start_many(scripts);
    let peak = peak(place.home(), || {
        for task in &tasks {
            place.start(&server, task);
        }
        std::thread::sleep(Duration::from_millis(500));
        for task in &tasks {
            let stop = place.home().cmd(place.home().program()).dir(&place.dir);
            stop.args(&["stop", "--kill", &place.session(task).id]).run();
        }
    });
    server.finish();
    println!("## Fifty sessions that wait for their model\n\n| | measured | goal |\n|---|---|---|");
    row("memory each, with its guard (PSS), MiB", mib(peak, |peak| peak.all / 50), "≤ 6");
    println!();
}
