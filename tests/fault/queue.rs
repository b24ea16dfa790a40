//! More sessions than may run: who waits, who goes first, and that a slot is never lost.
//!
//! Invariant: how many ran at once is read from the journals, and a session that waits is looked at
//! in its files where a command would start it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use git_agent::session::lock::Lock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::commands::{go, patient, quick, said, transcript};
use crate::flow::play::{SOON, until};
use crate::flow::worktree::small_script;
use crate::support::home::Home;
use crate::support::repo::{Repo, Shape};
use crate::support::server::{Dialect, Server};

/// A repository in which so many sessions may run.
fn with_slots(most: u32) -> Repo {
    let repo = Repo::new();
    repo.git(&["config", "agent.maxRunning", &most.to_string()]);
    repo
}

/// Starts a session and returns its id.
fn start(repo: &Repo, task: &str, model: &str, more: &[&str]) -> String {
    let out = repo.agent(&[&["start", task, "--model", model], more].concat()).success();
    out.split_whitespace().nth(1).expect("its id is said").to_owned()
}

fn file_of(repo: &Repo, id: &str, file: &str) -> PathBuf {
    repo.common_dir().join("agent/sessions").join(id).join(file)
}

/// The phase in a session's file; no command is run, which might start somebody.
fn phase(repo: &Repo, id: &str) -> String {
    let state = fs::read_to_string(file_of(repo, id, "state.toml")).unwrap();
    let phase = state.lines().find_map(|line| line.strip_prefix("phase = ")).unwrap();
    phase.trim_matches('"').to_owned()
}

fn becomes(repo: &Repo, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), || phase(repo, id) == wanted);
}

/// The process that runs a session.
fn supervisor(repo: &Repo, id: &str) -> Pid {
    let pid = fs::read_to_string(file_of(repo, id, "lock")).unwrap();
    Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()).unwrap()
}

fn listed(repo: &Repo) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&repo.agent(&["list", "--json"]).success()).unwrap();
    listed["sessions"].as_array().unwrap().clone()
}

fn assert_all(repo: &Repo, state: &str, count: usize) {
    let states: Vec<_> = listed(repo).iter().map(|session| session["state"].clone()).collect();
    assert_eq!(states, vec![json!(state); count]);
}

/// When each session began to work and when it came to rest, in the order of beginning.
fn runs(repo: &Repo) -> Vec<(String, String, String)> {
    let mut runs = Vec::new();
    for id in repo.session_ids() {
        let journal = fs::read_to_string(file_of(repo, &id, "journal.jsonl")).unwrap();
        let mut begun = None;
        for line in journal.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let time = event["time"].as_str().unwrap().to_owned();
            match event["update"]["state"]["to"].as_str() {
                Some("running" | "verifying") => drop(begun.get_or_insert(time)),
                Some("queued") | None => {}
                Some(_) => runs.extend(begun.take().map(|begun| (begun, time, id.clone()))),
            }
        }
        assert_eq!(begun, None, "{id} has come to rest");
    }
    runs.sort();
    runs
}

/// How many sessions ran at once when most did.
fn most_at_once(runs: &[(String, String, String)]) -> usize {
    let at = |time: &String| runs.iter().filter(|(from, to, _)| from <= time && time < to).count();
    runs.iter().map(|(from, ..)| at(from)).max().unwrap_or(0)
}

#[test]
fn w05_sixteen_starts_at_once_wait_for_each_other_and_all_get_done() {
    let repo = Repo::new();
    let server = Server::start(small_script());
    let start = |number: usize| {
        // Half of them wish for one name.
        let task = match number % 2 {
            0 => "Same task".to_owned(),
            _ => format!("Task {number}"),
        };
        let args = ["start", &task, "--wait", "--model", Dialect::ALL[number % 3].model()];
        // Whoever ends may have to start any other, with its key.
        let env = Dialect::ALL.into_iter().flat_map(|dialect| server.env(dialect));
        repo.cmd(&args).envs(env).limit(2 * SOON).run()
    };
    let start = &start;
    let outs = thread::scope(|scope| {
        let runs: Vec<_> = (0..16).map(|number| scope.spawn(move || start(number))).collect();
        runs.into_iter().map(|run| run.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    for out in outs {
        assert_eq!(out.code, 0, "{out:#?}");
    }
    assert_all(&repo, "done", 16);
    let sessions = listed(&repo);
    let of = |key: &str| {
        let mut all: Vec<_> = sessions.iter().map(|session| session[key].to_string()).collect();
        all.sort();
        all.dedup();
        all.len()
    };
    assert_eq!((of("id"), of("branch"), of("worktree")), (16, 16, 16));
    assert_eq!(repo.git(&["worktree", "list"]).lines().count(), 17);
    for session in &sessions {
        let branch = session["branch"].as_str().unwrap();
        assert_eq!(repo.git(&["diff", "--name-only", "main", branch]), "small.txt");
    }
    let notes = repo.git(&["notes", "--ref=agent", "list"]);
    assert_eq!(notes.lines().count(), 16, "no note is lost where many are written at once");
    let runs = runs(&repo);
    assert_eq!(runs.len(), 16);
    assert!(most_at_once(&runs) <= 3, "{runs:#?}");
    server.finish();
    repo.assert_whole();
}

#[test]
fn fifty_in_three_slots_run_by_priority_and_age() {
    let repo = Repo::new();
    let (held, free) = (patient(&repo), quick(&repo));
    for number in 0..3 {
        start(&repo, &format!("held {number}"), &held, &[]);
    }
    let start = |number: usize| {
        let priority = ["low", "medium", "high"][number % 3];
        let task = format!("task {number}");
        start(&repo, &task, &free, &["--priority", priority]);
    };
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (half..47).step_by(2).for_each(start));
        }
    });
    repo.agent(&["reprioritize", "high", "task-0-", "task-3-"]).success();
    let mut waiting = listed(&repo);
    waiting.retain(|session| session["state"] == "queued");
    assert_eq!(waiting.len(), 47);
    let rank = |session: &Value| {
        let priority = session["queue"]["priority"].as_str().unwrap();
        let rank = ["high", "medium", "low"].iter().position(|name| *name == priority).unwrap();
        (rank, session["created"].as_str().unwrap().to_owned())
    };
    waiting.sort_by_key(rank);
    let places: Vec<_> =
        waiting.iter().map(|session| session["queue"]["position"].as_u64().unwrap()).collect();
    assert_eq!(places, (1..=47).collect::<Vec<_>>());
    let wanted: Vec<_> = waiting.iter().map(|session| session["id"].as_str().unwrap()).collect();
    go(&repo);
    let all_done = || repo.session_ids().iter().all(|id| phase(&repo, id) == "done");
    until("all fifty are done", all_done);
    let runs = runs(&repo);
    assert_eq!((runs.len(), most_at_once(&runs)), (50, 3));
    // Who is called first of three may begin last.
    let begun: Vec<_> =
        runs.iter().filter(|(.., id)| !id.starts_with("held")).map(|(.., id)| id).collect();
    for (at, id) in begun.iter().enumerate() {
        let place = wanted.iter().position(|wanted| wanted == id).unwrap();
        assert!(place.abs_diff(at) < 3, "{id} began as number {at}, in place {place}: {begun:#?}");
    }
}

#[test]
fn a_slot_of_one_that_was_killed_is_the_next_ones() {
    let repo = with_slots(1);
    let first = start(&repo, "first", &patient(&repo), &[]);
    let second = start(&repo, "second", &patient(&repo), &[]);
    let third = start(&repo, "third", &quick(&repo), &[]);
    // Its guard stays behind, and no other.
    until("its command runs", || listed(&repo).iter().any(|session| session["steps"] == 1));
    kill_process(supervisor(&repo, &first), Signal::KILL).unwrap();
    becomes(&repo, &second, "running");
    assert_eq!(phase(&repo, &third), "queued");
    // Another that runs looks around.
    repo.git(&["config", "agent.maxRunning", "2"]);
    becomes(&repo, &third, "done");
    go(&repo);
    becomes(&repo, &second, "done");
    let status = repo.wait_state("first", "interrupted", SOON);
    assert_eq!(status["queue"], Value::Null);
    repo.assert_whole();
}

#[test]
fn what_waits_costs_no_process_and_any_command_starts_it() {
    let repo = with_slots(1);
    let first = start(&repo, "first", &patient(&repo), &[]);
    let second = start(&repo, "second", &quick(&repo), &[]);
    becomes(&repo, &first, "running");
    // The system shuts down: nobody begins then.
    kill_process(supervisor(&repo, &first), Signal::TERM).unwrap();
    becomes(&repo, &first, "interrupted");
    until("nothing runs", || repo.home().processes().is_empty());
    assert_eq!(phase(&repo, &second), "queued");
    // As after a restart of the machine, and long after its start.
    let path = file_of(&repo, &second, "state.toml");
    let state = fs::read_to_string(&path).unwrap();
    let aged = |line: &str| match line.starts_with("updated = ") {
        true => "updated = \"2026-01-02T03:04:05Z\"\n".to_owned(),
        false => format!("{line}\n"),
    };
    fs::write(&path, state.lines().map(aged).collect::<String>()).unwrap();
    repo.agent(&["doctor"]);
    becomes(&repo, &second, "done");
}

#[test]
fn an_end_in_one_repository_starts_the_next_in_another() {
    let home = Arc::new(Home::new());
    let here = Repo::in_home(Arc::clone(&home), Shape::Plain);
    here.git(&["config", "--global", "agent.maxRunningTotal", "1"]);
    let clone = home.root().join("clone");
    here.git(&["clone", "-q", ".", clone.to_str().unwrap()]);
    let there = Repo::made(home, &clone, &clone);
    let first = start(&here, "first", &patient(&here), &[]);
    becomes(&here, &first, "running");
    let (slow, quick) = (patient(&there), quick(&there));
    let out = there.agent(&["start", "low", "--model", &quick, "--priority", "low"]);
    let out = there.normal(&out);
    let place = "  place 1 of 1 in the queue (low), waits for a slot (1 of 1 taken by all)\n";
    assert!(out.stderr.contains(place), "{out:?}");
    let second = start(&here, "second", &slow, &[]);
    go(&here);
    let low = there.session_ids().remove(0);
    becomes(&there, &low, "done");
    let runs: Vec<_> = [runs(&here), runs(&there)].concat();
    assert_eq!(most_at_once(&runs), 1);
    let [(first_begun, ..), (second_begun, _, id)] = &runs[..2] else { panic!("{runs:?}") };
    assert_eq!(id, &second);
    assert!(first_begun < second_begun && second_begun < &runs[2].0, "{runs:?}");
    here.assert_whole();
    there.assert_whole();
}

#[test]
fn a_machine_without_memory_runs_one() {
    let repo = Repo::new();
    repo.git(&["config", "agent.minFreeMemory", "8000g"]);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    let second = start(&repo, "second", &quick(&repo), &[]);
    if cfg!(target_os = "linux") {
        let list = repo.agent(&["list"]).success();
        let wanted = "place 1 of 1 in the queue, waits for memory (";
        assert!(list.contains(wanted) && list.contains(" MiB free, less than 8192000)"), "{list}");
    }
    go(&repo);
    becomes(&repo, &second, "done");
    let most = if cfg!(target_os = "linux") { 1 } else { 2 };
    assert_eq!(most_at_once(&runs(&repo)), most);
    repo.git(&["config", "agent.maxLoad", "low"]);
    let out = repo.agent(&["start", "third", "--model", &quick(&repo)]);
    assert_eq!(out.code, 2, "{out:?}");
}

#[test]
fn what_waits_can_be_steered() {
    let repo = with_slots(1);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    for task in ["second", "third"] {
        start(&repo, task, &quick(&repo), &[]);
    }
    let told = "Told second-[id], which is queued and reads it then\n";
    said(&repo, &["say", "second", "Be quick"], 0, "", told);
    said(
        &repo,
        &["pause", "second", "nobody", "third"],
        2,
        "",
        "Paused second-[id], which was queued\nhint: git agent resume second-[id]\n\
         error: no session 'nobody'\nhint: git agent list\n\
         Paused third-[id], which was queued\nhint: git agent resume third-[id]\n",
    );
    said(
        &repo,
        &["reprioritize", "high", "third", "first", "third"],
        0,
        "",
        "Moved third-[id] from medium to high priority\n\
         Nothing to reprioritize: first-[id] is running\n",
    );
    let queued = |name: &str, place: &str| {
        format!(
            "Queued {name}-[id], which was paused: place {place}, waits for a slot (1 of 1 taken here)\n\
             hint: git agent reprioritize high {name}-[id]\n"
        )
    };
    let resumed =
        [queued("second", "1 of 1 in the queue"), queued("third", "1 of 2 in the queue (high)")];
    said(&repo, &["resume", "--all"], 0, "", &resumed.concat());
    said(&repo, &["stop", "third"], 0, "", "Stopped third-[id]; its branch and worktree stay\n");
    let second = repo.session_ids().remove(1);
    assert_eq!(phase(&repo, &second), "queued");
    said(&repo, &["worktree", "remove", "second"], 1, "", QUEUED_STAYS);
    let moved = "Moved second-[id] from medium to low priority; \
                 place 1 of 1 in the queue (low), waits for a slot (1 of 1 taken here)\n";
    said(&repo, &["reprioritize", "low", "--all"], 0, "", moved);
    go(&repo);
    becomes(&repo, &second, "done");
    let log = repo.agent(&["log", "second"]).success();
    assert!(log.contains("you      Be quick"), "{log}");
    assert_eq!(repo.wait_state("third", "stopped", SOON)["steps"], 0);
    said(
        &repo,
        &["reprioritize", "low", "--all"],
        0,
        "",
        "Nothing to reprioritize: no session waits\n",
    );
}

const QUEUED_STAYS: &str =
    "error: session second-[id] is queued\nhint: git agent stop second-[id]\n";

#[test]
fn e07_a_stop_wins_against_a_start_from_the_queue() {
    let repo = with_slots(1);
    let model = transcript(&repo, "short.jsonl", &[json!("All is done.")]);
    for round in 0..4 {
        start(&repo, &format!("before {round}"), &model, &[]);
        let id = start(&repo, &format!("stopped {round}"), &patient(&repo), &[]);
        repo.agent(&["stop", &id]).success();
        repo.wait_state(&id, "stopped", SOON);
        // Whoever was on its way has come and gone.
        until("nothing runs", || repo.home().processes().is_empty());
        assert_eq!(phase(&repo, &id), "stopped");
    }
    repo.assert_whole();
}

#[test]
fn what_a_killed_command_has_written_is_committed_by_the_stop() {
    let repo = Repo::new();
    let write = "echo half > half.txt; until test -e never; do sleep 0.02; done";
    let model = transcript(&repo, "half.jsonl", &[json!(["bash", {"command": write}])]);
    for (task, args) in [("killed by it", &["stop", "--kill"][..]), ("killed before", &["stop"])] {
        let id = start(&repo, task, &model, &[]);
        let name = task.replace(' ', "-");
        let worktree = repo.home().root().join("shop.worktrees").join(&name);
        until("it has written", || worktree.join("half.txt").exists());
        if task == "killed before" {
            kill_process(supervisor(&repo, &id), Signal::KILL).unwrap();
            repo.wait_state(&id, "interrupted", SOON);
        }
        repo.agent(&[args, &[&id]].concat()).success();
        let status = repo.wait_state(&id, "stopped", SOON);
        assert_eq!(status["files"], 1);
        let branch = format!("agent/{name}");
        assert_eq!(repo.git(&["show", &format!("{branch}:half.txt")]), "half");
        assert_eq!(repo.home().git(&worktree, &["status", "--porcelain"]), "");
        let log = repo.agent(&["log", &id, "--json"]).success();
        let tip = repo.git(&["rev-parse", &branch]);
        assert!(log.contains(&tip), "the journal tells of the commit: {log}");
        let why =
            if task == "killed before" { "\"to\":\"interrupted\"" } else { "killed by a person" };
        assert!(log.contains(why), "{why}: {log}");
    }
    repo.assert_whole();
}

#[test]
fn what_a_run_that_died_has_left_is_committed_where_it_waits_to_go_on() {
    let repo = with_slots(1);
    let write = "echo half > half.txt; until test -e never; do sleep 0.02; done";
    let model = transcript(&repo, "half.jsonl", &[json!(["bash", {"command": write}])]);
    let id = start(&repo, "dies", &model, &[]);
    let worktree = repo.home().root().join("shop.worktrees/dies");
    until("it has written", || worktree.join("half.txt").exists());
    kill_process(supervisor(&repo, &id), Signal::KILL).unwrap();
    repo.wait_state(&id, "interrupted", SOON);
    let other = start(&repo, "takes the slot", &patient(&repo), &[]);
    becomes(&repo, &other, "running");
    repo.agent(&["resume", &id]).success();
    repo.wait_state(&id, "queued", SOON);
    repo.agent(&["stop", &id]).success();
    repo.wait_state(&id, "stopped", SOON);
    assert_eq!(repo.git(&["show", "agent/dies:half.txt"]), "half");
    assert_eq!(repo.home().git(&worktree, &["status", "--porcelain"]), "");
    go(&repo);
    repo.wait_state(&other, "done", SOON);
}

/// Holds a session as a command does, in the name of a process that dies of a signal.
#[expect(clippy::disallowed_methods, reason = "it is to be signalled, not to be run")]
fn hold(repo: &Repo, id: &str) -> (Lock, Child) {
    let path = file_of(repo, id, "lock");
    let lock = Lock::acquire_with_folder(&path).unwrap();
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(&path, format!("{}\n", child.id())).unwrap();
    (lock, child)
}

#[test]
fn a_command_that_holds_a_session_is_waited_for_and_never_signalled() {
    let repo = with_slots(1);
    let model = transcript(&repo, "short.jsonl", &[json!("All is done.")]);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    let second = start(&repo, "second", &model, &[]);
    let third = start(&repo, "third", &model, &[]);

    let (lock, mut child) = hold(&repo, &third);
    repo.agent(&["say", &third, "Be quick"]).success();
    thread::scope(|scope| {
        let killed = scope.spawn(|| repo.agent(&["stop", "--kill", &third]));
        // As long as a command may hold it: nothing waits for this.
        thread::sleep(Duration::from_millis(500));
        drop(lock);
        killed.join().unwrap().success();
    });
    assert_eq!(phase(&repo, &third), "stopped");
    assert_eq!(child.try_wait().unwrap(), None, "it lives");
    child.kill().unwrap();
    child.wait().unwrap();

    let (lock, mut child) = hold(&repo, &second);
    go(&repo);
    let ticket = repo.common_dir().join("agent/queue").join(&second);
    until("it is called", || fs::read_to_string(&ticket).unwrap().contains("called"));
    thread::sleep(Duration::from_millis(1500));
    drop(lock);
    becomes(&repo, &second, "done");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn one_that_cannot_be_started_keeps_nobody_behind_it_from_running() {
    let repo = with_slots(1);
    let model = transcript(&repo, "short.jsonl", &[json!("All is done.")]);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    let [torn, logless, last] = ["torn", "logless", "last"].map(|it| start(&repo, it, &model, &[]));
    fs::write(file_of(&repo, &torn, "state.toml"), "phase = ").unwrap();
    fs::create_dir(file_of(&repo, &logless, "supervisor.log")).unwrap();
    go(&repo);
    becomes(&repo, &last, "done");
    until("the slot is free", || repo.home().processes().is_empty());
    // Whose own session it is learns of it.
    let resumed = repo.agent(&["resume", &logless]);
    assert_eq!(resumed.code, 1, "{resumed:?}");
    let said = "error: cannot open the supervisor's log: ";
    assert!(resumed.stderr.contains(said), "{resumed:?}");
    fs::remove_dir(file_of(&repo, &logless, "supervisor.log")).unwrap();
    repo.agent(&["resume", &logless]).success();
    becomes(&repo, &logless, "done");
}

#[test]
fn what_was_wished_of_a_run_that_died_is_not_wished_of_the_next() {
    let repo = Repo::new();
    for verb in ["pause", "stop"] {
        let id = start(&repo, verb, &patient(&repo), &[]);
        until("its command runs", || repo.wait_state(&id, "running", SOON)["steps"] == 1);
        // It cannot hear, and dies.
        let pid = supervisor(&repo, &id);
        kill_process(pid, Signal::STOP).unwrap();
        repo.agent(&[verb, &id]).success();
        kill_process(pid, Signal::KILL).unwrap();
        repo.wait_state(&id, "interrupted", SOON);
        repo.agent(&["resume", &id]).success();
        repo.wait_state(&id, "done", SOON);
    }
}

#[test]
fn it_runs_with_what_its_own_shell_had() {
    let repo = with_slots(1);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    let print = json!(["bash", {"command": "printf '%s %s' \"$CC\" \"$CFLAGS\" > env.txt"}]);
    let model = transcript(&repo, "print.jsonl", &[print, json!("All is done.")]);
    repo.cmd(&["start", "second", "--model", &model]).env("CC", "mine").run().success();
    let second = repo.session_ids().remove(1);
    let kept = fs::metadata(file_of(&repo, &second, "environment")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o777, 0o600);
    go(&repo);
    becomes(&repo, &second, "done");
    assert_eq!(repo.git(&["show", "agent/second:env.txt"]), "mine ");
}

#[test]
fn commands_are_as_nice_as_is_set_and_what_cannot_be_limited_is_said() {
    let repo = Repo::new();
    repo.git(&["config", "agent.nice", "3"]);
    repo.git(&["config", "agent.memoryLimit", "64g"]);
    let nice = json!(["bash", {"command": "nice > nice.txt; ulimit -v > space.txt"}]);
    let model = transcript(&repo, "nice.jsonl", &[nice, json!("All is done.")]);
    let id =
        start(&repo, "be nice", &model, &["--verify", "test \"$(nice)\" = \"$(cat nice.txt)\""]);
    repo.wait_state(&id, "done", SOON);
    let mine: u32 = repo.home().cmd("nice").run().success().trim().parse().unwrap();
    let of = |file: &str| repo.git(&["show", &format!("agent/be-nice:{file}")]);
    assert_eq!(of("nice.txt"), (mine + 3).min(19).to_string());
    let status = repo.agent(&["status", &id]).success();
    let is_said = status.contains("agent.memoryLimit holds for each process alone");
    assert_eq!(of("space.txt") == (64_u64 << 20).to_string(), is_said, "{status}");
}

#[test]
fn a_key_is_not_kept_and_whoever_has_it_starts_the_session() {
    let repo = with_slots(1);
    let first = start(&repo, "first", &patient(&repo), &[]);
    becomes(&repo, &first, "running");
    let (server, dialect) = (Server::start(small_script()), Dialect::Anthropic);
    let args = ["start", "second", "--model", dialect.model()];
    repo.cmd(&args).envs(server.env(dialect)).run().success();
    let second = repo.session_ids().remove(1);
    go(&repo);
    becomes(&repo, &first, "done");
    until("nothing runs", || repo.home().processes().is_empty());
    let list = repo.agent(&["list"]).success();
    let wanted = "waits for ANTHROPIC_API_KEY as it was when it started";
    assert!(list.contains(wanted), "{list}");
    let folder = repo.common_dir().join("agent");
    let grep = repo.home().cmd("grep").args(&["-rc", dialect.key(), folder.to_str().unwrap()]);
    assert!(grep.run().stdout.lines().all(|line| line.ends_with(":0")), "a key is on the disk");
    repo.cmd(&["list"]).envs(server.env(dialect)).run().success();
    becomes(&repo, &second, "done");
    server.finish();
}
