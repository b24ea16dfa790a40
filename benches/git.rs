//! What we do beside what git does: `cargo bench --bench git [-- S|L|both] [FOLDER]`.
//!
//! Invariant: git and we do the same work in the same run, turn by turn.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a table for people, and no user")]
#![expect(clippy::expect_used, reason = "a bench that cannot run should stop")]

#[path = "git/forecast.rs"]
mod forecast;
#[path = "git/sessions.rs"]
mod sessions;
#[expect(dead_code, reason = "the other bench uses the rest of it")]
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git_agent::file::Changed;
use git_agent::git::{AddWorktree, ObjectId, RemoveWorktree, Repo, Snapshot};
use support::{L, S, Size, ask, git, median, path, sh};

const CHAIN: &str = "git add -A && c=$(git commit-tree -m x -p HEAD $(git write-tree)) && \
                     git update-ref refs/agent/bench $c";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let which = args.first().map_or("both", String::as_str);
    println!("{}\n", support::machine());
    let base = args.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = base.join(format!("git-agent-bench-{}", std::process::id()));
    for size in [S, L] {
        if which == size.name || which == "both" {
            measure(&folder.join(size.name), size);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn measure(folder: &Path, size: Size) {
    let root = folder.join("repo");
    support::make(&root, size).unwrap();
    let repo = Repo::open(&root.join(".git")).unwrap();
    let head = ObjectId::from_hex(ask(&root, &["rev-parse", "HEAD"]).as_bytes()).unwrap();
    // So that no file is as young as the index that names it.
    std::thread::sleep(Duration::from_secs(1));
    git(&root, &["update-index", "-q", "--refresh"]);
    println!(
        "## {} ({} files)\n\n| ms | git | ours | ratio | goal |\n|---|---|---|---|---|",
        size.name, size.files
    );

    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let path = folder.join(format!("git-{round}"));
        let name = format!("git-{round}");
        sh(folder, "sync");
        theirs.push(git(&root, &["worktree", "add", "-q", "-b", &name, path.to_str().unwrap()]));
        let path = folder.join(format!("ours-{round}"));
        let branch = format!("refs/heads/ours-{round}");
        let add = AddWorktree { path: &path, branch: &branch, commit: head, create_branch: true };
        sh(folder, "sync");
        ours.push(time(|| repo.add_worktree(&add).map(drop).unwrap()));
    }
    row("create worktree", theirs, ours, "≤ 0.25");
    let worktree = folder.join("ours-0");
    assert_eq!(ask(&worktree, &["status", "--porcelain"]), "");
    let git_tree = folder.join("git-0");
    git(&git_tree, &["status"]);

    let view = Repo::open(&root.join(".git/worktrees/ours-0")).unwrap();
    let tree = view.tree_of(head).unwrap();
    let opened = time(|| drop(Snapshot::open(&view, tree, u64::MAX).unwrap()));
    alone("open a snapshot", vec![opened]);
    let mut snapshot = Snapshot::open(&view, tree, u64::MAX).unwrap();
    let first = time(|| drop(snapshot.take(&Changed::Anything).unwrap()));
    alone("first take", vec![first]);
    let (mut chain, mut scan, mut known, mut still) = (vec![], vec![], vec![], vec![]);
    for round in 0..9 {
        std::thread::sleep(Duration::from_millis(30));
        let files = change(&git_tree, size, round);
        assert_eq!(files.len(), 3);
        chain.push(sh(&git_tree, CHAIN));
        change(&worktree, size, round);
        scan.push(time(|| drop(snapshot.take(&Changed::Anything).unwrap())));
        let files = change(&worktree, size, round + 100);
        known.push(time(|| drop(snapshot.take(&Changed::Paths(files.clone())).unwrap())));
        std::thread::sleep(Duration::from_millis(30));
        still.push(time(|| drop(snapshot.take(&Changed::Anything).unwrap())));
    }
    row("snapshot, full scan", chain.clone(), scan, "≤ 0.22");
    row("snapshot, known paths", chain.clone(), known, "≤ 0.005");
    row("snapshot, scan, no change", chain, still, "");
    let refresh = time(|| snapshot.refresh_worktree_index().unwrap());
    alone("refresh the worktree's index", vec![refresh]);
    lstat_all(&worktree, size);

    let theirs = git(&root, &["worktree", "remove", "--force", git_tree.to_str().unwrap()]);
    let remove = RemoveWorktree { path: &worktree, id: "ours-0", with_submodules: false };
    let mut removed = None;
    let ours = time(|| removed = Some(repo.remove_worktree(&remove).unwrap()));
    row("remove worktree, as felt", vec![theirs], vec![ours], "≤ 0.05");
    alone(
        "… and to hand its files to what deletes them",
        vec![time(|| removed.unwrap().purge().unwrap())],
    );
    forecast::measure(&root);
    sessions::measure(&root);
    println!();
}

fn change(root: &Path, size: Size, round: usize) -> Vec<PathBuf> {
    let files: Vec<_> = (0..3).map(|n| PathBuf::from(path(size, round * 17 + n * 601))).collect();
    for file in &files {
        std::fs::write(root.join(file), format!("round {round} {}\n", "x".repeat(5_000))).unwrap();
    }
    files
}

/// The limit: one `lstat` a file, by one thread.
fn lstat_all(root: &Path, size: Size) {
    let paths: Vec<_> = (0..size.files).map(|file| root.join(path(size, file))).collect();
    let all = || paths.iter().for_each(|path| assert!(path.symlink_metadata().is_ok()));
    alone("the limit of a scan: `lstat` of all, one thread", vec![time(all)]);
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn row(what: &str, theirs: Vec<Duration>, ours: Vec<Duration>, goal: &str) {
    let (theirs, ours) = (median(theirs), median(ours));
    println!("| {what} | {theirs:.1} | {ours:.1} | {:.3} | {goal} |", ours / theirs);
}

fn alone(what: &str, ours: Vec<Duration>) {
    println!("| {what} | | {:.1} | | |", median(ours));
}
