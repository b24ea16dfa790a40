//! What stands around a sandbox that is tried: a repository, a home with a secret, a process, and
//! servers that a tool must not reach.
//!
//! Invariant: an attempt has succeeded if it says so, or if anything outside the worktree has
//! changed or been reached.
#![expect(clippy::disallowed_methods, reason = "a stage is set by hand")]

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use git_agent::git::Repo;
use git_agent::sandbox::layer::{Layer, Layers};
use git_agent::sandbox::shadow::Shadow;
use git_agent::sandbox::{Level, Request, Sandbox, SandboxError};

/// The scene of the attempts, in a folder of its own.
pub(super) struct Stage {
    root: PathBuf,
    outer: Child,
    reached: Arc<AtomicUsize>,
    ports: [u16; 2],
    path: String,
}

impl Stage {
    /// Sets it up in an empty folder; tools find their programs on `path`.
    pub(super) fn set(root: &Path, path: &str) -> Self {
        let root = fs::canonicalize(root).expect("it is there");
        for name in ["home/.ssh", "outside", "main", "session", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("an empty folder");
        }
        fs::write(root.join("home/.ssh/id"), "SECRET\n").expect("a new file");
        fs::write(root.join("outside/secret"), "SECRET\n").expect("a new file");
        let git = |args: &str| {
            let done = run("git", &root.join("main"), &args.split(' ').collect::<Vec<_>>(), path);
            assert!(done, "git {args}");
        };
        fs::write(root.join("main/file"), "one\n").expect("a new file");
        fs::write(root.join("main/.env"), "SECRET\n").expect("a new file");
        git("init -q -b main .");
        git("config user.name Ada");
        git("config user.email ada@example.org");
        git("config extensions.worktreeConfig true");
        git("add file");
        git("commit -qm Begin");
        git("worktree add -q -b agent/x ../tree");
        let reached = Arc::new(AtomicUsize::new(0));
        let ports = serve(&root.join("outside"), &reached);
        let mut outer = Command::new("sleep");
        let outer = outer.arg("600").env("OUTER", "SECRET").env("PATH", path);
        let outer = outer.stdout(Stdio::null()).spawn().expect("sleep is there");
        Self { root, outer, reached, ports, path: path.to_owned() }
    }

    /// The sandbox of a session here, without some of its layers.
    pub(super) fn sandbox(&self, level: Level, without: &[Layer]) -> Result<Sandbox, SandboxError> {
        let tree = self.root.join("tree");
        let full = level == Level::Full;
        if full {
            let repo =
                Repo::open(&self.root.join("main/.git/worktrees/tree")).expect("a repository");
            let head = repo.resolve_commit("HEAD").expect("a commit");
            let mut shadow = Shadow::make(&repo, &self.root.join("session"), "refs/heads/agent/x")
                .expect("a folder of ours");
            shadow.introduce(&repo.identity().expect("Ada")).expect("a folder of ours");
            shadow.follow(head).expect("a folder of ours");
        }
        let caller = [
            ("HOME", self.root.join("home").display().to_string()),
            ("TMPDIR", self.root.join("tmp").display().to_string()),
            ("PATH", self.path.clone()),
        ];
        let opened = Sandbox::open(&Request {
            level,
            program: env!("CARGO_BIN_EXE_git-agent").into(),
            root: tree,
            common_dir: self.root.join("main/.git"),
            shadow: full.then(|| self.root.join("session")),
            readable: Vec::new(),
            writable: Vec::new(),
            caller: caller.map(|(key, value)| (key.into(), value.into())).to_vec(),
            layers: Layers::without(without),
        });
        opened.map(|(sandbox, _door)| sandbox)
    }

    /// Whether a script gets out. It finds the stage in its variables, and says `WON` if it has.
    /// What it may have sent is waited for so long.
    pub(super) fn lets_out(
        &self,
        sandbox: &Sandbox,
        script: &str,
        patience: Duration,
    ) -> (bool, String) {
        let before = self.state();
        let text = format!(
            "OUT={root}/outside MAIN={root}/main SECRETS={root}/home ADMIN={root}/main/.git/worktrees/tree\n\
             OUTER={outer} TCP={} UDP={}\n{script}",
            self.ports[0],
            self.ports[1],
            root = self.root.display(),
            outer = self.outer.id(),
        );
        let done = sandbox.command("bash").args(["-c", &text]).run().expect("it can be started");
        let mut said = String::from_utf8_lossy(&done.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&done.stderr));
        let until = Instant::now() + patience;
        loop {
            let won = said.contains("WON") || self.state() != before;
            if won || Instant::now() >= until {
                return (won, said);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// All files but those that a tool may change, and how often a server was reached.
    fn state(&self) -> (BTreeMap<PathBuf, Vec<u8>>, usize) {
        let mut files = BTreeMap::new();
        for name in ["home", "outside", "main", "tree/.git"] {
            collect(&self.root.join(name), &mut files);
        }
        (files, self.reached.load(Ordering::SeqCst))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.outer.kill().expect("it is ours");
        self.outer.wait().expect("it is ours");
    }
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if path.is_dir() && !path.is_symlink() {
        // What caches get is kept there, by the sandbox itself.
        if path.ends_with("main/.git/agent") {
            return;
        }
        for entry in fs::read_dir(path).expect("it is ours").flatten() {
            collect(&entry.path(), files);
        }
    } else if path.is_file() {
        files.insert(path.to_owned(), fs::read(path).expect("it is ours"));
    } else {
        files.insert(path.to_owned(), Vec::new());
    }
}

/// A server of each kind; each counts who comes.
fn serve(folder: &Path, reached: &Arc<AtomicUsize>) -> [u16; 2] {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let ports = [tcp.local_addr(), udp.local_addr()].map(|it| it.expect("it is bound").port());
    let unix = UnixListener::bind(folder.join("socket")).expect("a short path");
    let hidden = SocketAddr::from_abstract_name(folder.as_os_str().as_encoded_bytes());
    let hidden = hidden.and_then(|name| UnixListener::bind_addr(&name)).expect("a name of ours");
    let count = || {
        let reached = Arc::clone(reached);
        move || {
            reached.fetch_add(1, Ordering::SeqCst);
        }
    };
    let counted = count();
    thread::spawn(move || tcp.incoming().for_each(|_| counted()));
    let counted = count();
    thread::spawn(move || hidden.incoming().for_each(|_| counted()));
    let counted = count();
    thread::spawn(move || unix.incoming().for_each(|_| counted()));
    let counted = count();
    thread::spawn(move || {
        let mut byte = [0; 1];
        while udp.recv(&mut byte).is_ok() {
            counted();
        }
    });
    ports
}

fn run(program: &str, dir: &Path, args: &[&str], path: &str) -> bool {
    let mut child = Command::new(program);
    child.args(args).current_dir(dir).env_clear().env("PATH", path).env("GIT_CONFIG_NOSYSTEM", "1");
    child.status().is_ok_and(|status| status.success())
}
