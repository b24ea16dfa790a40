//! The policy of a machine, and a team's file: what each forbids, allows and waits for.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{PATIENCE, quick, ran, transcript};
use crate::support::cmd::{Cmd, Out};
use crate::support::repo::Repo;

/// A policy beside the repository, and its file.
struct Bench {
    repo: Repo,
    model: String,
    policy: PathBuf,
}

impl Bench {
    fn new(policy: &str) -> Self {
        let repo = Repo::new();
        let path = repo.home().root().join("policy.toml");
        fs::write(&path, policy).unwrap();
        Self { model: quick(&repo), repo, policy: path }
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let policy = ("GIT_AGENT_TEST_POLICY", self.policy.display().to_string());
        self.repo.cmd(args).envs([policy])
    }

    /// Asserts that it is refused with exit code 4, in these words, and leaves nothing.
    #[track_caller]
    fn blocked(&self, args: &[&str], said: &str) {
        let before = super::everything(&self.repo);
        let out = self.cmd(args).run();
        let stderr = format!(
            "error: {said}\n\
             hint: git agent doctor shows the policy in force; who looks after this machine sets it\n"
        );
        let stderr = stderr.replace("POLICY", &self.policy.display().to_string());
        assert_eq!(out, Out { stdout: String::new(), stderr, code: 4 });
        assert!(before == super::everything(&self.repo), "something has changed");
    }

    fn start<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["start", "x", "--model", self.model.as_str()], more].concat()
    }
}

#[test]
fn a_policy_says_no_before_anything_is_made() {
    let bench = Bench::new("");
    let folder = bench.repo.main().canonicalize().unwrap();
    let folder = folder.display();
    let model = &bench.model;
    let set = |text: &str| fs::write(&bench.policy, text).unwrap();
    set("[models]\nallow = [\"anthropic/*\"]\n");
    let said = format!("the model {model} is not allowed, by models.allow in POLICY");
    bench.blocked(&bench.start(&[]), &said);
    set(&format!("[repositories]\ndeny = [\"{folder}\"]\n"));
    let said = format!("no session may run in {folder}, by repositories.deny in POLICY");
    bench.blocked(&bench.start(&[]), &said);
    set("[limits]\nbudget = 2\n");
    let said = "a session may have 2 US dollars at most, by limits.budget in POLICY";
    bench.blocked(&bench.start(&["--budget", "3"]), said);
    bench.blocked(&bench.start(&["--budget", "none"]), said);
}

#[test]
fn a_policy_that_cannot_be_read_or_understood_fails_closed() {
    let bench = Bench::new("sesions = 3\n");
    let said = "the policy POLICY makes no sense, so nothing is allowed: line 1: unknown field";
    let out = bench.cmd(&bench.start(&[])).run();
    let wanted = said.replace("POLICY", &bench.policy.display().to_string());
    assert!(out.code == 4 && out.stderr.contains(&wanted), "{out:?}");
    assert_eq!(bench.repo.session_ids(), [""; 0]);
    fs::remove_file(&bench.policy).unwrap();
    fs::create_dir(&bench.policy).unwrap();
    let out = bench.cmd(&bench.start(&[])).run();
    assert!(
        out.code == 4 && out.stderr.contains("cannot be read, so nothing is allowed"),
        "{out:?}"
    );
    let doctor = bench.cmd(&["doctor"]).run();
    assert!(doctor.stdout.contains("cannot be read, so nothing is allowed"), "{}", doctor.stdout);
}

#[test]
fn settings_are_capped_and_checks_are_required() {
    let bench = Bench::new("[limits]\nbudget = 2\n[verify]\nrequired = [\"test -e new.txt\"]\n");
    let out = bench.cmd(&bench.start(&["--dry-run", "--verify", "true"])).run();
    assert!(out.stdout.contains("verify   true; test -e new.txt\n"), "{}", out.stdout);
    assert!(out.stdout.contains("budget $2.00"), "{}", out.stdout);
    let doctor = bench.cmd(&["doctor"]).run().stdout;
    assert!(doctor.contains("policy.toml is in force"), "{doctor}");
}

#[test]
fn a_policy_that_was_tightened_holds_for_what_rests() {
    let bench = Bench::new("");
    let read = json!(["read", {"file_path": "README.md"}]);
    let model = transcript(&bench.repo, "limited.jsonl", &[read, json!("All is done.")]);
    let id = ran(&bench.repo, "limit me", &model, &["--max-steps", "1"]);
    fs::write(&bench.policy, "[limits]\nmax_steps = 1\n").unwrap();
    let said = "a session may have 1 steps at most, by limits.max_steps in POLICY";
    bench.blocked(&["approve", &id], said);
    bench.blocked(&["resume", &id, "--max-steps", "3"], said);
    fs::write(&bench.policy, "[models]\ndeny = [\"replay/**\"]\n").unwrap();
    let out = bench.cmd(&["resume", &id, "--max-steps", "3"]).run();
    assert!(out.code == 4 && out.stderr.contains("by models.deny in "), "{out:?}");
    fs::write(&bench.policy, "").unwrap();
    let out = bench.cmd(&["approve", &id]).run();
    assert_eq!(out.code, 0, "{out:?}");
    bench.repo.wait_state(&id, "done", PATIENCE);
}

#[test]
fn the_network_that_is_off_is_off_for_settings_too() {
    let bench = Bench::new("[capabilities]\nnetwork = false\n");
    if !bench.repo.agent(&["doctor"]).stdout.contains("full, by") {
        return eprintln!("SKIPPED: this machine has no full sandbox");
    }
    let said = "the network is off, by capabilities.network in POLICY";
    bench.blocked(&bench.start(&["--allow-net", "crates.io"]), said);
    bench.repo.git(&["config", "agent.sandbox.allowHost", "crates.io"]);
    bench.blocked(&bench.start(&[]), said);
    fs::write(&bench.policy, "[hosts]\ndeny = [\"crates.io\"]\n").unwrap();
    let said = "the host crates.io is not allowed, by hosts.deny in POLICY";
    bench.blocked(&bench.start(&[]), said);
    // Where there is no way to it, it forbids nothing; and that is said.
    let out = bench.cmd(&bench.start(&["--sandbox", "reduced", "--dry-run"])).run();
    assert_eq!(out.code, 0, "{out:?}");
    let said = "warning: agent.sandbox.allowHost has no effect: it needs a full sandbox, and this \
                one is reduced; commands reach nothing\n";
    assert!(out.stderr.contains(said), "{}", out.stderr);
    fs::write(&bench.policy, "").unwrap();
    let socks = bench.cmd(&bench.start(&["--dry-run"])).env("ALL_PROXY", "socks5://proxy:1080");
    let out = socks.run();
    let said = "error: no host can be reached: ALL_PROXY names a proxy of another kind (socks5);";
    assert!(out.code == 2 && out.stderr.starts_with(said), "{out:?}");
}

#[test]
fn a_check_that_is_required_by_now_is_asked_for_before_landing() {
    let bench = Bench::new("");
    let write = json!(["write", {"file_path": "made.txt", "content": "x\n"}]);
    let model = transcript(&bench.repo, "made.jsonl", &[write, json!("All is done.")]);
    let id = ran(&bench.repo, "make it", &model, &["--verify", "test -e made.txt"]);
    let ask = |text: &str| fs::write(&bench.policy, text).unwrap();
    ask("[verify]\nrequired = [\"test -e other.txt\"]\n");
    let said = "nothing lands before test -e other.txt has passed, by verify.required in POLICY";
    bench.blocked(&["merge", &id, "--no-verify"], said);
    let out = bench.cmd(&["merge", &id]).run();
    assert_eq!(out.code, 1, "{out:?}");
    assert!(out.stderr.contains("test -e other.txt"), "{out:?}");
    assert_eq!(bench.repo.git(&["log", "-1", "--format=%s", "main"]), "Add the library");
    // One that has passed on this very tree is not run again.
    ask("[verify]\nrequired = [\"test -e made.txt\"]\n");
    let out = bench.cmd(&["merge", &id, "--no-verify", "--dry-run"]).run();
    assert_eq!(out.code, 0, "{out:?}");
    ask("[verify]\nrequired = [\"test -e made.txt && touch ran.tmp\"]\n");
    let out = bench.cmd(&["merge", &id]).run();
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(bench.repo.git(&["ls-files", "made.txt"]), "made.txt");
}

#[test]
fn c01_c03_a_teams_file_waits_for_consent_but_for_what_restricts() {
    let repo = Repo::new();
    let model = quick(&repo);
    repo.write(".gitagent.toml", "verify = \"touch ../ran\"\nprotect = [\"new.txt\"]\n");
    repo.commit("Share settings");
    let start = ["start", "x", "--model", &model, "--wait"];
    let waits = "warning: .gitagent.toml sets what waits for your consent: agent.verify\n\
                 hint: git agent trust shows it and consents\n";
    let out = repo.agent(&start);
    assert!(out.stderr.contains(waits), "{}", out.stderr);
    assert_eq!(out.code, 3, "what restricts holds: new.txt is protected");
    let ran = repo.home().root().join("shop.worktrees/ran");
    assert!(!ran.exists());
    repo.agent(&["stop", "x"]);
    // What a person has on disk is not what was committed, nor consented to.
    repo.write(".gitagent.toml", "verify = \"false\"\n");
    let out = repo.agent(&["trust", "--show"]);
    assert_eq!(out.stdout, "  agent.protect = new.txt\n  agent.verify = touch ../ran\n");
    assert!(out.stderr.starts_with("Not before you consent: agent.verify\n"), "{}", out.stderr);
    let out = repo.agent(&["trust"]);
    assert!(out.stderr.starts_with("Trusted .gitagent.toml as it is in "), "{}", out.stderr);
    let out = repo.agent(&["start", "y", "--model", &model]);
    assert!(!out.stderr.contains("consent"), "{}", out.stderr);
    repo.wait_state("y", "needs-input", PATIENCE);
    repo.agent(&["approve", "y"]);
    repo.wait_state("y", "done", PATIENCE);
    assert!(ran.exists());
    let out = repo.agent(&["trust", "--revoke"]);
    assert_eq!(out.stderr, "Revoked your consent to .gitagent.toml in this repository\n");
    let out = repo.agent(&["start", "z", "--model", &model, "--dry-run"]);
    assert!(out.stderr.contains(waits), "{}", out.stderr);
}

#[test]
fn c05_a_teams_file_that_makes_no_sense_starts_nothing() {
    let repo = Repo::new();
    let model = quick(&repo);
    repo.write(".gitagent.toml", "verify = [");
    let commit = repo.commit("Share settings");
    let out = repo.agent(&["start", "x", "--model", &model]);
    assert_eq!((out.code, repo.session_ids()), (2, Vec::new()));
    let short = &commit[..12.min(commit.len())];
    assert!(out.stderr.starts_with("error: .gitagent.toml in "), "{}", out.stderr);
    assert!(out.stderr.contains(&format!("hint: git show {short}")), "{}", out.stderr);
    let out = repo.agent(&["trust"]);
    assert_eq!(out.code, 2, "{}", out.stderr);
}
