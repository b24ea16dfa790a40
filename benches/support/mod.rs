//! The two repositories that everything is measured on, made by `git fast-import`.
//!
//! Invariant: the same bytes on every machine, so that figures can be compared.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use git_agent::process::Cmd;

/// How large a repository is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How it is called.
    pub(crate) name: &'static str,
    /// Files, links among them.
    pub(crate) files: usize,
    /// Folders that hold files.
    pub(crate) folders: usize,
}

/// 2,000 files, about 22 MB.
pub(crate) const S: Size = Size { name: "S", files: 2_000, folders: 200 };
/// 90,000 files, about 1 GB.
pub(crate) const L: Size = Size { name: "L", files: 90_000, folders: 6_000 };

/// Makes the repository in the new folder `root`, packed and checked out on `main`.
pub(crate) fn make(root: &Path, size: Size) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    git(root, &["init", "-q", "-b", "main"]);
    for (key, value) in
        [("user.name", "Bench"), ("user.email", "bench@example.org"), ("gc.auto", "0")]
    {
        git(root, &["config", key, value]);
    }
    let stream = root.join(".git/stream");
    write_stream(BufWriter::new(File::create(&stream)?), size)?;
    let script = format!("git fast-import --quiet <'{}'", stream.display());
    run(&isolated("sh").args(["-c", &script]).dir(root));
    std::fs::remove_file(&stream)?;
    git(root, &["checkout", "-q", "-f", "main"]);
    Ok(())
}

/// The path of a file of that repository, by its number.
pub(crate) fn path(size: Size, file: usize) -> String {
    let folder = file % size.folders;
    format!("{:02}/{:02}/{:03}/file-{file:05}.txt", folder % 20, folder / 20 % 30, folder / 600)
}

/// git in `dir`, far from this machine's configuration, timed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> Duration {
    run(&isolated("git").args(args).dir(dir)).0
}

/// As [`git`], but what it prints.
pub(crate) fn ask(dir: &Path, args: &[&str]) -> String {
    run(&isolated("git").args(args).dir(dir)).1
}

/// Runs shell text in `dir`, timed.
pub(crate) fn sh(dir: &Path, script: &str) -> Duration {
    run(&isolated("sh").args(["-c", script]).dir(dir)).0
}

/// The median of the times, in milliseconds.
pub(crate) fn median(times: Vec<Duration>) -> f64 {
    quantile(times, 0.5)
}

/// The time that this share of the times does not exceed, in milliseconds.
pub(crate) fn quantile(mut times: Vec<Duration>, share: f64) -> f64 {
    times.sort();
    let at = (times.len() as f64 * share) as usize;
    times[at.min(times.len() - 1)].as_secs_f64() * 1000.0
}

/// Milliseconds as a cell of a table.
pub(crate) fn millis(millis: f64) -> String {
    format!("{millis:.1}")
}

/// What the machine gives at best: one append of a line and its way to the disk, in milliseconds.
pub(crate) fn synced_append(dir: &Path) -> f64 {
    let path = dir.join(".git/synced-append");
    let mut file = File::create(&path).unwrap();
    let times = (0..50).map(|_| {
        let started = Instant::now();
        file.write_all(&[b'x'; 500]).and_then(|()| file.sync_data()).unwrap();
        started.elapsed()
    });
    let times = times.collect();
    std::fs::remove_file(&path).unwrap();
    median(times)
}

/// One line on the machine: processors, memory, system, git.
pub(crate) fn machine() -> String {
    let ask = |script: &str| run(&isolated("sh").args(["-c", script])).1;
    ask("echo \"$(nproc 2>/dev/null || sysctl -n hw.ncpu) processors, $(uname -sr), \
         $(git --version), load $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null), $(date +%Y-%m-%d)\"")
}

fn isolated(program: &str) -> Cmd {
    Cmd::new(program)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
}

fn run(cmd: &Cmd) -> (Duration, String) {
    let started = Instant::now();
    let done = cmd.run().expect("the program starts");
    let elapsed = started.elapsed();
    assert_eq!(done.exit, 0, "{}", String::from_utf8_lossy(&done.stderr));
    (elapsed, String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn write_stream(mut out: impl Write, size: Size) -> io::Result<()> {
    let head = "commit refs/heads/main\ncommitter Bench <bench@example.org> 1700000000 +0000\n";
    write!(out, "{head}data 5\nfirst\n")?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::new();
    for file in 0..size.files {
        let path = path(size, file);
        if file % 500 == 499 {
            write!(out, "M 120000 inline {path}\ndata 9\n../target\n")?;
            continue;
        }
        text.clear();
        while text.len() < 4_000 + file * 7 % 14_000 {
            // xorshift64: the next number depends on the last alone, on every machine.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (name, value) = (random % 977, random);
            writeln!(text, "let value_{name} = compute({value:#x}); // as before")
                .map_err(io::Error::other)?;
        }
        let mode = if file % 100 == 0 { "100755" } else { "100644" };
        write!(out, "M {mode} inline {path}\ndata {}\n{text}\n", text.len())?;
    }
    out.flush()
}
