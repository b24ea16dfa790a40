//! The sandbox of macOS, by a profile for `sandbox-exec`. Experimental: it gives the reduced level.
//!
//! Invariant: what no rule allows is denied; of two rules the later holds, so what is denied in a
//! folder that may be changed comes last.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What every program of the system needs, besides files.
const BASE: &str = "\
(version 1)
(deny default)
(allow process*)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow mach-lookup)
(allow ipc-posix*)
(allow pseudo-tty)
(allow file-read-metadata)
(allow file-read* file-write* (literal \"/dev/null\") (literal \"/dev/zero\") (literal \"/dev/tty\"))
(allow file-read* (literal \"/\") (literal \"/dev/random\") (literal \"/dev/urandom\"))
";

/// Where macOS keeps what programs are made of.
const SYSTEM: [&str; 5] =
    ["/System", "/Library/Developer", "/private/var/db", "/private/etc", "/Applications/Xcode.app"];

/// The profile for commands in the worktree `root`.
pub(super) fn profile(root: &Path, readable: &[PathBuf], writable: &[PathBuf]) -> String {
    let mut profile = BASE.to_owned();
    let system = SYSTEM.iter().map(Path::new);
    for path in system.chain(readable.iter().map(PathBuf::as_path)) {
        rule(&mut profile, "allow file-read*", "subpath", path);
    }
    for path in writable {
        rule(&mut profile, "allow file-read* file-write*", "subpath", path);
    }
    rule(&mut profile, "deny file-write*", "literal", &root.join(".git"));
    profile
}

fn rule(profile: &mut String, what: &str, kind: &str, path: &Path) {
    let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    // A string takes what it is given.
    if writeln!(profile, "({what} ({kind} \"{path}\"))").is_err() {
        tracing::error!("a rule is lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_comes_behind_what_is_allowed() {
        let root = Path::new("/w/a \"tree\"");
        let text = profile(root, &["/opt".into()], &[root.to_owned()]);
        let rules: Vec<_> = text.lines().rev().take(3).collect();
        let expected = [
            r#"(deny file-write* (literal "/w/a \"tree\"/.git"))"#,
            r#"(allow file-read* file-write* (subpath "/w/a \"tree\""))"#,
            r#"(allow file-read* (subpath "/opt"))"#,
        ];
        assert_eq!(rules, expected);
        assert!(text.starts_with("(version 1)\n(deny default)\n"));
    }
}
