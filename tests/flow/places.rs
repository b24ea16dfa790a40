//! The same session in every kind of repository, from every place in it.
//!
//! Invariant: each test differs from the plain one in the place alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journey::{Journey, Landing, Untouched, plainly, run, script, told};
use crate::support::cmd::Out;
use crate::support::home::Home;
use crate::support::repo::{Repo, Shape};
use crate::support::server::Script;

fn go(repo: Repo, worktree: &'static str, landing: Landing) {
    Journey { repo, launch: &plainly, landing, worktree }.go();
}

const BESIDE: &str = "shop.worktrees/open-a-shop";
const ON_MAIN: Landing = Landing::Lands("main");

/// An ordinary repository with these settings.
fn configured(settings: &[(&str, &str)]) -> Repo {
    let repo = Repo::new();
    for (key, value) in settings {
        repo.git(&["config", key, value]);
    }
    repo
}

/// A program that leaves a trace when it is run, and then does harm.
fn trap(repo: &Repo, name: &str) -> String {
    let path = repo.home().root().join(name);
    let trace = repo.home().root().join("sprung");
    fs::create_dir_all(path.parent().expect("it is below the root")).expect("a folder");
    fs::write(&path, format!("#!/bin/sh\necho {name} \"$@\" >>'{}'\nexit 1\n", trace.display()))
        .expect("a new file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    path.to_str().expect("a path of ours").to_owned()
}

fn sprung(repo: &Repo) -> String {
    fs::read_to_string(repo.home().root().join("sprung")).unwrap_or_default()
}

#[test]
fn plain() {
    go(Repo::new(), BESIDE, ON_MAIN);
}

#[test]
fn s29_a_path_with_spaces_unicode_and_quotes() {
    go(Repo::with(Shape::OddPath), "wörk päth 🦀/shop.worktrees/open-a-shop", ON_MAIN);
    let home = Arc::new(Home::new());
    let odd = home.root().join("it's \"a\" \\ $(path)");
    let from = Repo::in_home(Arc::clone(&home), Shape::Plain);
    fs::rename(from.main(), &odd).expect("it is on one file system");
    let worktree = "it's \"a\" \\ $(path).worktrees/open-a-shop";
    go(Repo::made(home, &odd, &odd), worktree, ON_MAIN);
}

#[test]
fn w13_a_detached_head() {
    go(Repo::with(Shape::Detached), BESIDE, Landing::Into("main"));
}

#[test]
fn w12_a_bare_repository() {
    go(Repo::with(Shape::Bare), BESIDE, ON_MAIN);
}

#[test]
fn w12_bare_layouts() {
    for (name, marker) in [("proj/.bare", true), ("proj/.git", false)] {
        let home = Arc::new(Home::new());
        let from = Repo::in_home(Arc::clone(&home), Shape::Plain);
        let (bare, proj) = (home.root().join(name), home.root().join("proj"));
        fs::create_dir(&proj).expect("a new folder");
        let url = from.main().to_str().expect("a path of ours");
        home.git(&proj, &["clone", "-q", "--bare", url, bare.to_str().expect("a path of ours")]);
        if marker {
            fs::write(proj.join(".git"), "gitdir: ./.bare\n").expect("a new file");
        }
        home.git(&proj, &["worktree", "add", "-q", "wt", "main"]);
        let from_top = Repo::made(Arc::clone(&home), &bare, &proj);
        go(from_top, "proj.worktrees/open-a-shop", ON_MAIN);
        // And from the checkout beside it, which has followed.
        let wt = proj.join("wt");
        assert_eq!(home.git(&wt, &["status", "--porcelain"]), "");
        let repo = Repo::made(home, &bare, &wt);
        let out = run(&repo, &plainly, super::worktree::small_script(), &["Once more"]);
        assert_eq!(out.code, 0, "{out:#?}");
        let worktree = repo.home().root().join("proj.worktrees/once-more");
        assert_eq!(told(&repo, "once-more")["worktree"], worktree.to_str().expect("ours"));
        repo.assert_whole();
    }
}

#[test]
fn w07_from_a_linked_worktree_its_head_is_the_base() {
    let repo = Repo::with(Shape::Linked);
    fs::write(repo.dir().join("own.txt"), "own\n").expect("a new file");
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-qm", "Only here"]);
    go(repo, BESIDE, Landing::Lands("side"));
}

#[test]
fn from_a_subfolder() {
    go(Repo::with(Shape::Subfolder), BESIDE, ON_MAIN);
}

#[test]
fn from_the_worktree_of_a_session() {
    let repo = Repo::new();
    let out = run(&repo, &plainly, super::worktree::small_script(), &["Begin it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let dir = repo.home().root().join("shop.worktrees/begin-it");
    let inner = Repo::made(Arc::clone(repo.home()), repo.main(), &dir);
    go(inner, BESIDE, Landing::Lands("agent/begin-it"));
    repo.assert_whole();
}

#[test]
fn s25_a_shallow_clone() {
    go(Repo::with(Shape::Shallow), "shallow.worktrees/open-a-shop", ON_MAIN);
}

#[test]
fn s16_a_sparse_checkout_with_cones() {
    let repo = Repo::with(Shape::Sparse);
    let root = repo.home().root().to_owned();
    go_and_ask(repo, |repo| {
        assert!(!repo.main().join("docs").exists());
        assert!(!root.join(BESIDE).join("docs").exists());
        // What was made outside the cone, and is in no commit, comes back as well.
        let new = root.join(BESIDE).join("docs/new.txt");
        fs::create_dir(root.join(BESIDE).join("docs")).expect("a new folder");
        fs::write(&new, "new\n").expect("a new file");
        repo.agent(&["worktree", "remove", "open"]).success();
        repo.agent(&["worktree", "restore", "open"]).success();
        assert_eq!(fs::read_to_string(new).expect("it came back"), "new\n");
        let landed = repo.git(&["ls-tree", "-r", "--name-only", "main", "docs"]);
        assert_eq!(landed, "docs/guide.md");
    });
}

#[test]
fn s16_a_sparse_checkout_without_cones() {
    let mut repo = Repo::new();
    repo.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/docs/"]);
    repo.mark();
    let docs = repo.main().join("docs");
    assert!(!docs.exists());
    go(repo, BESIDE, ON_MAIN);
    assert!(!docs.exists());
}

#[test]
fn sha256() {
    go(Repo::with(Shape::Sha256), BESIDE, ON_MAIN);
}

#[test]
fn b13_reftable() {
    go(Repo::with(Shape::Reftable), BESIDE, ON_MAIN);
}

#[test]
fn w21_submodules_that_are_present() {
    let repo = Repo::with(Shape::Submodule);
    // Nothing is fetched: the place it was cloned from is gone.
    fs::rename(repo.home().root().join("dep"), repo.home().root().join("gone")).expect("ours");
    go_and_ask(repo, |repo| {
        let dep = repo.home().root().join(BESIDE).join("vendor/dep/dep.txt");
        assert_eq!(fs::read_to_string(dep).expect("it came back"), "dep\n");
    });
}

#[test]
fn r10_what_only_a_submodule_of_the_worktree_holds_is_in_the_way() {
    let repo = Repo::with(Shape::Submodule);
    let out = run(&repo, &plainly, super::worktree::small_script(), &["Do it"]);
    assert_eq!(out.code, 0, "{out:#?}");
    let dep = repo.home().root().join("shop.worktrees/do-it/vendor/dep");
    let refused = |why: &str| {
        let out = repo.agent(&["worktree", "remove", "do-it"]);
        assert_eq!((out.code, out.stderr.contains(why)), (1, true), "{why}: {out:#?}");
        assert!(dep.join("new.txt").is_file());
    };
    fs::write(dep.join("new.txt"), "new\n").expect("a new file");
    refused("vendor/dep (changes in a submodule)");
    repo.home().git(&dep, &["add", "-A"]);
    repo.home().git(&dep, &["commit", "-qm", "Only here"]);
    refused("vendor/dep (commits of a submodule)");
    repo.assert_whole();
}

#[test]
fn w21_submodules_that_are_absent() {
    let repo = Repo::with(Shape::Submodule);
    let home = Arc::clone(repo.home());
    let clone = home.root().join("clone");
    let url = repo.main().to_str().expect("a path of ours");
    home.git(home.root(), &["clone", "-q", url, clone.to_str().expect("a path of ours")]);
    let mut repo = Repo::made(home, &clone, &clone);
    repo.mark();
    let before = Untouched::of(&repo);
    let out = run(&repo, &plainly, Script::new([]), &["Do it"]);
    assert_eq!((out.code, out.stdout.as_str()), (1, ""), "{out:#?}");
    assert!(out.stderr.contains("submodule 'vendor/dep' has no commit"), "{out:#?}");
    assert!(out.stderr.contains("hint: git submodule update --init"), "{out:#?}");
    assert_eq!(Untouched::of(&repo), before);
    assert_eq!(repo.session_ids(), Vec::<String>::new());
    assert!(!repo.home().root().join("clone.worktrees").exists());
    repo.assert_whole();
}

#[test]
fn w11_inside_a_submodule() {
    let outer = Repo::with(Shape::Submodule);
    let from = Repo::in_home(Arc::new(Home::new()), Shape::Plain);
    let home = Arc::clone(outer.home());
    let url = from.main().to_str().expect("a path of ours");
    let allow = "protocol.file.allow=always";
    outer.git(&["-c", allow, "submodule", "--quiet", "add", url, "vendor/shop"]);
    let main = outer.main().join("vendor/shop");
    let repo = Repo::made(home, &main, &main.join("src"));
    go(repo, "shop/vendor/shop.worktrees/open-a-shop", ON_MAIN);
}

#[test]
fn w01_a_dirty_checkout_and_a_stash() {
    let mut repo = Repo::with(Shape::Dirty);
    repo.git(&["stash", "-q", "--include-untracked"]);
    repo.git(&["stash", "apply", "-q", "--index"]);
    // A staged hunk with another on top of it, and what `add -N` announces.
    repo.write("docs/guide.md", "Buy things.\nstaged\n");
    repo.git(&["add", "docs/guide.md"]);
    repo.write("docs/guide.md", "Buy things.\nstaged\nnot staged\n");
    repo.write("announced.txt", "later\n");
    repo.git(&["add", "-N", "announced.txt"]);
    repo.git(&["update-index", "--assume-unchanged", "src/lib.txt"]);
    repo.mark();
    go(repo, BESIDE, Landing::Refused("README.md"));
}

#[test]
fn s29_a_git_dir_elsewhere() {
    let home = Arc::new(Home::new());
    let from = Repo::in_home(Arc::clone(&home), Shape::Plain);
    let git_dir = home.root().join("far/away.git");
    fs::create_dir(home.root().join("far")).expect("a new folder");
    let git_dir = git_dir.to_str().expect("a path of ours");
    from.git(&["init", "-q", "--separate-git-dir", git_dir]);
    go(from, BESIDE, ON_MAIN);
}

#[test]
fn s10_core_worktree() {
    let home = Arc::new(Home::new());
    let from = Repo::in_home(Arc::clone(&home), Shape::Plain);
    let git_dir = home.root().join("dots.git");
    fs::rename(from.main().join(".git"), &git_dir).expect("it is on one file system");
    home.git(&git_dir, &["config", "core.worktree", "../shop"]);
    go(Repo::made(home, &git_dir, &git_dir), BESIDE, ON_MAIN);
}

#[test]
fn s09_worktree_config() {
    let repo = configured(&[("extensions.worktreeConfig", "true")]);
    repo.git(&["config", "--worktree", "agent.maxSteps", "50"]);
    repo.git(&["config", "--worktree", "status.showUntrackedFiles", "no"]);
    go(repo, BESIDE, ON_MAIN);
}

#[test]
fn s10_s13_settings_that_change_what_git_does_and_says() {
    let mut repo = configured(&[
        ("submodule.recurse", "true"),
        ("core.untrackedCache", "true"),
        ("branch.autoSetupMerge", "always"),
        ("status.showUntrackedFiles", "no"),
        ("status.short", "true"),
        ("diff.noprefix", "true"),
        ("diff.external", "false"),
        ("color.ui", "always"),
        ("core.quotePath", "false"),
        ("log.showSignature", "true"),
        ("merge.ff", "only"),
        ("commit.cleanup", "scissors"),
        ("worktree.guessRemote", "true"),
        ("checkout.defaultRemote", "nowhere"),
    ]);
    repo.git(&["config", "color.ui", "false"]);
    repo.git(&["config", "status.short", "false"]);
    repo.mark();
    go(repo, BESIDE, ON_MAIN);
}

#[test]
fn s10_an_index_in_version_4_and_one_that_is_split() {
    let mut repo = configured(&[("index.version", "4")]);
    repo.git(&["update-index", "--index-version", "4", "--force-write-index"]);
    repo.mark();
    go(repo, BESIDE, ON_MAIN);
    let mut repo = configured(&[("core.splitIndex", "true")]);
    repo.git(&["update-index", "--split-index"]);
    repo.mark();
    go(repo, BESIDE, ON_MAIN);
}

#[test]
fn no_program_of_the_configuration_runs_for_a_step() {
    let repo = Repo::new();
    let all = [
        "applypatch-msg",
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "pre-merge-commit",
        "post-merge",
        "post-checkout",
        "reference-transaction",
        "post-index-change",
        "pre-auto-gc",
        "fsmonitor-watchman",
    ];
    for name in all {
        trap(&repo, &format!("hooks/{name}"));
    }
    let set = |key: &str, value: &str| drop(repo.git(&["config", key, value]));
    set("core.fsmonitor", &trap(&repo, "fsmonitor"));
    set("gpg.program", &trap(&repo, "gpg"));
    set("commit.gpgSign", "true");
    set("core.editor", &trap(&repo, "editor"));
    set("core.pager", &trap(&repo, "pager"));
    set("diff.external", &trap(&repo, "diff"));
    set("core.askPass", &trap(&repo, "askpass"));
    set("core.hooksPath", repo.home().root().join("hooks").to_str().expect("a path of ours"));
    let out = run(&repo, &plainly, script(), &["Open a shop", "--verify", "true"]);
    assert_eq!(out.code, 0, "{out:#?}");
    assert_eq!(sprung(&repo), "");
    for args in [&["list"][..], &["status", "open"], &["log", "open"]] {
        repo.agent(args).success();
    }
    assert_eq!(sprung(&repo), "");
    let commit = repo.git(&["cat-file", "commit", "agent/open-a-shop"]);
    assert!(!commit.contains("gpgsig"), "{commit}");
}

#[test]
fn hooks_of_the_repository_run_where_it_lands_and_for_no_step() {
    let repo = Repo::new();
    for name in ["post-commit", "post-checkout", "post-index-change"] {
        trap(&repo, &format!("shop/.git/hooks/{name}"));
    }
    for name in ["pre-commit", "prepare-commit-msg", "commit-msg"] {
        let hook = PathBuf::from(trap(&repo, &format!("shop/.git/hooks/{name}")));
        let harmless = fs::read_to_string(&hook).expect("it was made").replace("exit 1", "exit 0");
        fs::write(&hook, harmless.replace("\"$@\"", "")).expect("it is ours");
    }
    let ran = "shop/.git/hooks/pre-commit\n\
               shop/.git/hooks/prepare-commit-msg\n\
               shop/.git/hooks/commit-msg\n";
    go_and_ask(repo, |repo| assert_eq!(sprung(repo), ran));
}

/// Goes the whole way and keeps the home for one more look.
fn go_and_ask(repo: Repo, ask: impl FnOnce(&Repo)) {
    let again = Repo::made(Arc::clone(repo.home()), repo.main(), repo.dir());
    go(repo, BESIDE, ON_MAIN);
    ask(&again);
}

#[test]
fn s11_variables_that_point_at_the_repository() {
    let repo = Repo::new();
    let home = Arc::clone(repo.home());
    let index = home.root().join("outer-index");
    fs::copy(repo.main().join(".git/index"), &index).expect("it is there");
    let before = fs::read(&index).expect("it is there");
    let (git_dir, tree) = (repo.main().join(".git"), repo.main().to_owned());
    let outer = index.clone();
    let launch = move |repo: &Repo, args: &[&str]| {
        let cmd = repo.cmd(args).dir(repo.home().root());
        let cmd = cmd.env("GIT_DIR", &git_dir).env("GIT_WORK_TREE", &tree);
        cmd.env("GIT_INDEX_FILE", &outer).env("GIT_PREFIX", "src/")
    };
    Journey { repo, launch: &launch, landing: ON_MAIN, worktree: BESIDE }.go();
    assert_eq!(fs::read(&index).expect("it is there"), before);
}

#[test]
fn s12_as_an_alias_in_a_linked_worktree() {
    let repo = Repo::with(Shape::Linked);
    repo.git(&["config", "alias.a", "!git-agent"]);
    let launch =
        |repo: &Repo, args: &[&str]| repo.home().cmd("git").dir(repo.dir()).args(&["a"]).args(args);
    Journey { repo, launch: &launch, landing: Landing::Lands("side"), worktree: BESIDE }.go();
}

#[test]
fn s12_settings_of_the_command_line() {
    let repo = Repo::new();
    let launch = |repo: &Repo, args: &[&str]| {
        let git = repo.home().cmd("git").dir(repo.dir());
        git.args(&["-c", "agent.maxSteps=1", "-c", "user.name=Eve", "agent"]).args(args)
    };
    let out = run(&repo, &launch, script(), &["Open a shop"]);
    assert_eq!(out.code, 3, "{out:#?}");
    let told = told(&repo, "open");
    assert_eq!((&told["state"], &told["steps"]), (&"needs-input".into(), &1.into()), "{told}");
    let author = repo.git(&["log", "-1", "--format=%an", "agent/open-a-shop"]);
    assert_eq!(author, "Eve");
    repo.assert_whole();
}

#[test]
fn s12_nothing_of_the_caller_leaks_into_tools() {
    let repo = Repo::new();
    let command = "git rev-parse --show-toplevel; env | grep -c ^GIT_CONFIG_PARAMETERS= || true; \
                   git config agent.maxSteps || echo unset";
    let script = super::worktree::bash_script(command);
    let git_dir = repo.main().join(".git");
    let launch = move |repo: &Repo, args: &[&str]| {
        let git = repo.home().cmd("git").dir(repo.dir()).env("GIT_DIR", &git_dir);
        git.args(&["-c", "agent.maxSteps=9", "agent"]).args(args)
    };
    assert_eq!(run(&repo, &launch, script, &["Look around"]).code, 0);
    let log = repo.agent(&["log", "look", "--json"]).success();
    let worktree = repo.home().root().join("shop.worktrees/look-around");
    let said = format!("{}\\n0\\nunset", worktree.display());
    assert!(log.contains(&said), "{said}\n{log}");
}

#[test]
fn s28_a_repository_of_somebody_else_is_refused_in_gits_words() {
    let repo = Repo::new();
    let before = Untouched::of(&repo);
    let cmd = repo.cmd(&["start", "x", "--model", "replay/none.jsonl"]);
    // git's own switch for its tests; where something points, git is asked.
    let foreign = cmd.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let out = foreign.env("GIT_CEILING_DIRECTORIES", repo.home().root()).run();
    let path = repo.main().display();
    let said = format!(
        "error: detected dubious ownership in repository at '{path}'\n\
         hint: git config --global --add safe.directory '{path}'\n"
    );
    assert_eq!(out, Out { stdout: String::new(), stderr: said, code: 2 });
    assert_eq!(Untouched::of(&repo), before);
}

#[test]
fn s27_a_clone_that_borrows_its_objects() {
    let home = Arc::new(Home::new());
    let from = Repo::in_home(Arc::clone(&home), Shape::Plain);
    let clone = home.root().join("clone");
    let paths = [from.main(), &clone].map(|path: &Path| path.to_str().expect("a path of ours"));
    home.git(home.root(), &["clone", "-q", "--shared", paths[0], paths[1]]);
    let mut repo = Repo::made(home, &clone, &clone);
    repo.mark();
    go(repo, "clone.worktrees/open-a-shop", ON_MAIN);
}

#[test]
fn b09_packed_refs_and_objects() {
    let repo = Repo::new();
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["repack", "-qad"]);
    go(repo, BESIDE, ON_MAIN);
}
