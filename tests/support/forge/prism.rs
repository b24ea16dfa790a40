//! The descriptions of forges, served by Prism, which judges requests by them.
//!
//! `github.json` is cut from `@octokit/openapi` 23.0.2 (`generated/api.github.com.json`): the paths
//! that are used, and what they refer to, without descriptions; the media type of answers is the
//! one that GitHub asks clients to accept. Of the others tells `description.rs`.
//!
//! Invariant: the first run installs Prism with npm, below the build's folder; where there is no
//! npm, that is said aloud.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{Kind, Request};

const PACKAGE: &str = "@stoplight/prism-cli@5.16.0";

/// A server that knows what a forge takes.
pub struct Prism {
    child: Child,
    port: u16,
}

impl Prism {
    /// Starts it; none, and a word on standard error, where this machine can't.
    #[expect(clippy::disallowed_methods, reason = "a server lives beside the test")]
    pub fn start(kind: Kind) -> Option<Self> {
        let skip = |why: &str| {
            // Said even where the output of a test that passes is not shown.
            drop(writeln!(
                std::io::stderr(),
                "SKIPPED: no request is held against a forge's own description: {why}"
            ));
            None
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prism");
        let program = folder.join("node_modules/.bin/prism");
        // One test installs it for all, or finds for all that it cannot be had.
        static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
        if let Err(why) = INSTALLED.get_or_init(|| install(&folder, &program)) {
            return skip(why);
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = port.expect("a free port").port();
        let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/forge");
        let description = description.join(kind.name()).with_extension("json");
        let mut command = std::process::Command::new(&program);
        command.args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()]).arg(description);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else { return skip("Prism cannot be started") };
        let mut server = Self { child, port };
        let until = Instant::now() + Duration::from_secs(180);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.child.try_wait().expect("it is our child").is_some() {
                return skip("Prism has ended");
            }
            assert!(Instant::now() < until, "Prism does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// What is wrong with a request: the status, and where it is not as it must be; none if nothing
    /// is. What Prism says of its own answers does not count: GitHub's examples break its schemas.
    pub fn judge(&self, request: &Request) -> Option<String> {
        let Request { method, target, headers, body } = request;
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
        let dropped = ["host", "connection", "if-none-match", "accept-encoding"];
        for (name, value) in headers.iter().filter(|it| !dropped.contains(&it.0.as_str())) {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let violations = answer.lines().find(|line| line.starts_with("sl-violations"));
        let violations = violations.filter(|line| line.contains("[\"request\""));
        let is_taken = status.starts_with('2') || status.starts_with('3');
        (!is_taken || violations.is_some())
            .then(|| format!("{method} {target}: {status} {}", violations.unwrap_or_default()))
    }
}

/// Installs Prism with npm, unless it is there. A registry that does not answer is not waited for
/// long.
fn install(folder: &Path, program: &Path) -> Result<(), String> {
    if program.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let npm = git_agent::process::Cmd::new("npm").args(["install", "--no-audit", "--no-fund"]);
    let npm = npm.args(["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]);
    let npm = npm.args(["--fetch-timeout=30000", "--prefix"]).arg(folder).arg(PACKAGE);
    match npm.dir(folder).run() {
        Err(_) => Err("there is no npm".to_owned()),
        Ok(done) if done.exit != 0 => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        Ok(_) => Ok(()),
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
