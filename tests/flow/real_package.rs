//! Packages as people have them, in the default sandbox and without any setting for it: an npm
//! package with a dependency out of npm's cache, and a Python package.
//!
//! Invariant: packages are fetched before, by the ordinary clients; where they cannot be, that is
//! said aloud.

use std::time::Duration;

use serde_json::json;

use super::play::Play;
use crate::support::cmd::Out;
use crate::support::repo::Repo;
use crate::support::server::{Dialect, Script, Turn};

/// What the clients need to find a registry, where the developer's machine says so.
const CLIENT: [&str; 9] = [
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PYENV_ROOT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_registry",
    "https_proxy",
    "HTTPS_PROXY",
];

fn client() -> Vec<(&'static str, String)> {
    let mut client: Vec<_> =
        CLIENT.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect();
    // By default it is in the home of the user, which is another here.
    let python = which::which("python3").unwrap_or_default();
    let is_known = client.iter().any(|(name, _)| *name == "PYENV_ROOT");
    if let Some(root) = python.ancestors().nth(2).filter(|_| python.ends_with("shims/python3"))
        && !is_known
    {
        client.push(("PYENV_ROOT", root.display().to_string()));
    }
    client
}

/// Runs a script in the checkout, with a network if there is one.
fn fetched(repo: &Repo, script: &str) -> Option<Out> {
    let cmd = repo.home().cmd("bash").dir(repo.main()).args(&["-ec", script]).envs(client());
    let out = cmd.limit(Duration::from_secs(120)).run();
    if out.code == 0 {
        return Some(out);
    }
    eprintln!("SKIPPED: the package cannot be fetched: {}", out.stderr);
    None
}

/// Runs a session whose check is this command, and shows that it passed in a full sandbox.
fn passes(mut repo: Repo, check: &str) {
    repo.git(&["config", "agent.sandbox.writable", ""]);
    repo.commit("The package as it is");
    repo.mark();
    let script = Script::new([
        Turn::call("bash", json!({"command": "echo checked > checked.txt"})),
        Turn::text("Done."),
    ]);
    let play = Play::start_with(repo, Dialect::Anthropic, script, &["--verify", check], &client());
    let status = play.rests("done");
    if status["sandbox"] != "full" {
        eprintln!("SKIPPED: this machine has no full sandbox");
    }
    assert_eq!(status["verify"]["status"], "passed", "{status:#}");
    play.close();
}

#[test]
fn the_tests_of_an_npm_package_with_its_dependencies() {
    let repo = Repo::new();
    let fetch = "npm pack --silent minimist@1.2.8 >/dev/null
        tar xzf minimist-1.2.8.tgz --strip-components=1
        rm minimist-1.2.8.tgz
        npm pkg delete devDependencies scripts
        npm pkg set 'scripts.test=tape test/*.js'
        npm install --silent --ignore-scripts --save-dev tape@5.6.3
        rm -r node_modules
        echo node_modules/ >>.gitignore";
    if fetched(&repo, fetch).is_some() {
        passes(repo, "npm ci --offline --ignore-scripts && npm test");
    }
}

#[test]
fn the_tests_of_a_python_package() {
    let repo = Repo::new();
    let fetch = "pip download --quiet --no-deps --no-binary :all: xmltodict==0.13.0
        tar xzf xmltodict-0.13.0.tar.gz --strip-components=1
        rm xmltodict-0.13.0.tar.gz
        printf '__pycache__/\\n*.egg-info/\\n.venv/\\n' >>.gitignore";
    if fetched(&repo, fetch).is_some() {
        let check = "python3 -m venv --without-pip .venv && \
                     .venv/bin/python -m unittest discover -s tests";
        passes(repo, check);
    }
}
