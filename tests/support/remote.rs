//! Remotes that git pushes to for real: `git http-backend` behind a small server, and an own sshd.
//!
//! Invariant: they listen on the loopback alone, and end with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::home::Home;

/// `git http-backend` for the bare repositories of a folder.
pub struct Http {
    port: u16,
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Http {
    /// Serves what is in `root`, to be pushed to by anyone.
    pub fn serve(root: &Path) -> Self {
        Self::serve_with(root, &[])
    }

    /// As [`Http::serve`], with more pages: each path, and what is answered from the status on.
    pub fn serve_with(root: &Path, pages: &'static [(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let over = Arc::new(AtomicBool::new(false));
        let (root, is_over) = (root.to_owned(), Arc::clone(&over));
        let server = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // A client that went away has what it wanted.
                let _ = stream.and_then(|stream| answer(stream, &root, pages));
            }
        });
        Self { port, over, server: Some(server) }
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the server, which looks whether it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(server) = self.server.take() {
            drop(server.join());
        }
    }
}

/// One request, by the rules of CGI (RFC 3875).
fn answer(mut stream: TcpStream, root: &Path, pages: &[(&str, &str)]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some((_, page)) = pages.iter().find(|page| page.0 == path) {
        return stream.write_all(format!("HTTP/1.1 {page}").as_bytes());
    }
    let mut cgi = git_agent::process::Cmd::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "ada")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query);
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "transfer-encoding" => chunked = value == "chunked",
            "content-type" => cgi = cgi.env("CONTENT_TYPE", value),
            "content-encoding" => cgi = cgi.env("HTTP_CONTENT_ENCODING", value),
            "git-protocol" => cgi = cgi.env("HTTP_GIT_PROTOCOL", value),
            "expect" => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            (&mut reader).take(size).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else {
        (&mut reader).take(length).read_to_end(&mut body)?;
    }
    let body_length = body.len().to_string();
    let done = cgi.env("CONTENT_LENGTH", body_length).stdin(body).run();
    let out = done.map_err(std::io::Error::other)?.stdout;
    let status = match out.strip_prefix(b"Status: ") {
        Some(rest) => {
            let line = rest.split(|c| *c == b'\r').next().unwrap_or_default();
            String::from_utf8_lossy(line).into_owned()
        }
        None => "200 OK".to_owned(),
    };
    stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n").as_bytes())?;
    stream.write_all(&out)
}

/// The folder that sshd goes into before it knows who is there.
const EMPTY: &str = "/run/sshd";

/// An sshd of the test's own, with keys of its own.
pub struct Ssh {
    child: Child,
    port: u16,
    key: PathBuf,
}

impl Ssh {
    /// Starts it; none, and a word on standard error, where this machine can't.
    #[expect(clippy::disallowed_methods, reason = "a server lives beside the test")]
    pub fn start(home: &Home) -> Option<Self> {
        let skip = |why: &str| {
            // Said even where the output of a test that passes is not shown.
            drop(writeln!(std::io::stderr(), "SKIPPED: no push by ssh is tried: {why}"));
            None
        };
        let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().map(Path::new);
        let Some(sshd) = sshd.into_iter().find(|path| path.exists()) else {
            return skip("there is no sshd");
        };
        let dir = home.root().join("ssh");
        fs::create_dir(&dir).expect("a new folder");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let (host, key) = (home.ssh_key("ssh/host")?, home.ssh_key("ssh/key")?);
        fs::copy(dir.join("key.pub"), dir.join("authorized")).expect("a new file");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = port.expect("a free port").port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\n",
            host.display(),
            dir.join("authorized").display(),
        );
        fs::write(dir.join("config"), config).expect("a new file");
        let log = fs::File::create(dir.join("log")).expect("a new file");
        // As root it wants a folder that a machine without the service lacks: it gets one that
        // nobody else sees.
        let alone = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec \"$0\" \"$@\"";
        let mut command = match rustix::process::geteuid().is_root() && !Path::new(EMPTY).exists() {
            true => std::process::Command::new("unshare"),
            false => std::process::Command::new(sshd),
        };
        if command.get_program() == "unshare" {
            command.args(["-m", "sh", "-c", alone]).arg(sshd);
        }
        command.args(["-D", "-e", "-f"]).arg(dir.join("config")).stderr(log);
        let Ok(child) = command.spawn() else { return skip("it cannot be started") };
        let mut server = Self { child, port, key };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.child.try_wait().expect("it is our child").is_some() {
                let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
                return skip(log.trim());
            }
            assert!(Instant::now() < until, "sshd does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        let trial = home.cmd("sh").args(&["-c", &format!("{} 127.0.0.1 true", server.command())]);
        let trial = trial.run();
        if trial.code != 0 {
            return skip(&trial.stderr);
        }
        Some(server)
    }

    /// What `GIT_SSH_COMMAND` must be.
    pub fn command(&self) -> String {
        format!(
            "ssh -q -F none -p {} -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes \
             -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            self.port,
            self.key.display()
        )
    }

    /// The address of a repository.
    pub fn url(path: &Path) -> String {
        format!("ssh://127.0.0.1{}", path.display())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
