//! Traps for git: an agent prepares its worktree so that git runs code, and waits for us to call it.
//!
//! The agent of these tests has no sandbox, so that it can do all of it. What is rewritten outside
//! the worktree is what a sandbox that is not whole leaves in its reach.
//!
//! Invariant: no verb of ours springs a trap that an ordinary call of git in the same place does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::flow::play::Play;
use crate::support::cmd::Out;
use crate::support::repo::{Repo, Shape};
use crate::support::server::{Dialect, Script, Turn};

/// A way to make git run code.
struct Trap {
    /// What is in the repository.
    shape: Shape,
    /// What the user has configured, each for reasons of their own.
    config: &'static [(&'static str, &'static str)],
    /// What the agent does, as a script of its shell, behind [`PREPARED`].
    plant: &'static str,
    /// Calls of git in the worktree, or below it, each of which runs the trap.
    careless: &'static [&'static str],
    /// Whether a person has to agree first, since `.gitattributes` is written.
    asks: bool,
    /// What the session comes to.
    state: &'static str,
    /// Part of why, where it does not get done.
    reason: &'static str,
}

/// A plain repository in which nothing is configured.
const PLAIN: Trap = Trap {
    shape: Shape::Plain,
    config: &[],
    plant: "",
    careless: &[],
    asks: false,
    state: "done",
    reason: "",
};

/// `$TRAP` leaves a trace and passes on what it is given; `$ADMIN` is the worktree's own git dir;
/// `arm FILE` writes into a configuration all that runs it.
const PREPARED: &str = r#"
TRAP=[ROOT]/trap
ADMIN=[ROOT]/shop/.git/worktrees/mend-the-shop
program() { mkdir -p "$(dirname "$1")"; cp "$TRAP" "$1"; }
arm() {
  cat >>"$1" <<END
[core]
  fsmonitor = $TRAP
  pager = $TRAP
  editor = $TRAP
  sshCommand = $TRAP
  hooksPath = [ROOT]/hooks
[diff]
  external = $TRAP
[diff "evil"]
  textconv = $TRAP
  command = $TRAP
[filter "evil"]
  clean = $TRAP
  smudge = $TRAP
[merge "evil"]
  driver = $TRAP
[gpg]
  program = $TRAP
[alias]
  evil = !$TRAP
END
}
evil() {
  git init -q "$1"
  (cd "$1" && echo 1 >f && git add f &&
    git -c user.name=x -c user.email=x@x commit -qm x && echo 2 >f && arm .git/config &&
    mkdir -p .git/hooks && cp "$TRAP" .git/hooks/post-checkout)
}
"#;

impl Trap {
    /// Lets a session walk into it, and then all that a person does with the session.
    fn walk_through(&self) {
        let (play, plant) = self.planted();
        if self.asks {
            play.rests("needs-input");
            play.run("approve", &[]).success();
        }
        let rested = play.rests(self.state);
        let why = rested["reason"].as_str().unwrap_or_default();
        assert!(why.contains(self.reason), "{rested:#}");
        assert_eq!(sprung(&play.repo), "", "the session itself");

        self.show_that_it_is_armed(&play, &plant);

        let id = play.id.clone();
        let verbs: [&[&str]; 22] = [
            &["list"],
            &["status", &id],
            &["log", &id],
            &["diff", &id],
            &["diff", &id, "--uncommitted"],
            &["diff", &id, "--uncommitted", "--", "-p", "--stat"],
            &["diagnose", &id],
            &["doctor"],
            &["gc", "--dry-run"],
            &["gc"],
            &["rewind", &id, "1", "--dry-run"],
            &["rewind", &id, "1"],
            &["rewind", &id, "--undo"],
            &["fork", &id, "--at", "1"],
            &["resume", &id],
            &["worktree", "list"],
            &["worktree", "merge", &id, "--dry-run"],
            &["doctor", "--fix"],
            &["worktree", "merge", &id],
            &["worktree", "remove", &id],
            &["worktree", "remove", &id, "--force"],
            &["worktree", "restore", &id],
        ];
        for verb in verbs {
            self.try_verb(&play, verb, &plant);
        }
    }

    /// From the main checkout.
    fn try_verb(&self, play: &Play, verb: &[&str], plant: &str) {
        let out = play.cmd(verb).run();
        play.wait_for_supervisors();
        assert_eq!(sprung(&play.repo), "", "{verb:?}: {out:#?}");
        // Done or refused, but neither misspelt here nor a fault of ours.
        assert!([0, 1, 3].contains(&out.code), "{verb:?}: {out:#?}");
        let changes = ["rewind", "resume", "worktree", "doctor"].contains(&verb[0]);
        if changes && play.worktree().exists() {
            // What a verb has put right, the agent makes wrong again.
            run_script(play, plant);
            drop(fs::remove_file(trace(&play.repo)));
        }
    }

    fn planted(&self) -> (Play, String) {
        let mut repo = Repo::with(self.shape);
        for (key, value) in self.config {
            repo.git(&["config", key, value]);
        }
        let root = repo.home().root().to_owned();
        let trap = root.join("trap");
        let text = format!("#!/bin/sh\necho \"$0\" >>'{}'\ncat\n", trace(&repo).display());
        fs::write(&trap, text).expect("a new file");
        fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::create_dir(root.join("hooks")).expect("a new folder");
        for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"] {
            fs::copy(&trap, root.join("hooks").join(hook)).expect("a new file");
        }
        repo.mark();
        let plant = format!("{PREPARED}{}", self.plant);
        let plant = plant.replace("[ROOT]", root.to_str().expect("a path of ours"));
        let script = Script::new([
            Turn::call("bash", json!({"command": "echo 1 >one.txt"})),
            Turn::call(
                "bash",
                json!({"command": format!("{plant}\necho x >planted; echo 2 >two.txt")}),
            ),
            Turn::call("bash", json!({"command": "echo 3 >three.txt"})),
            Turn::text("Done."),
        ]);
        (Play::start_in(repo, Dialect::Anthropic, script, &["--sandbox", "none"]), plant)
    }

    fn show_that_it_is_armed(&self, play: &Play, plant: &str) {
        for careless in self.careless {
            run_script(play, plant);
            drop(fs::remove_file(trace(&play.repo)));
            run_script(play, careless);
            let said = sprung(&play.repo);
            assert_ne!(said, "", "'{careless}' does not run it: the trap is not armed");
            fs::remove_file(trace(&play.repo)).expect("it is there");
        }
    }
}

fn run_script(play: &Play, script: &str) -> Out {
    let base = play.repo.git(&["rev-parse", "main"]);
    let home = play.repo.home();
    home.cmd("bash").dir(&play.worktree()).args(&["-c", script]).env("BASE", base).run()
}

fn trace(repo: &Repo) -> PathBuf {
    repo.home().root().join("sprung")
}

/// Which traps have sprung, a line each.
fn sprung(repo: &Repo) -> String {
    fs::read_to_string(trace(repo)).unwrap_or_default()
}

#[test]
fn x02_the_git_file_leads_to_a_repository_of_the_agents() {
    Trap {
        plant: "[ -d inner ] || evil inner; printf 'gitdir: %s/inner/.git\\n' \"$PWD\" >.git",
        careless: &["git status", "git evil", "git -c core.fsmonitor= checkout -q -- ."],
        state: "paused",
        reason: "does not lead to the session's git dir",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_the_git_file_leads_to_a_git_dir_that_claims_the_repository() {
    Trap {
        config: &[("extensions.worktreeConfig", "true")],
        plant: "mkdir fake; cp \"$ADMIN\"/* fake; echo \"$ADMIN/../..\" >fake/commondir
            rm -f fake/config.worktree; arm fake/config.worktree; echo \"gitdir: $PWD/fake\" >.git",
        careless: &["git status"],
        state: "paused",
        reason: "does not lead to the session's git dir",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_commondir_leads_to_a_repository_of_the_agents() {
    Trap {
        plant: "[ -d inner ] || evil inner; cp -r \"$ADMIN/../../refs\" \"$ADMIN/../../objects\" inner/.git/
            echo \"$PWD/inner/.git\" >\"$ADMIN/commondir\"",
        careless: &["git status"],
        state: "paused",
        reason: "leads to another repository",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_a_configuration_of_the_worktrees_own() {
    Trap {
        config: &[("extensions.worktreeConfig", "true")],
        plant: "echo '* filter=evil diff=evil merge=evil' >.gitattributes
            rm -f \"$ADMIN/config.worktree\"; arm \"$ADMIN/config.worktree\"",
        careless: &["git status", "git hash-object --path one.txt one.txt"],
        state: "paused",
        reason: "config.worktree sets core.fsmonitor, which the repository does not",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_a_configuration_that_includes_a_file_of_the_worktree() {
    Trap {
        config: &[("extensions.worktreeConfig", "true")],
        plant: "rm -f evil.config; arm evil.config
            git config -f \"$ADMIN/config.worktree\" include.path \"$PWD/evil.config\"",
        careless: &["git status"],
        state: "paused",
        reason: "config.worktree sets include.path, which the repository does not",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x03_a_nested_repository() {
    Trap {
        plant: "[ -d nested ] || evil nested",
        careless: &["cd nested && git status", "git -C nested evil"],
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x03_a_nested_repository_that_the_index_knows() {
    Trap {
        plant: "[ -d nested ] || evil nested; git -c core.fsmonitor= add nested
            echo '* filter=evil' >nested/.gitattributes; touch nested/f",
        careless: &["git status", "git diff"],
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x03_the_repository_of_a_submodule() {
    Trap {
        shape: Shape::Submodule,
        plant: "arm \"$ADMIN/modules/vendor/dep/config\"
            echo '* filter=evil' >vendor/dep/.gitattributes; touch vendor/dep/dep.txt",
        careless: &["git status", "git -C vendor/dep evil"],
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_hooks_of_the_user_at_a_path_that_is_relative() {
    Trap {
        config: &[("core.hooksPath", ".githooks")],
        plant: "for hook in reference-transaction post-index-change post-checkout pre-auto-gc; do
            program .githooks/$hook; done
            touch -d @$RANDOM README.md src/lib.txt",
        careless: &["git diff", "git update-ref refs/naive HEAD", "git update-ref -d refs/naive"],
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_a_filter_of_the_user_that_is_a_program_of_the_checkout() {
    Trap {
        config: &[("filter.tidy.clean", "./tidy.sh"), ("filter.tidy.smudge", "./tidy.sh")],
        plant: "program tidy.sh; echo '*.txt filter=tidy' >.gitattributes",
        careless: &["git hash-object --path one.txt one.txt"],
        state: "paused",
        reason: "filter tidy runs ./tidy.sh of the checkout, which an agent may write",
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_a_diff_program_of_the_user_that_is_in_the_checkout() {
    Trap {
        config: &[("diff.show.textconv", "./show.sh")],
        plant: "program show.sh; echo '*.txt diff=show' >.gitattributes",
        careless: &["git diff $BASE"],
        asks: true,
        ..PLAIN
    }
    .walk_through();
}

#[test]
fn x02_a_merge_driver_of_the_user_that_is_in_the_checkout() {
    Trap {
        config: &[("merge.join.driver", "./join.sh %A %O %B")],
        plant: "program join.sh; echo '*.txt merge=join' >.gitattributes; echo 8 >src/lib.txt",
        careless: &["(cd ../../shop && echo 9 >src/lib.txt && git commit -qam 'Meanwhile')
            git merge-tree --write-tree main agent/mend-the-shop"],
        asks: true,
        ..PLAIN
    }
    .walk_through();
}
