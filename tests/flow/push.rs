//! Pushes to real remotes, with our hooks in: what is refused, what goes through, and what CI says.
//!
//! Invariant: each refusal leaves the remote as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::{go, patient, ran, transcript};
use crate::support::cmd::Out;
use crate::support::remote::{Http, Ssh};
use crate::support::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);

/// A repository with our hooks and a remote `origin` that has its branch `main`.
struct Pushing {
    repo: Repo,
    remote: PathBuf,
    ssh: Option<String>,
}

impl Pushing {
    fn new(url: impl Fn(&Path) -> String) -> Self {
        let repo = Repo::new();
        let remote = repo.home().root().join("remote.git");
        let path = remote.to_str().expect("a path of ours");
        repo.git(&["init", "-q", "--bare", path]);
        repo.git(&["--git-dir", path, "config", "http.receivepack", "true"]);
        repo.git(&["push", "-q", path, "main"]);
        repo.git(&["remote", "add", "origin", &url(&remote)]);
        Self { repo, remote, ssh: None }
    }

    fn plain() -> Self {
        let pushing = Self::new(|path| path.to_str().expect("a path of ours").to_owned());
        pushing.ready();
        pushing
    }

    fn ready(&self) {
        assert_eq!(self.git(self.repo.main(), &["fetch", "-q", "origin"]).code, 0);
        self.repo.agent(&["hooks", "install"]).success();
    }

    fn git(&self, dir: &Path, args: &[&str]) -> Out {
        let cmd = self.repo.home().cmd("git").dir(dir).args(args);
        match &self.ssh {
            Some(command) => cmd.env("GIT_SSH_COMMAND", command).run(),
            None => cmd.run(),
        }
    }

    fn push_from(&self, dir: &Path, args: &[&str]) -> Out {
        self.git(dir, &[&["push", "-q"], args].concat())
    }

    fn push(&self, args: &[&str]) -> Out {
        self.push_from(self.repo.main(), args)
    }

    fn there(&self) -> String {
        self.repo.home().git(&self.remote, &["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    #[track_caller]
    fn passes(&self, args: &[&str]) {
        let out = self.push(args);
        assert_eq!(out.code, 0, "{args:?}: {out:#?}");
    }

    /// Each of these is told, and the remote is as it was.
    #[track_caller]
    fn is_refused(&self, args: &[&str], told: &[&str]) {
        let before = self.there();
        let out = self.push(args);
        assert_ne!(out.code, 0, "{args:?} went through");
        for words in told {
            assert!(out.stderr.contains(words), "{words:?} is not in {}", out.stderr);
        }
        assert_eq!(self.there(), before, "{args:?}");
    }

    /// A session that wrote a file called after its task and passed `true`.
    fn session(&self, task: &str) -> String {
        let write = json!(["write", {"path": format!("{task}.txt"), "content": "new\n"}]);
        let model = transcript(&self.repo, task, &[write, json!("All is done.")]);
        ran(&self.repo, task, &model, &["--verify", "true"])
    }

    fn worktree(&self, name: &str) -> PathBuf {
        self.repo.home().root().join("shop.worktrees").join(name)
    }

    /// A person's commit on a session's branch, on which nothing was verified.
    fn change(&self, name: &str) {
        let worktree = self.worktree(name);
        fs::write(worktree.join("mine.txt"), "mine\n").expect("a file");
        self.repo.home().git(&worktree, &["add", "-A"]);
        self.repo.home().git(&worktree, &["commit", "-qm", "Mine"]);
    }
}

/// The life of a branch on a remote.
fn is_judged(pushing: &Pushing) {
    let good = pushing.session("Add one");
    let bad = pushing.session("Add two");
    let verified = pushing.repo.git(&["rev-parse", "agent/add-two"]);
    pushing.change("add-two");
    pushing.passes(&["origin", "agent/add-one"]);
    let unverified = "'true' passed on another tree";
    let mend = format!("git agent resume {bad} verifies it again");
    let told = ["verify", unverified, &mend, "1 check failed: nothing was pushed to origin"];
    pushing.is_refused(&["origin", "agent/add-two"], &told);
    // Several refs go together or not at all; a good one does not carry a bad one.
    pushing.is_refused(&["origin", "agent/add-one:refs/heads/other", "agent/add-two"], &told);
    // By whatever name: another branch, a tag, no branch at all.
    pushing.is_refused(&["origin", "agent/add-two:refs/heads/fine"], &[unverified]);
    pushing.repo.git(&["tag", "-m", "a tag", "v1", "agent/add-two"]);
    pushing.is_refused(&["origin", "v1"], &[unverified]);
    pushing.is_refused(&["origin", "agent/add-two^{}:refs/heads/fine"], &[unverified]);
    let worktree = pushing.worktree("add-two");
    let out = pushing.push_from(&worktree, &["origin", "HEAD:refs/heads/fine"]);
    assert!(out.code != 0 && out.stderr.contains(unverified), "{out:#?}");
    // What was verified may go, and be replaced by force; what is not verified may not.
    pushing.passes(&["origin", &format!("{verified}:refs/heads/agent/add-two")]);
    pushing.is_refused(&["--force", "origin", "agent/add-two:agent/add-two"], &[unverified]);
    pushing.passes(&["--force", "origin", "agent/add-one:agent/add-two"]);
    pushing.passes(&["origin", "--delete", "agent/add-two"]);
    assert_eq!(pushing.there().lines().count(), 2, "main and {good}: {}", pushing.there());
}

#[test]
fn h04_to_a_path() {
    is_judged(&Pushing::plain());
}

#[test]
fn h04_over_http() {
    let pushing = Pushing::new(|_| String::new());
    let http = Http::serve(pushing.repo.home().root());
    pushing.repo.git(&["remote", "set-url", "origin", &http.url("remote.git")]);
    pushing.ready();
    is_judged(&pushing);
}

#[test]
fn h04_over_ssh() {
    let mut pushing = Pushing::new(Ssh::url);
    let Some(ssh) = Ssh::start(pushing.repo.home()) else { return };
    pushing.ssh = Some(ssh.command());
    pushing.ready();
    is_judged(&pushing);
}

#[test]
fn what_has_nothing_of_ours_goes_through_whatever_else_is_wrong() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let patient = patient(repo);
    let id = repo.agent(&["start", "Wait here", "--model", &patient]);
    assert_eq!(id.code, 0, "{id:#?}");
    repo.wait_state("wait-here", "running", PATIENCE);
    repo.git(&["config", "agent.push.maxSize", "nonsense"]);
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.write("mine.txt", "mine\n");
    repo.commit("Mine");
    repo.git(&["tag", "light"]);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    pushing.passes(&["origin", "topic", "light", &format!("{tree}:refs/tags/tree")]);
    pushing.passes(&["origin", "HEAD~1:refs/heads/older", ":refs/heads/topic"]);
    go(repo);
    repo.git(&["config", "--unset", "agent.push.maxSize"]);
    repo.wait_state("wait-here", "done", PATIENCE);
}

#[test]
fn a_session_at_work_is_not_pushed_and_a_setting_that_makes_no_sense_lets_nothing_pass() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let wait = repo.home().root().join("go");
    let wait = format!("until test -e '{}'; do sleep 0.02; done", wait.display());
    let model = transcript(
        repo,
        "two.jsonl",
        &[
            json!(["write", {"path": "new.txt", "content": "new\n"}]),
            json!(["bash", {"command": wait}]),
            json!("Done."),
        ],
    );
    let args = ["start", "Add it", "--model", &model];
    repo.cmd(&args).run().success();
    let until = std::time::Instant::now() + PATIENCE;
    let tip = |name: &str| repo.git(&["rev-parse", name]);
    while tip("agent/add-it") == tip("main") {
        assert!(std::time::Instant::now() < until, "no step was committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    pushing.is_refused(&["origin", "agent/add-it"], &["session", "the session is running"]);
    go(repo);
    repo.wait_state("add-it", "done", PATIENCE);
    // Without verify commands nothing has to be verified.
    repo.git(&["config", "agent.push.maxSize", "nonsense"]);
    let told =
        ["agents' commits could not be checked: bad value 'nonsense' for agent.push.maxSize"];
    pushing.is_refused(&["origin", "agent/add-it"], &told);
    repo.git(&["config", "--unset", "agent.push.maxSize"]);
    // Neither does a folder that cannot be read.
    let state = repo.session_ids().pop().expect("it is there");
    let state = repo.common_dir().join("agent/sessions").join(state).join("state.toml");
    let text = fs::read(&state).expect("it is there");
    fs::write(&state, "nonsense").expect("it is ours");
    pushing.is_refused(&["origin", "agent/add-it"], &["agents' commits could not be checked"]);
    fs::write(&state, text).expect("it is ours");
    pushing.passes(&["origin", "agent/add-it"]);
}

#[test]
fn what_the_remote_has_is_known_from_its_refs_and_not_from_an_old_branch() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    // Unverified work of a session got there past our hook, and is on main there.
    pushing.session("Add one");
    pushing.change("add-one");
    pushing.passes(&["--no-verify", "origin", "agent/add-one:main"]);
    repo.git(&["fetch", "-q", "origin"]);
    assert_ne!(repo.git(&["rev-parse", "main"]), repo.git(&["rev-parse", "origin/main"]));
    // A branch from there brings nothing new of it, though the local main is behind.
    repo.git(&["checkout", "-q", "-b", "topic", "origin/main"]);
    repo.write("mine.txt", "changed\n");
    repo.commit("Mine");
    pushing.passes(&["origin", "topic"]);
    let out = repo.agent(&["check"]);
    assert_eq!(out.code, 0, "{out:#?}");
    // To another remote it is new, by name and by address.
    let other = repo.home().root().join("other.git");
    let other = other.to_str().expect("a path of ours");
    repo.git(&["init", "-q", "--bare", other]);
    let unverified = "passed on another tree";
    let out = pushing.push(&[other, "topic"]);
    assert!(out.code != 0 && out.stderr.contains(unverified), "{out:#?}");
    repo.git(&["remote", "add", "other", other]);
    let out = pushing.push(&["other", "topic"]);
    assert!(out.code != 0 && out.stderr.contains(unverified), "{out:#?}");
    // What a remote is called by its address it is known by all the same.
    let origin = pushing.remote.to_str().expect("a path of ours");
    pushing.passes(&[origin, "topic:refs/heads/again"]);
}

#[test]
fn what_is_landed_is_judged_as_it_landed() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let one = pushing.session("Add one");
    repo.agent(&["worktree", "merge", &one]).success();
    pushing.passes(&["origin", "main"]);
    // Its steps are not to arrive, where that is asked.
    repo.git(&["config", "agent.push.requireSquash", "true"]);
    let two = pushing.session("Add two");
    pushing.is_refused(
        &["origin", "agent/add-two"],
        &["squash", "steps that are not squashed", &format!("git agent worktree merge {two}")],
    );
    repo.write("other.txt", "meanwhile\n");
    repo.commit("Meanwhile");
    repo.agent(&["worktree", "merge", &two, "--no-verify"]).success();
    // It is one commit now, on a tree that nothing was verified on.
    let out = pushing.push(&["origin", "main"]);
    assert!(out.code != 0 && out.stderr.contains("passed on another tree"), "{out:#?}");
    assert!(!out.stderr.contains("squashed"), "{out:#?}");
    repo.git(&["config", "agent.push.requireVerify", "false"]);
    pushing.passes(&["origin", "main"]);
}

/// A clone as CI has it, and what `check` says there.
fn in_ci(pushing: &Pushing, range: &str, more: &[&str]) -> (PathBuf, Value, i32) {
    let clone = pushing.repo.home().root().join("ci");
    if !clone.exists() {
        let (from, to) = (pushing.remote.to_str().unwrap(), clone.to_str().unwrap());
        pushing.repo.git(&["clone", "-q", from, to]);
    }
    for refspec in more {
        pushing.repo.home().git(&clone, &["fetch", "-q", "origin", refspec]);
    }
    let program = pushing.repo.home().program();
    let out = pushing.repo.home().cmd(program).dir(&clone).args(&["check", range, "--json"]).run();
    let document: Value = serde_json::from_str(&out.stdout).unwrap_or_else(|_| panic!("{out:#?}"));
    assert_eq!(document["format"], 1);
    (clone, document["check"].clone(), out.code)
}

#[test]
fn no_verify_is_no_way_round_ci() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let id = pushing.session("Add one");
    let verified = repo.git(&["rev-parse", "agent/add-one"]);
    pushing.change("add-one");
    let tip = repo.git(&["rev-parse", "agent/add-one"]);
    pushing.is_refused(&["origin", "agent/add-one"], &["passed on another tree"]);
    pushing.passes(&["--no-verify", "origin", "agent/add-one"]);
    let range = "origin/main..origin/agent/add-one";
    let report = |commit: &str, what: &str, mend: &str| {
        json!({
            "passed": false,
            "commits": 2,
            "agent_commits": 2,
            "sessions": [id],
            "findings": [{
                "check": "verify",
                "session": id,
                "commits": [commit],
                "what": what,
                "mend": mend,
            }],
        })
    };
    // Without notes nothing tells whether it was verified, and that is not enough.
    let fetch = "git fetch origin refs/notes/agent:refs/notes/agent";
    let unknown = report(&tip, "no note here says whether it was verified", fetch);
    let (clone, found, code) = in_ci(&pushing, range, &[]);
    assert_eq!((found, code), (unknown.clone(), 1));
    pushing.passes(&["origin", "refs/notes/agent", "refs/agent/*:refs/agent/*"]);
    let (_, found, code) = in_ci(&pushing, range, &["refs/notes/agent:refs/notes/agent"]);
    assert_eq!((found, code), (unknown, 1), "a person's commit has no note");
    // What was verified passes by its note alone, and the whole by the record.
    let good = format!("origin/main..{verified}");
    let (_, found, code) = in_ci(&pushing, &good, &[]);
    assert_eq!((found["passed"].clone(), code), (json!(true), 0), "{found}");
    let mend = format!("git agent resume {id} verifies it again");
    let other = report(&tip, "'true' passed on another tree", &mend);
    let (_, found, code) = in_ci(&pushing, range, &["refs/agent/*:refs/agent/*"]);
    assert_eq!((found, code), (other, 1));
    // Nothing of ours is nothing to complain of.
    let (_, found, code) = in_ci(&pushing, "HEAD~1..HEAD", &[]);
    let none = json!({
        "passed": true, "commits": 1, "agent_commits": 0, "sessions": [], "findings": []
    });
    assert_eq!((found, code), (none, 0));
    // CI names a new branch's old commit by zeros.
    let zeros = format!("{}..{verified}", "0".repeat(40));
    let (_, found, _) = in_ci(&pushing, &zeros, &[]);
    assert_eq!((found["passed"].clone(), found["commits"].clone()), (json!(true), json!(1)));
    drop(clone);
}

#[test]
fn what_a_session_might_not_change_or_is_too_large_stays_here() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let id = pushing.session("Add one");
    // Its bounds, as a person has set them since: the spec is what counts.
    let spec = repo.common_dir().join("agent/sessions").join(&id).join("spec.toml");
    let text = fs::read_to_string(&spec).expect("it is there");
    fs::write(&spec, format!("{text}\n[bounds]\nscope = [\"docs/**\"]\n")).expect("it is ours");
    let told = ["scope", "Add one.txt", "scope", &format!("git agent rewind {id} STEP")];
    pushing.is_refused(&["origin", "agent/add-one"], &told);
    fs::write(&spec, text).expect("it is ours");
    repo.git(&["config", "agent.maxFileSize", "3"]);
    let told = ["size", "Add one.txt has 4 bytes, 3 are allowed"];
    pushing.is_refused(&["origin", "agent/add-one"], &told);
    repo.git(&["config", "agent.maxFileSize", "4"]);
    repo.git(&["config", "agent.push.maxSize", "2"]);
    let told = ["size", "4 bytes are added, 2 are allowed"];
    pushing.is_refused(&["origin", "agent/add-one"], &told);
    repo.git(&["config", "agent.push.maxSize", "1k"]);
    pushing.passes(&["origin", "agent/add-one"]);
}

#[test]
fn where_signatures_are_asked_for_each_must_be_good() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    let id = pushing.session("Add one");
    repo.git(&["config", "agent.push.requireSignature", "true"]);
    pushing.is_refused(&["origin", "agent/add-one"], &["signature", "not signed"]);
    let Some(key) = repo.home().ssh_key("key") else { return };
    let key_text = key.to_str().expect("a path of ours");
    let public = fs::read_to_string(key.with_extension("pub")).expect("it was made");
    let signers = repo.home().root().join("signers");
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", key_text]);
    repo.git(&["config", "commit.gpgSign", "true"]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", signers.to_str().expect("a path of ours")]);
    repo.agent(&["worktree", "merge", &id]).success();
    fs::write(&signers, "bob@example.org ssh-ed25519 AAAA\n").expect("a new file");
    pushing.is_refused(&["origin", "main"], &["signature", "signed by a key that is not trusted"]);
    fs::write(&signers, format!("ada@example.org {public}")).expect("it is ours");
    pushing.passes(&["origin", "main"]);
}

#[test]
fn a_branch_that_is_called_as_sessions_are_must_say_which() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    repo.git(&["checkout", "-q", "-b", "agent/by-hand"]);
    repo.write("mine.txt", "mine\n");
    repo.commit("Mine");
    let told = ["provenance", "nothing says which session made it"];
    pushing.is_refused(&["origin", "agent/by-hand"], &told);
    pushing.is_refused(&["origin", "HEAD:refs/heads/agent/x"], &told);
    repo.git(&["config", "agent.branchPrefix", "bot/"]);
    pushing.passes(&["origin", "agent/by-hand"]);
    // Without trailers and without its note a step is known by the record.
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["config", "agent.trailers", "false"]);
    let id = pushing.session("Add one");
    pushing.passes(&["origin", "bot/add-one:refs/heads/fine"]);
    repo.git(&["update-ref", "-d", "refs/notes/agent"]);
    repo.git(&["fetch", "-q", "origin", "--prune"]);
    pushing.passes(&["origin", "--delete", "fine"]);
    let told = ["provenance", "nothing says which session made it", &id];
    pushing.is_refused(&["origin", "bot/add-one"], &told);
}

#[test]
fn h12_an_agents_commit_with_a_secret_in_it_stays_here() {
    let pushing = Pushing::plain();
    let repo = &pushing.repo;
    // In two parts, so that no whole key stands in this source.
    let key = format!("ghp_{}", "kJ8f0Zq1Xw7Lm3PdR5tY9uB2nC6vH4sA0eGx");
    repo.git(&["config", "agent.push.requireVerify", "false"]);
    repo.write("settings.txt", &format!("token = {key}\n"));
    repo.git(&["add", "-A"]);
    let trailers = "Agent-Session: add-it-7f3k\nAssisted-by: git-agent:replay/x";
    repo.git(&["commit", "-q", "-m", &format!("Add it\n\n{trailers}")]);
    pushing.is_refused(&["origin", "main"], &["secret", "settings.txt"]);
    let out = pushing.push(&["origin", "main"]);
    assert!(!out.stderr.contains(&key), "{out:#?}");
    // Its removal in a later commit does not take it out of the history.
    repo.write("settings.txt", "token =\n");
    repo.commit("Take it out");
    pushing.is_refused(&["origin", "main"], &["secret", "settings.txt"]);
}
