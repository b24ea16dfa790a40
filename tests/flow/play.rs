//! One session that a scripted model plays, and all that a person could do to it.
//!
//! Invariant: everything goes through the built program and git; only process ids and the
//! session's files are looked at besides.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Server};

/// How long a session may take to get anywhere, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A session, its repository and its model.
pub(crate) struct Play {
    pub(crate) repo: Repo,
    pub(crate) server: Server,
    pub(crate) dialect: Dialect,
    pub(crate) id: String,
}

impl Play {
    /// Starts a session on "Mend the shop" in an ordinary repository.
    pub(crate) fn start(dialect: Dialect, script: Script, args: &[&str]) -> Self {
        Self::start_in(Repo::new(), dialect, script, args)
    }

    /// As [`Play::start`], in this repository.
    pub(crate) fn start_in(repo: Repo, dialect: Dialect, script: Script, args: &[&str]) -> Self {
        Self::start_with(repo, dialect, script, args, &[])
    }

    /// As [`Play::start_in`], its supervisor with these variables.
    pub(crate) fn start_with(
        repo: Repo,
        dialect: Dialect,
        script: Script,
        args: &[&str],
        env: &[(&'static str, String)],
    ) -> Self {
        let server = Server::start(script);
        let mut play = Self { repo, server, dialect, id: String::new() };
        let start = ["start", "Mend the shop", "--model", dialect.model()];
        let said = play.cmd(&[&start, args].concat()).envs(env.iter().cloned()).run().success();
        let id = said.strip_prefix("Started ").and_then(|said| said.split_whitespace().next());
        play.id = id.unwrap_or_else(|| panic!("no id in {said}")).to_owned();
        play
    }

    /// The program, where it finds the model.
    pub(crate) fn cmd(&self, args: &[&str]) -> Cmd {
        self.repo.cmd(args).envs(self.server.env(self.dialect))
    }

    /// A verb on this session, with more arguments.
    pub(crate) fn run(&self, verb: &str, args: &[&str]) -> Out {
        self.cmd(&[&[verb, &self.id], args].concat()).run()
    }

    /// `status --json`, once the session is in this state and nobody runs it any more.
    pub(crate) fn rests(&self, state: &str) -> Value {
        let at_work = [json!("queued"), json!("running"), json!("verifying")];
        until(state, || {
            let status = self.status();
            let rests = !at_work.contains(&status["state"]) && !self.is_held();
            // What rests in another state will not leave it; why it is there helps to mend it.
            if rests && status["state"] != state {
                let log = fs::read_to_string(self.folder().join("supervisor.log"));
                let violations = self.server.take_violations();
                panic!("not {state}: {}\n{violations:#?}\n{log:?}\n{status:#}", self.line());
            }
            rests
        });
        self.status()
    }

    /// `status --json`.
    pub(crate) fn status(&self) -> Value {
        let out = self.repo.agent(&["status", &self.id, "--json"]);
        serde_json::from_str(&out.success()).expect("it is JSON")
    }

    /// The session's line of `list`, as a person sees it.
    pub(crate) fn line(&self) -> String {
        let list = self.repo.agent(&["list"]).success();
        list.lines().find(|line| line.contains("mend-the-shop")).unwrap_or_default().to_owned()
    }

    /// The updates of the journal.
    pub(crate) fn updates(&self) -> Vec<Value> {
        let log = self.repo.agent(&["log", &self.id, "--json"]).success();
        let event = |line: &str| serde_json::from_str::<Value>(line).expect("it is JSON");
        log.lines().map(|line| event(line)["update"].clone()).collect()
    }

    /// The updates of this kind, each without its name.
    pub(crate) fn told(&self, kind: &str) -> Vec<Value> {
        self.updates().into_iter().filter_map(|update| update.get(kind).cloned()).collect()
    }

    /// What a person has said, as the journal has it, in order.
    pub(crate) fn heard(&self) -> Vec<String> {
        let messages = self.told("user_message").into_iter();
        let persons = messages.filter(|message| message["from"] == "person");
        persons.map(|message| message["text"].as_str().expect("text").to_owned()).collect()
    }

    /// Waits until a call has begun that is not yet over.
    pub(crate) fn wait_for_call(&self) {
        let count = |updates: &[Value], kind: &str| {
            updates.iter().filter(|update| update.get(kind).is_some()).count()
        };
        until("a call runs", || {
            let updates = self.updates();
            count(&updates, "tool_call") > count(&updates, "tool_call_update")
        });
    }

    /// Waits until the server was asked so often.
    pub(crate) fn wait_for_request(&self, number: usize) {
        until("the model is asked", || self.server.served().len() >= number);
    }

    pub(crate) fn worktree(&self) -> PathBuf {
        self.repo.home().root().join("shop.worktrees/mend-the-shop")
    }

    /// The session's folder in the git dir.
    pub(crate) fn folder(&self) -> PathBuf {
        self.repo.common_dir().join("agent/sessions").join(&self.id)
    }

    /// What git prints in the worktree.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.repo.home().git(&self.worktree(), args)
    }

    /// The subjects on the branch since the base, oldest first.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let range = "main..agent/mend-the-shop";
        let log = self.repo.git(&["log", "--reverse", "--format=%s", range]);
        log.lines().map(str::to_owned).collect()
    }

    /// The text of a file at the tip of the branch.
    pub(crate) fn committed(&self, path: &str) -> String {
        self.repo.git(&["show", &format!("agent/mend-the-shop:{path}")])
    }

    /// Who runs the session, if anybody does.
    pub(crate) fn supervisor(&self) -> Option<Pid> {
        let written = fs::read_to_string(self.folder().join("lock")).ok()?;
        let pid = written.lines().next()?.parse().ok().and_then(Pid::from_raw)?;
        rustix::process::test_kill_process(pid).is_ok().then_some(pid)
    }

    /// Waits until nobody runs any session of the repository.
    pub(crate) fn wait_for_supervisors(&self) {
        let sessions = self.repo.common_dir().join("agent/sessions");
        let is_held = |id: &String| {
            let lock = sessions.join(id).join("lock");
            git_agent::session::lock::holder(&lock).expect("a file").is_some()
        };
        until("no session runs", || !self.repo.session_ids().iter().any(is_held));
    }

    /// Whether anybody runs the session, the number in its lock's file written or not.
    fn is_held(&self) -> bool {
        git_agent::session::lock::holder(&self.folder().join("lock")).expect("a file").is_some()
    }

    /// Sends its supervisor a signal and waits for its end.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.supervisor().expect("it is run");
        kill_process(pid, signal).expect("it is ours");
        until("the supervisor has ended", || self.supervisor().is_none());
    }

    /// Asserts that a secret is in no file of the git dir, in no object, and in nothing that is
    /// said.
    pub(crate) fn assert_nowhere(&self, secret: &str) {
        let found = self.repo.home().cmd("grep").args(&["-raho", &format!(".*{secret}.*")]);
        assert_eq!(found.dir(&self.repo.common_dir()).run().stdout, "");
        for verb in ["status", "log"] {
            let out = self.run(verb, &[]);
            assert!(!(out.stdout + &out.stderr).contains(secret), "{verb}");
        }
        // Trees hold what is not UTF-8.
        let objects = ["cat-file", "--batch-all-objects", "--batch", "--buffer"];
        let objects = git_agent::process::Cmd::new("git").args(objects).dir(self.repo.main());
        let objects = objects.run().expect("git runs").stdout;
        let text = String::from_utf8_lossy(&objects);
        let lines: Vec<_> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret} is in an object: {lines:#?}");
    }

    /// Asserts what holds at the end of every session, and ends the server.
    pub(crate) fn close(self) {
        self.repo.assert_whole();
        self.server.finish();
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Does the same in each dialect, side by side.
pub(crate) fn in_each_dialect<T: Send>(play: impl Fn(Dialect) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let plays = Dialect::ALL.map(|dialect| {
            let play = &play;
            scope.spawn(move || play(dialect))
        });
        plays.into_iter().map(|play| play.join().expect("it holds")).collect()
    })
}
