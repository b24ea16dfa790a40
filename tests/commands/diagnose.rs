//! `diagnose`: a report that tells enough to find out what went wrong, and no secret.

use std::fs;

use super::{everything, quick, ran, refused};
use crate::support::repo::Repo;

const SECRET: &str = "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz";

#[test]
fn a_report_has_its_sections_and_no_secret() {
    let repo = Repo::new();
    ran(&repo, &format!("say hi with {SECRET}"), &quick(&repo), &["--verify", "true"]);
    repo.git(&["remote", "add", "origin", "https://ada:pass-word-1@example.org/shop.git"]);
    let before = everything(&repo);
    let report = |args: &[&str]| {
        let args = [&["diagnose", "say-hi"], args].concat();
        let cmd = repo.cmd(&args).env("HOME", repo.home().root().to_str().unwrap());
        cmd.env("OTHER_API_KEY", "plain-but-secret").run().success()
    };
    let plain = report(&[]);
    let whole = report(&["--include", "performance,resources,conflicts"]);
    assert_eq!(everything(&repo), before, "it only reads");
    let headings = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("## "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (plain_headings, whole_headings) = (headings(&plain), headings(&whole));
    assert!(whole_headings.starts_with(&plain_headings));
    assert_eq!(whole_headings.len(), plain_headings.len() + 3, "{whole_headings:?}");
    assert!(plain.starts_with("# Report on say-hi-with-"), "{plain}");
    for fact in ["git-agent ", "phase = \"done\"", "record: ", "[verify]"] {
        assert!(plain.contains(fact), "no {fact} in {plain}");
    }
    for secret in [SECRET, "pass-word-1", "plain-but-secret"] {
        assert!(!whole.contains(secret), "{secret} in {whole}");
    }
    assert!(whole.contains("worktree = \"~/shop.worktrees/"), "{whole}");
}

#[test]
fn a_report_in_a_file() {
    let repo = Repo::new();
    ran(&repo, "say hi", &quick(&repo), &[]);
    let path = repo.home().root().join("report.md");
    let out = repo.agent(&["diagnose", "say-hi", "-o", path.to_str().unwrap()]);
    assert_eq!((out.code, out.stdout.as_str()), (0, ""));
    assert!(out.stderr.starts_with("Wrote "), "{}", out.stderr);
    assert!(fs::read_to_string(&path).unwrap().starts_with("# Report on say-hi-"));
    let unknown = "error: no session 'nope'\nhint: git agent list\n";
    refused(&repo, &["diagnose", "nope"], 2, unknown);
}
