//! The pull requests of a batch, each at a forge of its own.
//!
//! Invariant: a repository that can have none keeps no other from its own; none is opened twice, and
//! each tells of all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::batch::{batch, repositories};
use super::pull::Bench;
use crate::support::cmd::{Cmd, Out};
use crate::support::forge::{Kind, Pull, TOKEN};
use crate::support::repo::Repo;

const PATIENCE: Duration = Duration::from_secs(60);

/// What does the work: another way in each repository, as the file there says.
const EXEC: &str = "sed -i.orig s/old/new/ words.txt && rm words.txt.orig && sh ./fails 2>&1";

/// Repositories, the first three at a forge each.
struct Benches {
    benches: Vec<Bench>,
    others: Vec<Repo>,
}

impl Benches {
    fn new(names: &[&str], fails: &str) -> Self {
        let repos = repositories(names);
        for (repo, name) in repos.iter().zip(names) {
            repo.write("fails", if *name == fails { "exit 7\n" } else { "" });
            repo.commit("Say who fails");
        }
        let mut repos = repos.into_iter();
        let benches = Kind::ALL.into_iter().zip(repos.by_ref().take(3));
        let benches = benches.map(|(kind, repo)| Bench::of(kind, repo)).collect();
        Self { benches, others: repos.collect() }
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let home = self.benches[0].repo.home();
        let args = [&["batch"], args].concat();
        let cmd = home.cmd(home.program()).dir(home.root()).args(&args).limit(PATIENCE * 2);
        Kind::ALL.into_iter().fold(cmd, |cmd, kind| cmd.env(kind.variable(), TOKEN))
    }

    fn status(&self) -> Vec<Value> {
        let out = self.cmd(&["status", "--json"]).run().success();
        let out: Value = serde_json::from_str(&out).expect("it is JSON");
        out["batch"]["repositories"].as_array().expect("a list").clone()
    }

    fn pages(&self) -> Vec<String> {
        let page = |bench: &Bench| bench.page().replace("FORGE", &bench.forge.url());
        self.benches.iter().map(page).collect()
    }

    fn pulls(&self) -> Vec<Vec<Pull>> {
        self.benches.iter().map(|bench| bench.forge.world().pulls.clone()).collect()
    }

    /// What was asked of the forges that changes anything.
    fn writes(&self) -> usize {
        let of = |bench: &Bench| {
            let requests = &bench.forge.world().requests;
            requests.iter().filter(|request| request.method != "GET").count()
        };
        self.benches.iter().map(of).sum()
    }
}

/// The rows of a table without its head: repository, session or `-`, and the last cell.
fn rows(out: &Out) -> Vec<(String, String)> {
    let cells = |line: &str| {
        let cells: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        (cells[0].to_owned(), cells[cells.len() - 1].trim().to_owned())
    };
    out.stdout.lines().skip(1).map(cells).collect()
}

/// What each says of all, where these pages are all.
fn batch_part(id: &str, pages: &[String], own: usize, more: &str, how: &str) -> String {
    let line = |(at, page): (usize, &String)| {
        let mark = if how.is_empty() { "-".to_owned() } else { format!("{}.", at + 1) };
        format!("{mark} {page}{}\n", if at == own { " (this one)" } else { "" })
    };
    let lines: String = pages.iter().enumerate().map(line).collect();
    format!(
        "<!-- git-agent: end -->\n\n\
         <!-- git-agent batch: what is between these lines is written anew at each update -->\n\n\
         ### Batch\n\nOne of {} pull requests of `{id}`{how}:\n\n{lines}{more}\n\
         <!-- git-agent batch: end -->",
        pages.len()
    )
}

fn id(out: &Out) -> String {
    let hint = out.stderr.lines().find_map(|line| line.split("git agent batch pr ").nth(1));
    hint.expect("a hint names it").split_whitespace().next().expect("its id").to_owned()
}

#[test]
fn one_is_opened_in_each_repository_and_each_tells_of_all() {
    let benches = Benches::new(&["api", "web", "tools", "local", "red"], "red");
    assert_eq!(benches.others.len(), 2);
    benches.others[1].git(&["remote", "add", "origin", "http://127.0.0.1:9/nobody.git"]);
    let repos = "api,web,tools,local,red";
    let args =
        ["Rename it", "--repos", repos, "--exec", EXEC, "--draft", "--reviewer", "bob", "--wait"];
    let out = benches.cmd(&args).run();
    assert_eq!(out.code, 1, "{out:#?}");
    let pages = benches.pages();
    let rows = rows(&out);
    for (at, name) in ["api", "web", "tools"].iter().enumerate() {
        assert_eq!(rows[at], ((*name).to_owned(), format!("{} open", pages[at])), "{out:#?}");
    }
    let local = ("local".to_owned(), "there is no remote to push to".to_owned());
    assert_eq!(rows[3], local, "{out:#?}");
    assert!(rows[4].1.contains("has failed: exit 7"), "{out:#?}");
    let id = id(&out);
    let before = benches.pulls();
    for (at, pulls) in before.iter().enumerate() {
        let [pull] = pulls.as_slice() else { panic!("one each: {pulls:#?}") };
        assert!(pull.draft && pull.title.ends_with("Rename it"), "{pull:#?}");
        assert_eq!(pull.reviewers.len(), 1);
        let part = batch_part(&id, &pages, at, "\n2 repositories of the batch have none.\n", "");
        assert!(pull.body.ends_with(&part), "{}\n---\n{part}", pull.body);
    }
    // Nothing has landed here.
    assert_eq!(benches.benches[0].repo.git(&["show", "main:words.txt"]), "old");
    let status = benches.status();
    let pull = &status[0]["pull_request"];
    assert_eq!((&pull["number"], &pull["url"]), (&json!(1), &json!(pages[0])));
    assert_eq!(status[3]["pull_request"], Value::Null);
    // Again, there is nothing left to do.
    let writes = benches.writes();
    let out = benches.cmd(&["pr"]).run();
    assert_eq!((out.code, self::rows(&out)), (1, rows), "{out:#?}");
    assert_eq!((benches.pulls(), benches.writes()), (before, writes));
}

#[test]
fn in_the_background_the_last_tells_all_of_each_other() {
    let benches = Benches::new(&["api", "web", "tools"], "web");
    let out =
        benches.cmd(&["Rename it", "--repos", "api,web,tools", "--exec", EXEC, "--prs"]).run();
    // The one that fails may have failed by then.
    assert!(out.code < 2, "{out:#?}");
    let id = id(&out);
    let pages = benches.pages();
    let pages = [pages[0].clone(), pages[2].clone()];
    let parts = [0, 1]
        .map(|own| batch_part(&id, &pages, own, "\n1 repository of the batch has none.\n", ""));
    let until = Instant::now() + PATIENCE;
    loop {
        let pulls = benches.pulls();
        let told = [&pulls[0], &pulls[2]].into_iter().zip(&parts);
        let mut told = told.map(|(pulls, part)| pulls.iter().any(|it| it.body.ends_with(part)));
        if told.all(|is_told| is_told) {
            break;
        }
        assert!(Instant::now() < until, "{pulls:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(benches.pulls().iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(benches.status()[1]["state"], "failed");
}

#[test]
fn coordinated_ones_are_opened_when_all_are_done_or_not_at_all() {
    let benches = Benches::new(&["api", "web", "tools"], "web");
    let args = ["Rename it", "--repos", "api,web,tools", "--prs", "--coordinate-merges", "--exec"];
    let out = benches.cmd(&[&args[..], &[EXEC]].concat()).run();
    assert_eq!(out.code, 1, "{out:#?}");
    let said = "error: no pull request is opened: web: ";
    assert!(out.stderr.contains(said) && out.stderr.contains("exit 7"), "{out:#?}");
    let again = benches.cmd(&["pr"]).run();
    assert!(again.code == 1 && again.stderr.contains(said), "{again:#?}");
    assert!(benches.pulls().iter().all(Vec::is_empty));
    // Where all are green they are opened, in order, and land nowhere here.
    let out = benches.cmd(&[&args[..], &["echo new > words.txt"]].concat()).run();
    assert_eq!(out.code, 0, "{out:#?}");
    let (id, pages) = (id(&out), benches.pages());
    let how = ", to be merged together and in this order";
    for (at, pulls) in benches.pulls().iter().enumerate() {
        let [pull] = pulls.as_slice() else { panic!("one each: {pulls:#?}") };
        let part = batch_part(&id, &pages, at, "", how);
        assert!(pull.body.ends_with(&part), "{}\n---\n{part}", pull.body);
    }
    assert_eq!(benches.benches[0].repo.git(&["show", "main:words.txt"]), "old");
}

#[test]
fn without_a_token_one_is_left_to_a_person_and_opened_later() {
    let repos = repositories(&["api", "web"]);
    let mut repos = repos.into_iter();
    let bench = Bench::of(Kind::GitHub, repos.next().expect("the first"));
    let other = Bench::of(Kind::Forgejo, repos.next().expect("the second"));
    let pair = [bench.repo, other.repo];
    let exec = "echo new > words.txt";
    let args = ["Rename it", "--repos", "api,web", "--exec", exec, "--prs", "--wait"];
    let home = pair[0].home();
    let run = |args: &[&str]| {
        let args = [&["batch"], args].concat();
        home.cmd(home.program()).dir(home.root()).args(&args).env("GH_TOKEN", TOKEN)
    };
    let out = run(&args).run();
    assert_eq!(out.code, 3, "{out:#?}");
    let cell = &rows(&out)[1].1;
    let page = "/ada/shop/compare/main...agent-pr/rename-it-";
    assert!(cell.starts_with("no token for 127.0.0.1"), "{out:#?}");
    assert!(cell.contains("; open it at http://") && cell.contains(page), "{out:#?}");
    assert_eq!(rows(&batch(&pair, &["status"]))[1].1, *cell);
    assert_eq!((bench.forge.world().pulls.len(), other.forge.world().pulls.len()), (1, 0));
    let out = run(&["pr"]).env("FORGEJO_TOKEN", TOKEN).run();
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!((bench.forge.world().pulls.len(), other.forge.world().pulls.len()), (1, 1));
    let body = bench.forge.world().pulls[0].body.clone();
    assert!(body.contains("One of 2 pull requests"), "{body}");
}

#[test]
fn a_dry_run_says_where_they_would_go() {
    let benches = Benches::new(&["api", "web", "tools", "local"], "");
    let args = ["Rename it", "--repos", "api,local", "--exec", EXEC, "--prs", "--dry-run"];
    let out = benches.cmd(&args).run();
    assert_eq!(out.code, 1, "{out:#?}");
    assert!(out.stdout.contains("\n  pull     request into origin/main\n"), "{out:#?}");
    assert!(out.stdout.contains("\nWould fail: there is no remote to push to\n"), "{out:#?}");
    let base = benches.benches[0].repo.git(&["rev-parse", "--short=7", "main"]);
    assert!(out.stdout.contains(&format!("\n  base     main ({base})\n")), "{out:#?}");
    assert_eq!(benches.benches[0].repo.session_ids(), Vec::<String>::new());
}
