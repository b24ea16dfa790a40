//! Pull requests on top of each other.
//!
//! Invariant: no commit of a session is lost or shown twice, whatever becomes of those below it.

use serde_json::{Value, json};

use super::{Bench, PATIENCE};
use crate::commands::{ran, transcript};
use crate::support::cmd::Out;
use crate::support::forge::Kind;

const INTO: &str = "squash of 1 commit, 1 file +1 -0)";

/// Two sessions, the second on the first one's branch, where it goes on with the same file.
fn two(bench: &Bench) -> [String; 2] {
    let one = bench.session_of("Add one", "echo one >new.txt", &[]);
    let more = ["--base", "agent/add-one"];
    [one, bench.session_of("Add two", "echo two >>new.txt", &more)]
}

/// The forge squashes a pull request into the branch that it is for.
fn merge(bench: &Bench, number: usize) {
    let pull = bench.forge.world().pulls[number - 1].clone();
    let tree = bench.there(&["rev-parse", &format!("{}^{{tree}}", pull.branch)]);
    let title = format!("{} (#{number})", pull.title);
    let squash = bench.there(&["commit-tree", "-p", &pull.into, "-m", &title, &tree]);
    bench.there(&["update-ref", &format!("refs/heads/{}", pull.into), &squash]);
    "merged".clone_into(&mut bench.forge.world().pulls[number - 1].state);
}

fn log(bench: &Bench, id: &str) -> String {
    bench.there(&["log", "--format=%s", &format!("agent-pr/{id}")])
}

/// Where each pull request goes.
fn intos(bench: &Bench) -> Vec<String> {
    bench.forge.world().pulls.iter().map(|pull| pull.into.clone()).collect()
}

/// What a pull request says of its stack.
fn stack_of(bench: &Bench, number: usize) -> String {
    let body = bench.forge.world().pulls[number - 1].body.clone();
    let part = body.split("\n\n### Task").next().unwrap_or_default();
    part.split_once("-->").map(|it| it.1.trim().to_owned()).unwrap_or_default()
}

fn said_opened(bench: &Bench, verb: &str) -> String {
    format!(
        "{verb} {}  (agent-pr/add-one-[id] into main, {INTO}\n\
         {verb} {}  (agent-pr/add-two-[id] into agent-pr/add-one-[id], {INTO}\n",
        bench.page_of(1),
        bench.page_of(2)
    )
}

fn stands_on_one_that_is_merged_then(kind: Kind) {
    let bench = Bench::new(kind);
    let [one, two] = two(&bench);
    let pr = ["pr", "add-two", "--stack"];
    let out = bench.said(bench.cmd(&pr));
    assert_eq!(out, Out::ok(&said_opened(&bench, "Opened")));
    assert_eq!(intos(&bench), ["main".to_owned(), format!("agent-pr/{one}")]);
    assert_eq!(log(&bench, &two), "Add two\nAdd one\nAdd the library\nBegin");
    let mark = if kind == Kind::GitLab { '!' } else { '#' };
    assert_eq!(
        stack_of(&bench, 1),
        format!(
            "Others stand on it.\n\n### Stack\n\n- {mark}2 Add two\n- **Add one** (this one)\n\
             - `main`"
        )
    );
    let upper = format!(
        "Stands on {mark}1, and is to be merged after it.\n\n### Stack\n\n\
         - **Add two** (this one)\n- {mark}1 Add one\n- `main`"
    );
    assert_eq!(stack_of(&bench, 2), upper);
    // Once more is nothing new, and it stays where it was put without being told.
    let before = bench.forge.world().pulls.clone();
    let out = bench.said(bench.cmd(&["pr", "add-two"]));
    let stderr = "  agent-pr/add-one-[id] has all of it already\n  \
                  agent-pr/add-two-[id] has all of it already\n";
    let wanted = Out { stdout: said_opened(&bench, "Updated"), stderr: stderr.to_owned(), code: 0 };
    assert_eq!(out, wanted);
    assert_eq!(bench.forge.world().pulls, before);
    // The forge squashes the lower one: what stood on it is for main now, and only its own.
    merge(&bench, 1);
    let out = bench.said(bench.cmd(&pr));
    let stdout =
        format!("Updated {}  (agent-pr/add-two-[id] into main, {INTO}\n", bench.page_of(2));
    let stderr = format!("  {mark}1 of add-one-[id] is merged\n");
    assert_eq!(out, Out { stdout, stderr, code: 0 });
    assert_eq!(intos(&bench), ["main", "main"]);
    assert_eq!(log(&bench, &two), "Add two\nAdd one (#1)\nAdd the library\nBegin");
    assert_eq!(bench.there(&["show", &format!("agent-pr/{two}:new.txt")]), "one\ntwo");
    assert_eq!(stack_of(&bench, 2), "");
    let status = bench.repo.agent(&["status", "add-one", "--json"]).success();
    let status: Value = serde_json::from_str(&status).expect("it is JSON");
    assert_eq!(status["pull_request"]["state"], "merged");
    // Also once nothing is left of the lower one here.
    bench.repo.agent(&["remove", "add-one", "--force"]).success();
    assert_eq!(bench.repo.git(&["branch", "--list", "agent/add-one"]), "");
    let out = bench.said(bench.cmd(&pr));
    assert_eq!((out.code, intos(&bench)), (0, vec!["main".to_owned(); 2]), "{out:#?}");
}

#[test]
fn at_github_one_stands_on_another_until_that_is_merged() {
    stands_on_one_that_is_merged_then(Kind::GitHub);
}

#[test]
fn at_gitlab_one_stands_on_another_until_that_is_merged() {
    stands_on_one_that_is_merged_then(Kind::GitLab);
}

#[test]
fn at_forgejo_one_stands_on_another_until_that_is_merged() {
    stands_on_one_that_is_merged_then(Kind::Forgejo);
}

/// A person commits in a session's worktree.
fn edit(bench: &Bench, worktree: &str, command: &str, how: &[&str]) {
    let folder = bench.repo.main().with_file_name("shop.worktrees").join(worktree);
    let home = bench.repo.home();
    home.cmd("sh").dir(&folder).args(&["-c", command]).run().success();
    home.git(&folder, &["add", "-A"]);
    home.git(&folder, &[&["commit", "-q"], how].concat());
}

#[test]
fn three_are_named_in_any_order_and_told_as_json() {
    let bench = Bench::new(Kind::GitHub);
    let [one, two] = two(&bench);
    bench.repo.agent(&["fork", "add-two", "--worktree", "three"]).success();
    edit(&bench, "three", "echo three >three.txt", &["-m", "Three"]);
    let three = bench.repo.session_ids().into_iter().find(|id| ![&one, &two].contains(&id));
    let three = three.expect("it was forked");
    let pr = ["pr", &three, &one, "add-two", "--stack"];
    // What would be done is all in memory.
    let would = bench.cmd(&[&pr[..], &["--dry-run", "--json"]].concat()).run().success();
    let after = bench.there(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!((after.as_str(), bench.forge.world().pulls.len()), ("refs/heads/main", 0));
    let done = bench.cmd(&[&pr[..], &["--json"]].concat()).run().success();
    let [pr_one, pr_two] = [&one, &two].map(|id| format!("agent-pr/{id}"));
    for (said, outcome) in [(&would, "would-open"), (&done, "opened")] {
        let said: Value = serde_json::from_str(said).expect("it is JSON");
        let told = |view: &Value| {
            json!([
                view["session"],
                view["outcome"],
                view["into"],
                view["stands_on"],
                view["files"]
            ])
        };
        let told: Vec<_> = said["stack"].as_array().expect("a list").iter().map(told).collect();
        let wanted = [
            json!([one, outcome, "main", null, 1]),
            json!([two, outcome, pr_one, one, 1]),
            json!([three, outcome, pr_two, two, 1]),
        ];
        assert_eq!(told, wanted);
    }
    let stack = "Stands on #1, and is to be merged after it.\n\n### Stack\n\n- #3 Add two\n\
                 - **Add two** (this one)\n- #1 Add one\n- `main`";
    assert_eq!(stack_of(&bench, 2), stack);
    // Two floors go at once: the forge merged each into the one below it, then that into main.
    merge(&bench, 1);
    bench.forge.world().pulls[1].state = "merged".to_owned();
    let tree = bench.there(&["rev-parse", &format!("{pr_two}^{{tree}}")]);
    let squash = bench.there(&["commit-tree", "-p", "main", "-m", "Two", &tree]);
    bench.there(&["update-ref", "refs/heads/main", &squash]);
    bench.cmd(&["pr", &three]).run().success();
    assert_eq!(bench.forge.world().pulls[2].into, "main");
    assert_eq!(log(&bench, &three), "Add two\nTwo\nAdd one (#1)\nAdd the library\nBegin");
}

#[test]
fn what_stands_on_one_follows_it_when_it_changes() {
    let bench = Bench::new(Kind::GitLab);
    let [one, two] = two(&bench);
    let pr = ["pr", "add-two", "--stack"];
    bench.cmd(&pr).run().success();
    // One more commit below, in another file; main has moved too.
    edit(&bench, "add-one", "echo more >more.txt", &["-m", "More"]);
    bench.repo.write("other.txt", "meanwhile\n");
    bench.repo.commit("Meanwhile");
    bench.repo.git(&["push", "-q", "origin", "main"]);
    let out = bench.said(bench.cmd(&["pr", "add-one"]));
    let stdout = format!(
        "Updated {}  (agent-pr/add-one-[id] into main, squash of 2 commits, 2 files +2 -0)\n",
        bench.page()
    );
    let stderr = "hint: git agent pr add-two-[id] --stack brings what stands on it along\n";
    assert_eq!(out, Out { stdout, stderr: stderr.to_owned(), code: 0 });
    bench.cmd(&pr).run().success();
    let wanted = "Add two\nAdd one\nMeanwhile\nAdd the library\nBegin";
    assert_eq!(log(&bench, &two), wanted);
    let show = |id: &str, path: &str| bench.there(&["show", &format!("agent-pr/{id}:{path}")]);
    assert_eq!((show(&two, "more.txt"), show(&two, "new.txt")), ("more".into(), "one\ntwo".into()));
    // The one below is made anew: its old shape does not come back by way of the one above.
    edit(&bench, "add-one", "git rm -q more.txt", &["-m", "No more"]);
    edit(
        &bench,
        "add-one",
        "git reset -q --soft HEAD~2; echo 1 >first.txt",
        &["--amend", "-m", "x"],
    );
    bench.cmd(&pr).run().success();
    assert_eq!(show(&one, "first.txt"), "1");
    let files = bench.there(&["ls-tree", "--name-only", &format!("agent-pr/{two}")]);
    assert!(files.contains("first.txt") && !files.contains("more.txt"), "{files}");
    let changed = format!("agent-pr/{one}..agent-pr/{two}");
    assert_eq!(
        bench.there(&["diff", "--stat=80", &changed]).lines().next(),
        Some(" new.txt | 1 +")
    );
}

#[test]
fn one_below_that_is_at_work_stays_as_it_is() {
    let bench = Bench::new(Kind::GitHub);
    let gate = |name: &str| bench.repo.home().root().join(name);
    let bash = |command: String| json!(["bash", {"command": command}]);
    let wait =
        |name: &str| bash(format!("until test -e '{}'; do sleep 0.02; done", gate(name).display()));
    let done = json!("All is done.");
    let begin = bash("echo one >new.txt".to_owned());
    let answers = [begin, done.clone(), wait("first"), done.clone(), wait("second"), done];
    let model = transcript(&bench.repo, "Add one", &answers);
    let one = ran(&bench.repo, "Add one", &model, &["--verify", "true"]);
    bench.session_of("Add two", "echo two >>new.txt", &["--base", "agent/add-one"]);
    let pr = ["pr", "add-two", "--stack"];
    let again = || {
        bench.repo.agent(&["say", "add-one", "Once more"]).success();
        bench.repo.wait_state("add-one", "running", PATIENCE);
    };
    again();
    let busy = "error: session add-one-[id] is running\n\
                hint: git agent pause add-one-[id]    git agent status add-one-[id]\n";
    bench.refused(bench.cmd(&pr), 1, busy);
    std::fs::write(gate("first"), "").expect("a new file");
    bench.repo.wait_state("add-one", "done", PATIENCE);
    bench.cmd(&["pr", "add-one"]).run().success();
    // From here on it has one to stand on.
    again();
    let out = bench.said(bench.cmd(&pr));
    let stdout = format!(
        "Opened {}  (agent-pr/add-two-[id] into agent-pr/add-one-[id], {INTO}\n",
        bench.page_of(2)
    );
    let stderr = "  add-one-[id] is running: #1 stays as it is\n".to_owned();
    assert_eq!(out, Out { stdout, stderr, code: 0 });
    assert_eq!(intos(&bench), ["main".to_owned(), format!("agent-pr/{one}")]);
    std::fs::write(gate("second"), "").expect("a new file");
    bench.repo.wait_state("add-one", "done", PATIENCE);
}

#[test]
fn what_is_no_stack_is_refused() {
    let bench = Bench::new(Kind::Forgejo);
    let [one, two] = two(&bench);
    let apart = bench.session_of("Add three", "echo three >three.txt", &[]);
    let said = "error: add-three-[id] began at no commit of another session\n\
                hint: git agent pr add-three-[id] opens one by itself\n";
    bench.refused(bench.cmd(&["pr", &apart, "--stack"]), 1, said);
    let said = "error: neither of add-three-[id] and add-two-[id] stands on the other\n\
                hint: git agent pr add-three-[id] opens one by itself\n";
    bench.refused(bench.cmd(&["pr", &apart, &two, "--stack"]), 1, said);
    let said = "error: several sessions have pull requests on top of each other\n\
                hint: With --stack that is done, and --watch takes one\n";
    bench.refused(bench.cmd(&["pr", &one, &two]), 2, said);
    let said = "error: add-two-[id] stands on add-one-[id], whose branch agent/add-one is not at \
                origin\nhint: git agent pr add-two-[id] --stack opens one for each\n";
    bench.refused(bench.cmd(&["pr", "add-two"]), 1, said);
    assert_eq!(bench.forge.world().pulls, []);
    // One below that somebody has closed.
    bench.cmd(&["pr", "add-two", "--stack"]).run().success();
    bench.forge.world().pulls[0].state = "closed".to_owned();
    let said = "error: the pull request of add-one-[id] that add-two-[id] stands on, #1, was closed \
                unmerged\nhint: git agent pr add-one-[id] opens a new one\n\
                hint: git agent pr add-two-[id] --into BRANCH opens it by itself\n";
    bench.refused(bench.cmd(&["pr", "add-two"]), 1, said);
    bench.cmd(&["pr", "add-one"]).run().success();
    bench.cmd(&["pr", "add-two"]).run().success();
    assert_eq!(
        stack_of(&bench, 2).lines().next(),
        Some("Stands on #3, and is to be merged after it.")
    );
    // One that was removed, with nothing to stand on.
    let below = bench.session_of("Add five", "echo five >five.txt", &[]);
    bench.session_of("Add six", "echo six >six.txt", &["--base", "agent/add-five"]);
    bench.repo.agent(&["remove", &below, "--force"]).success();
    let said = format!(
        "error: {below}, on which others stand, was removed\nhint: git agent restore {below}\n"
    );
    bench.refused(bench.cmd(&["pr", "add-six", "--stack"]), 1, &said);
}

#[test]
fn the_lower_one_is_told_of_though_the_upper_is_refused() {
    let bench = Bench::new(Kind::GitHub);
    let one = bench.session_of("Add one", "echo one >new.txt", &[]);
    let more = ["--base", "agent/add-one"];
    bench.session_of("Add two", "echo two >>new.txt", &more);
    // The upper one began at a line that the lower one has changed since.
    edit(&bench, "add-one", "echo uno >new.txt", &["-m", "Uno"]);
    edit(&bench, "add-two", "echo eins >new.txt", &["-m", "Eins"]);
    let out = bench.said(bench.cmd(&["pr", "add-two", "--stack"]));
    let stdout = format!(
        "Opened {}  (agent-pr/add-one-[id] into main, squash of 2 commits, 1 file +1 -0)\n",
        bench.page()
    );
    let stderr = "error: origin/agent-pr/add-one-[id] and add-two-[id] conflict in new.txt:1\n\
                  hint: git agent pr add-two-[id] --resolve gives them back to the session\n";
    assert_eq!(out, Out { stdout, stderr: stderr.to_owned(), code: 1 });
    assert_eq!(log(&bench, &one), "Add one\nAdd the library\nBegin");
}

#[test]
fn what_was_not_merged_of_the_lower_one_comes_with_the_upper() {
    let bench = Bench::new(Kind::GitHub);
    bench.session_of("Add one", "echo one >new.txt", &[]);
    bench.cmd(&["pr", "add-one"]).run().success();
    edit(&bench, "add-one", "echo more >more.txt", &["-m", "More"]);
    let more = ["--base", "agent/add-one"];
    let two = bench.session_of("Add two", "echo two >two.txt", &more);
    merge(&bench, 1);
    let out = bench.said(bench.cmd(&["pr", "add-two", "--stack"]));
    let stdout = format!(
        "Opened {}  (agent-pr/add-two-[id] into main, squash of 2 commits, 2 files +2 -0)\n",
        bench.page_of(2)
    );
    let stderr = "  #1 of add-one-[id] is merged\n".to_owned();
    assert_eq!(out, Out { stdout, stderr, code: 0 });
    let changed = format!("main..agent-pr/{two}");
    let changed = bench.there(&["diff", "--name-only", &changed]);
    assert_eq!(changed, "more.txt\ntwo.txt");
}
