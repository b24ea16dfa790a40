//! Sessions in their sandbox, from start to end: what works in it, and what happens where there is
//! none.
//!
//! Invariant: what needs a full sandbox and finds none says so aloud.

use std::fs;

use git_agent::sandbox::layer::Layers;
use git_agent::sandbox::{Level, Request, Sandbox};
use serde_json::json;

use crate::commands::transcript;
use crate::flow::play::Play;
use crate::support::repo::{Repo, Shape};
use crate::support::server::{Dialect, Script, Turn};

fn bash(command: &str) -> Turn {
    Turn::call("bash", json!({ "command": command }))
}

/// A repository whose sandbox shows nothing more than it has to.
fn repo(shape: Shape) -> Repo {
    let mut repo = Repo::with(shape);
    repo.git(&["config", "agent.sandbox.writable", ""]);
    repo.mark();
    repo
}

#[test]
fn x06_git_works_inside_and_follows_the_session() {
    for shape in Shape::ALL {
        let repo = repo(shape);
        repo.git(&["config", "extensions.worktreeConfig", "true"]);
        let commit = "echo new > new.txt && git add new.txt && \
                      git commit -qm 'Add a file by hand' -m 'With a body.' && \
                      test -z \"$(git status --porcelain)\"";
        let look = "set -e; test \"$(git log -1 --format=%s)\" = 'Add a file by hand'
            test -z \"$(git status --porcelain)\"; git branch | grep -q '^. agent/mend-the-shop$'
            echo more >> new.txt; git stash -q; grep -qx new new.txt; git stash pop -q
            git diff | grep -q '^+more$'; git rev-parse -q --verify main >/dev/null
            git fsck --connectivity-only";
        let after = "test -z \"$(git status --porcelain)\" && git log --oneline | grep -q Look";
        let script = Script::new([bash(commit), bash(look).and_text("Look"), Turn::text("Done.")]);
        let play = Play::start_in(repo, Dialect::Anthropic, script, &["--verify", after]);
        let status = play.rests("done");
        let calls = play.told("tool_call_update");
        let shown: Vec<_> = calls.iter().map(|call| call["result"]["output"].to_string()).collect();
        if status["sandbox"] != "full" {
            return eprintln!("SKIPPED: this machine has no full sandbox");
        }
        assert_eq!(status["verify"]["status"], "passed", "{shape:?}: {shown:#?}\n{status:#}");
        assert!(shown.iter().all(|shown| shown.starts_with("\"exit 0")), "{shape:?}: {shown:#?}");
        let subjects = play.repo.git(&["log", "--format=%s", "main..agent/mend-the-shop"]);
        assert_eq!(subjects, "Look\nAdd a file by hand", "{shape:?}");
        let body = play.repo.git(&["log", "-1", "--format=%b", "agent/mend-the-shop~"]);
        assert!(body.starts_with("With a body.\n"), "{shape:?}: {body}");
        play.repo.assert_whole();
        play.close();
    }
}

#[test]
fn what_a_command_could_do_is_told_of_the_worktree_it_would_have() {
    let repo = repo(Shape::Plain);
    let root = repo.home().root();
    let extra = root.join("extra");
    fs::create_dir_all(&extra).unwrap();
    fs::create_dir_all(root.join("home/.cargo/registry")).unwrap();
    repo.git(&["config", "--add", "agent.sandbox.writable", extra.to_str().unwrap()]);
    repo.git(&["config", "agent.sandbox.allowHost", "crates.io"]);
    let explain = |args: &[&str]| repo.agent(&[&["sandbox", "explain"], args].concat()).success();
    let told: serde_json::Value =
        serde_json::from_str(&explain(&["--json", "--level", "full", "make"])).unwrap();
    let told = &told["sandbox"];
    let at = |path: &str| json!(root.join(path));
    assert_eq!(told["writes"], json!([at("shop.worktrees/NAME"), at("extra")]));
    assert_eq!(told["kept"], json!([at("home/.cargo/registry")]));
    let own = told["own"].as_array().unwrap();
    let is_own = |path: serde_json::Value| own.contains(&path);
    assert!(is_own(json!("/dev/shm")) && is_own(json!("/tmp")) && is_own(at("home")), "{told:#}");
    assert_eq!(own.len(), 3);
    let reads = told["reads"].as_array().unwrap();
    let shown = |path: &str| reads.contains(&at(path));
    assert!(reads.contains(&json!("/usr")) && shown("shop/.git/objects"), "{told:#}");
    assert!(!shown("shop") && !shown("home") && !shown("home/.cargo/registry"), "{told:#}");
    let said = explain(&["--level", "full", "make", "test"]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "command  make test",
            "sandbox  full",
            "reach    a localhost of the session's own, and crates.io"
        ]
    );
    assert!(said.contains("\n         (empty at first, and gone with the session)\n"), "{said}");
    let said = explain(&["--level", "none", "make"]);
    assert!(said.contains("\nchange   /\n"), "{said}");
}

#[test]
fn what_is_added_to_a_cache_is_there_for_the_next_session_and_nowhere_else() {
    let repo = repo(Shape::Plain);
    let cache = repo.home().root().join("home/.cargo/registry");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("old"), "old\n").unwrap();
    let add = "echo new >~/.cargo/registry/new && echo changed >~/.cargo/registry/old";
    let look = "cat ~/.cargo/registry/new ~/.cargo/registry/old";
    let said = [("Add", add), ("Look", look)].map(|(task, command)| {
        let call = json!(["bash", { "command": command }]);
        let model = transcript(&repo, "one.jsonl", &[call, json!("Done.")]);
        let start = ["start", task, "--model", &model, "--wait"];
        repo.agent(&start).success();
        let id = repo.session_ids().pop().unwrap();
        repo.agent(&["log", &id, "--json"]).success()
    });
    let kept = repo.common_dir().join("agent/cache/0");
    if !kept.exists() || said[0].contains("Read-only file system") {
        return eprintln!("SKIPPED: no cache is kept on this machine: {}", said[0]);
    }
    assert!(said[1].contains("new\\nchanged"), "{}", said[1]);
    assert_eq!(fs::read_to_string(cache.join("old")).unwrap(), "old\n");
    assert!(!cache.join("new").exists());
}

#[test]
fn x08_x09_temporary_files_are_private_and_nothing_else_is_left() {
    let script = Script::new([
        bash("echo kept > /tmp/kept; test \"$TMPDIR\" = /tmp && ls -A / ~ && cat <<< here"),
        bash("cat /tmp/kept; mktemp; (sleep 300 &) ; python3 -c 'print(1)' < <(echo) || true"),
        Turn::call("read", json!({ "file_path": "/tmp/kept" })),
        Turn::text("Done."),
    ]);
    let play = Play::start_in(repo(Shape::Plain), Dialect::Anthropic, script, &[]);
    let status = play.rests("done");
    if status["sandbox"] != "full" {
        return eprintln!("SKIPPED: this machine has no full sandbox");
    }
    let calls = play.told("tool_call_update");
    let shown: Vec<_> = calls.iter().map(|call| call["result"]["output"].to_string()).collect();
    assert!(shown[0].starts_with("\"exit 0"), "{shown:#?}");
    assert!(shown[1].contains("kept") && shown[1].contains("/tmp/tmp."), "{shown:#?}");
    assert!(shown[2].contains("kept"), "{shown:#?}");
    assert_eq!(status["files"], 0, "{status:#}");
    let git = |args: &[&str]| play.repo.home().git(&play.worktree(), args);
    assert_eq!(git(&["status", "--porcelain", "--ignored"]), "");
    play.close();
}

/// A sandbox in which the program itself runs, so that it finds no namespaces for its own.
fn outer(repo: &Repo) -> Option<Sandbox> {
    let root = repo.home().root();
    let path =
        format!("{}:{}", repo.home().program().parent()?.display(), std::env::var("PATH").ok()?);
    let caller = [
        ("HOME", root.join("home").display().to_string()),
        ("TMPDIR", root.join("tmp").display().to_string()),
        ("PATH", path),
    ];
    let opened = Sandbox::open(&Request {
        level: Level::Full,
        program: repo.home().program().to_owned(),
        root: root.to_owned(),
        // Its objects are written here.
        common_dir: root.join("nowhere"),
        shadow: None,
        readable: Vec::new(),
        writable: vec![root.join("home")],
        caller: caller.map(|(key, value)| (key.into(), value.into())).to_vec(),
        layers: Layers::default(),
    });
    opened.inspect_err(|error| eprintln!("SKIPPED: {error}")).ok().map(|(sandbox, _)| sandbox)
}

#[test]
fn x01_less_than_asked_for_is_refused_or_allowed_and_said() {
    let repo = repo(Shape::Plain);
    repo.git(&["config", "user.name", "Ada"]);
    repo.git(&["config", "user.email", "ada@example.org"]);
    let model = transcript(&repo, "one.jsonl", &[json!("Nothing to do.")]);
    let Some(outer) = outer(&repo) else { return };
    let start = |least: &str, more: &[&str]| {
        let least = format!("agent.sandbox.least={least}");
        let base = ["-c", least.as_str(), "agent", "start", "x", "--model", &model, "--wait"];
        let cmd = outer.command("git").dir(repo.main()).args(base).args(more);
        let done = cmd.run().expect("git is there");
        (done.exit, String::from_utf8(done.stderr).expect("text"))
    };
    let (code, said) = start("full", &[]);
    let wanted = "error: this machine cannot do a full sandbox, at most reduced";
    assert!(code == 4 && said.starts_with(wanted), "{code}: {said}");
    assert!(said.contains("hint: Install bubblewrap"), "{said}");
    assert!(said.contains("hint: git config agent.sandbox.least reduced"), "{said}");
    assert_eq!(repo.session_ids(), Vec::<String>::new(), "nothing was begun");
    assert!(!repo.home().root().join("shop.worktrees").exists());
    let (code, said) = start("reduced", &[]);
    assert!(code == 0 && said.contains("sandbox reduced\n"), "{code}: {said}");

    // Begun where there was one, and gone on where there is none.
    let out = repo.agent(&["start", "y", "--model", &model, "--wait"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let spec = fs::read_to_string(
        repo.common_dir().join("agent/sessions").join(&repo.session_ids()[1]).join("spec.toml"),
    );
    assert!(spec.expect("it is there").contains("sandbox = \"full\""));
    let resume = ["agent", "say", "y", "go on"];
    let done = outer.command("git").dir(repo.main()).args(resume).run().expect("git is there");
    assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
    let status = repo.wait_state("y", "paused", std::time::Duration::from_secs(60));
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("a full sandbox cannot be had here: "), "{status:#}");
}
