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
use std::sync::{Mutex, PoisonError};
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
        // One test installs it for all.
        static INSTALL: Mutex<()> = Mutex::new(());
        let _installs = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
        if !program.exists() {
            fs::create_dir_all(&folder).expect("a folder of the build");
            let folder = folder.to_str().expect("a path of ours");
            let npm = git_agent::process::Cmd::new("npm");
            let npm = npm.args(["install", "--no-audit", "--no-fund", "--prefix", folder, PACKAGE]);
            match npm.dir(folder).run() {
                Err(_) => return skip("there is no npm"),
                Ok(done) if done.exit != 0 => {
                    return skip(&String::from_utf8_lossy(&done.stderr));
                }
                Ok(_) => {}
            }
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

impl Drop for Prism {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
