//! A command in the sandbox of a session, and the way out into the network.
//!
//! Invariant: the sandbox is as a session has it, with a worktree and a git dir of its own.

use std::path::Path;

use git_agent::git::{AddWorktree, ObjectId, Repo};
use git_agent::sandbox::layer::Layers;
use git_agent::sandbox::shadow::Shadow;
use git_agent::sandbox::{Level, Request, Sandbox};

use crate::row;
use crate::support::ask;

pub(crate) fn measure(root: &Path) {
    let repo = Repo::open(&root.join(".git")).unwrap();
    let commit = ObjectId::from_hex(ask(root, &["rev-parse", "HEAD"]).as_bytes()).unwrap();
    let (path, branch) = (root.with_file_name("wall"), "refs/heads/wall");
    let add = AddWorktree { path: &path, branch, commit, create_branch: true };
    drop(repo.add_worktree(&add).unwrap());
    let view = Repo::open(&root.join(".git/worktrees/wall")).unwrap();
    let folder = root.with_file_name("session");
    std::fs::create_dir(&folder).unwrap();
    Shadow::make(&view, &folder, branch).unwrap().follow(commit).unwrap();
    let request = Request {
        level: Level::Full,
        program: env!("CARGO_BIN_EXE_git-agent").into(),
        root: path,
        common_dir: repo.common_dir().to_owned(),
        shadow: Some(folder),
        readable: Vec::new(),
        writable: Vec::new(),
        caller: std::env::vars_os().collect(),
        layers: Layers::default(),
    };
    let plain = Sandbox::new(&request.root, &request.caller).unwrap();
    let (walled, _door) = match Sandbox::open(&request) {
        Ok(opened) => opened,
        Err(error) => return println!("| no full sandbox here: {error} | | | | |"),
    };
    let call = |sandbox: &Sandbox, command: &str| {
        let done = sandbox.shell().args(["-c", command]).run().unwrap();
        assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
    };
    let both = |command: &'static str, goal| {
        let what = format!("a call in the sandbox, `{command}`");
        row(&what, goal, || call(&plain, command), || call(&walled, command));
    };
    both(":", "≤ 8");
    both("seq 1 300 >out.txt; wc -l out.txt", "≤ 8");
    both("git status --porcelain", "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    row(
        "start of the proxy, once a session (without: the sandbox alone)",
        "",
        || drop(Sandbox::open(&request).unwrap()),
        || {
            let (walled, door) = Sandbox::open(&request).unwrap();
            drop(walled.serve(door.expect("a network of its own"), Vec::new()).unwrap());
        },
    );
}
