//! The environment of tools: what is passed on, and what is set for programs that run unwatched.
//!
//! Invariant: a list of what may pass, never of what may not; and whatever looks like a secret
//! does not pass even if it is on the list.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Where the user, the network and the tool chains are.
const PASSED: [&str; 82] = [
    "ALL_PROXY",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "BUNDLE_PATH",
    "BUN_INSTALL",
    "CARGO_HOME",
    "CC",
    "CFLAGS",
    "COMPOSER_HOME",
    "CONDA_EXE",
    "CONDA_PREFIX",
    "CPATH",
    "CURL_CA_BUNDLE",
    "CXX",
    "CXXFLAGS",
    "DENO_DIR",
    "DOTNET_ROOT",
    "DYLD_LIBRARY_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "GOCACHE",
    "GOFLAGS",
    "GOMODCACHE",
    "GOPATH",
    "GOPROXY",
    "GOROOT",
    "GOTOOLCHAIN",
    "GRADLE_HOME",
    "GRADLE_USER_HOME",
    "HOME",
    "HOMEBREW_CELLAR",
    "HOMEBREW_PREFIX",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "JAVA_HOME",
    "LANG",
    "LANGUAGE",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LOGNAME",
    "M2_HOME",
    "MAVEN_HOME",
    "MISE_DATA_DIR",
    "NIX_PATH",
    "NIX_PROFILES",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "NODE_PATH",
    "NO_PROXY",
    "NUGET_PACKAGES",
    "NVM_BIN",
    "NVM_DIR",
    "PATH",
    "PKG_CONFIG_PATH",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SDKMAN_DIR",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "USER",
    "UV_CACHE_DIR",
    "UV_PYTHON_INSTALL_DIR",
    "VIRTUAL_ENV",
    "VOLTA_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_cache",
];

/// No colour, no pager, no progress bar, no editor, no question.
const SET: [(&str, &str); 19] = [
    ("CI", "1"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("EDITOR", "true"),
    ("GIT_ASKPASS", "false"),
    ("GIT_EDITOR", "true"),
    ("GIT_MERGE_AUTOEDIT", "no"),
    ("GIT_PAGER", "cat"),
    ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LESS", "-R"),
    ("MANPAGER", "cat"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    ("SSH_ASKPASS", "false"),
    ("TERM", "dumb"),
    ("TQDM_DISABLE", "1"),
    ("VISUAL", "true"),
];

/// Endings of names whose values are secrets by convention.
const SECRET: [&str; 5] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS"];

/// The environment of a tool in the worktree `root`, with `tmp` for its temporary files.
///
/// `GIT_CEILING_DIRECTORIES` ends git's search for a repository at the worktree: should a tool
/// have removed its `.git`, a repository that happens to lie around it is not found instead.
pub fn of_tools(
    caller: &[(OsString, OsString)],
    root: &Path,
    tmp: &Path,
) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> =
        caller.iter().filter(|(key, _)| passes(key)).cloned().collect();
    env.extend(SET.iter().map(|(key, value)| (key.into(), value.into())));
    env.push(("TMPDIR".into(), tmp.into()));
    if let Some(parent) = root.parent() {
        env.push(("GIT_CEILING_DIRECTORIES".into(), parent.into()));
    }
    env
}

/// What programs find their proxy by: most by the common names, cargo, npm and pip by their own.
const PROXY: [&str; 10] = [
    "ALL_PROXY",
    "CARGO_HTTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "PIP_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "npm_config_https_proxy",
    "npm_config_proxy",
];

/// What programs find those hosts by that are reached without it.
const NONE: [&str; 3] = ["NO_PROXY", "no_proxy", "npm_config_noproxy"];

/// Takes away what names the caller's proxy.
pub(super) fn drop_proxies(env: &mut Vec<(OsString, OsString)>) {
    let is_one = |key: &OsStr| PROXY.iter().chain(&NONE).any(|name| *name == key);
    env.retain(|(key, _)| !is_one(key));
}

/// Lets programs use a proxy on this port of their own machine, and none for that machine itself,
/// whatever proxy the caller has.
pub(super) fn use_proxy(env: &mut Vec<(OsString, OsString)>, port: u16) {
    drop_proxies(env);
    let address = OsString::from(format!("http://127.0.0.1:{port}"));
    env.extend(PROXY.iter().map(|key| (key.into(), address.clone())));
    env.extend(NONE.iter().map(|key| (key.into(), "localhost,127.0.0.1,::1".into())));
}

/// Whether a variable of the caller reaches tools.
pub fn passes(key: &OsStr) -> bool {
    let Some(key) = key.to_str() else { return false };
    let listed = PASSED.binary_search(&key).is_ok() || key.starts_with("LC_");
    listed && !SECRET.iter().any(|ending| key.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_as_its_search_needs() {
        assert!(PASSED.is_sorted());
    }

    #[test]
    fn programs_are_told_of_one_proxy_in_every_spelling() {
        let mut env = vec![
            (OsString::from("https_proxy"), OsString::from("http://corporate:3128")),
            (OsString::from("PATH"), OsString::from("/bin")),
        ];
        use_proxy(&mut env, 4711);
        let of = |key: &str| {
            let found: Vec<_> = env.iter().filter(|(name, _)| name == key).collect();
            assert_eq!(found.len(), 1, "{key}");
            found[0].1.to_str().unwrap().to_owned()
        };
        for key in PROXY {
            assert_eq!(of(key), "http://127.0.0.1:4711");
        }
        assert_eq!((of("no_proxy"), of("PATH")), ("localhost,127.0.0.1,::1".into(), "/bin".into()));
    }

    #[test]
    fn only_what_is_listed_passes_and_what_looks_secret_never() {
        let caller = [
            ("PATH", "/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("LC_API_KEY", "s"),
            ("ANTHROPIC_API_KEY", "s"),
            ("GITHUB_TOKEN", "s"),
            ("SSH_AUTH_SOCK", "/s"),
            ("GIT_DIR", "/elsewhere"),
            ("GIT_AUTHOR_NAME", "someone"),
            ("BASH_ENV", "/rc"),
            ("PROMPT_COMMAND", "date"),
            ("CLAUDECODE", "1"),
            ("https_proxy", "http://proxy:3128"),
        ];
        let caller = caller.map(|(key, value)| (key.into(), value.into()));
        let mut env = of_tools(&caller, Path::new("/repo/tree"), Path::new("/tmp/session"));
        env.retain(|(key, _)| !SET.iter().any(|(set, _)| key == set));
        let expected = [
            ("PATH", "/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("https_proxy", "http://proxy:3128"),
            ("TMPDIR", "/tmp/session"),
            ("GIT_CEILING_DIRECTORIES", "/repo"),
        ];
        assert_eq!(env, expected.map(|(key, value)| (key.into(), value.into())));
    }
}
