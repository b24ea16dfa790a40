//! What needs no session: `doctor`, `setup`, `demo`, help.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{quick, ran};
use crate::support::repo::Repo;

#[test]
fn doctor_names_what_is_there_and_what_is_missing() {
    let repo = Repo::new();
    let out = repo.agent(&["doctor"]);
    let keys: Vec<&str> =
        out.stdout.lines().filter(|line| line.contains("absent  anthropic")).collect();
    assert_eq!(
        keys,
        ["keys        absent  anthropic: ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, \
          agent.anthropic.keyCommand, git credential for https://api.anthropic.com"]
    );
    assert_eq!((out.code, out.stderr.as_str()), (1, ""));
    let out = repo.cmd(&["doctor", "--json"]).env("ANTHROPIC_API_KEY", "sk-ant-secret").run();
    assert_eq!((out.code, out.stderr.as_str()), (0, ""));
    let told: Value = serde_json::from_str(&out.stdout).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let good = |area: &str| -> Vec<&str> {
        let of_area =
            checks.iter().filter(|check| check["area"] == area && check["verdict"] == "good");
        of_area.map(|check| check["found"].as_str().unwrap()).collect()
    };
    assert_eq!(good("keys"), ["anthropic: ANTHROPIC_API_KEY"]);
    assert_eq!(good("repository"), [repo.dir().to_str().unwrap()]);
    // Outside of a repository it has its say too.
    let out = repo.cmd(&["doctor"]).dir(repo.home().root()).run();
    assert!(out.stdout.contains("repository  warning not a git repository: "), "{}", out.stdout);
}

fn files_below(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
}

#[test]
fn setup_says_what_it_writes_and_takes_just_that_away() {
    let repo = Repo::new();
    let home = repo.home().root().join("home");
    let mine = home.join(".config/fish/conf.d/mine.fish");
    fs::create_dir_all(mine.parent().unwrap()).unwrap();
    fs::write(&mine, "mine").unwrap();
    let all = || {
        let mut found = Vec::new();
        files_below(&home, &mut found);
        found
    };
    let before = all();
    let first = repo.agent(&["setup"]);
    let mut wrote: Vec<String> = first.stdout.lines().map(str::to_owned).collect();
    let after = all();
    assert_eq!(repo.agent(&["setup"]).stdout, first.stdout);
    assert_eq!(all(), after);
    wrote.sort();
    let list = home.join(".local/share/git-agent/installed").display().to_string();
    let new: Vec<String> =
        after.into_iter().filter(|file| !before.contains(file) && *file != list).collect();
    assert_eq!(wrote, new);
    let removed = repo.agent(&["setup", "--uninstall"]);
    assert_eq!(removed.stdout.lines().count(), wrote.len());
    assert_eq!(removed.stderr, format!("Removed {} files\n", wrote.len()));
    assert_eq!(all(), before);
    assert!(!home.join(".local").exists());
    assert_eq!(repo.agent(&["setup", "--uninstall"]).stderr, "Nothing is installed\n");
}

#[test]
fn bash_completes_verbs_options_and_sessions() {
    let repo = Repo::new();
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    repo.agent(&["setup"]).success();
    // As git's own completion calls it: the words are in `words`, `cword` and `cur`.
    let complete = |typed: &str| -> Vec<String> {
        let script = format!(
            "source \"$HOME/.local/share/bash-completion/completions/git-agent\"
            words=(git agent {typed}); cword=$((${{#words[@]}} - 1)); cur=${{words[cword]}}
            __git_cmd_idx=1 _git_agent
            printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let out = repo.home().cmd("bash").dir(repo.dir()).args(&["-c", &script]).run().success();
        out.lines().map(|line| line.trim_end().to_owned()).collect()
    };
    assert_eq!(complete("sta"), ["start", "status", "stats"]);
    assert_eq!(complete("worktree sw"), ["switch"]);
    assert_eq!(
        complete("start --max"),
        ["--max-slowdown", "--max-tokens", "--max-steps", "--max-files"]
    );
    assert_eq!(complete("status sa"), [id.as_str()]);
    assert_eq!(complete("pause sa"), [id.as_str()]);
}

/// Whether a program is here; a test that needs it says so where it is not.
fn is_here(repo: &Repo, program: &str) -> bool {
    let look = format!("command -v {program}");
    let is_here = repo.home().cmd("sh").args(&["-c", &look]).run().code == 0;
    if !is_here {
        eprintln!("skipped: there is no {program} here");
    }
    is_here
}

#[test]
fn fish_completes_verbs_options_and_sessions() {
    let repo = Repo::new();
    if !is_here(&repo, "fish") {
        return;
    }
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    repo.agent(&["setup"]).success();
    let complete = |typed: &str| -> Vec<String> {
        let script = format!("complete -C '{typed}'");
        let out = repo.home().cmd("fish").dir(repo.dir()).args(&["-c", &script]).run().success();
        let words = out.lines().filter_map(|line| line.split('\t').next());
        // In which order they are shown is a matter of fish.
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        words.sort();
        words
    };
    for agent in ["git-agent", "git agent"] {
        assert_eq!(complete(&format!("{agent} sta")), ["start", "stats", "status"]);
        assert_eq!(complete(&format!("{agent} worktree sw")), ["switch"]);
        assert_eq!(complete(&format!("{agent} start --max-st")), ["--max-steps"]);
        assert_eq!(complete(&format!("{agent} status sa")), [id.as_str()]);
    }
    assert!(complete("git age").contains(&"agent".to_owned()));
}

#[cfg(target_os = "linux")]
#[test]
fn zsh_completes_verbs_options_and_sessions() {
    let repo = Repo::new();
    if !is_here(&repo, "zsh") {
        return;
    }
    let id = ran(&repo, "say hi", &quick(&repo), &[]);
    repo.agent(&["setup"]).success();
    let zshrc = "fpath=(~/.local/share/zsh/site-functions $fpath)
        autoload -Uz compinit; compinit -u
        precmd() { : >>~/ready; }
        preexec() { print -r -- $1 >>~/ran; }
        git() { :; }
        cd shop\n";
    fs::write(repo.home().root().join("home/.zshrc"), zshrc).unwrap();
    // On a terminal, with the Tab that a person types; what is run is written down.
    let typed =
        "git agent worktree sw\\t\\ngit agent start --max-st\\t\\ngit agent status sa\\t\\n";
    let script = format!(
        "{{ until test -e ~/ready; do sleep 0.02; done; printf '{typed}'
           until test \"$(wc -l <~/ran)\" -ge 3; do sleep 0.02; done; printf 'exit\\n'
        }} 2>/dev/null | script -qec 'zsh -i' /dev/null"
    );
    let shell = repo.home().cmd("sh").dir(repo.home().root()).args(&["-c", &script]);
    shell.env("TERM", "xterm").run();
    let ran = fs::read_to_string(repo.home().root().join("home/ran")).unwrap();
    let ran: Vec<&str> = ran.lines().map(str::trim_end).take(3).collect();
    let status = format!("git agent status {id}");
    assert_eq!(ran, ["git agent worktree switch", "git agent start --max-steps", &status]);
}

#[test]
fn help_is_an_answer_and_man_finds_its_page() {
    let repo = Repo::new();
    let help = repo.git_agent(&["-h"]).success();
    assert!(
        help.starts_with("Let coding agents work on a git repository\n\nUsage: git agent "),
        "{help}"
    );
    assert!(repo.agent(&["start", "-h"]).success().contains("\n      --base <REV>"));
    assert_eq!(
        repo.agent(&["--version"]).success(),
        format!("git-agent {}\n", env!("CARGO_PKG_VERSION"))
    );
    repo.agent(&["setup"]).success();
    if repo.home().cmd("sh").args(&["-c", "command -v man"]).run().code != 0 {
        eprintln!("skipped: there is no man here");
        return;
    }
    let pages = repo.home().root().join("home/.local/share/man");
    let help = repo.home().cmd("git").dir(repo.dir()).args(&["agent", "--help"]);
    let out = help.env("MANPATH", &pages).env("MANPAGER", "cat").env("PAGER", "cat").run();
    // A minimal system has `man` without pages; then the page itself is what can be found.
    let found = out.stdout.contains("GIT-AGENT(1)") || pages.join("man1/git-agent.1").is_file();
    assert!(found, "{out:#?}");
}

#[test]
fn short_help_has_what_is_common_and_long_help_all_of_it_under_headings() {
    let repo = Repo::new();
    let (short, long) =
        (repo.agent(&["start", "-h"]).success(), repo.agent(&["start", "--help"]).success());
    let headings: Vec<&str> =
        long.lines().filter(|line| !line.starts_with(' ') && line.ends_with(':')).collect();
    assert_eq!(
        headings,
        [
            "Arguments:",
            "Options:",
            "Model:",
            "Checks and gates:",
            "Limits:",
            "Context:",
            "What it may change:",
            "Sandbox and network:",
            "Branch and commits:",
            "Several attempts:",
            "Pull request:",
            "Global options:",
            "Examples:",
        ]
    );
    // What tells of a flag says in which part of the page it stands.
    let part = |flag: &str| {
        let above = &long[..long.find(&format!("--{flag}")).unwrap()];
        headings.iter().rfind(|heading| above.contains(&format!("\n{heading}\n"))).copied()
    };
    let parts = ["wait", "verify", "share-budget", "from-session", "max-files", "base", "models"];
    assert_eq!(
        parts.map(|flag| part(flag).unwrap()),
        [
            "Options:",
            "Checks and gates:",
            "Limits:",
            "Context:",
            "What it may change:",
            "Branch and commits:",
            "Several attempts:",
        ]
    );
    for rare in ["--fallback-model", "--min-coverage", "--protect", "--commit-prefix", "--models"] {
        assert!(long.contains(rare) && !short.contains(rare), "{rare}: {short}");
    }
    assert!(short.lines().count() < 80, "{short}");
}

#[test]
fn the_demo_needs_nothing_and_ends_with_a_merged_commit() {
    let repo = Repo::new();
    let root = repo.home().root();
    // Not even an identity.
    fs::write(root.join("home/.gitconfig"), "").unwrap();
    let demo = repo.cmd(&["demo", "play"]).dir(root).limit(Duration::from_secs(120));
    let demo = demo.env("LC_ALL", "C.UTF-8");
    let out = demo.run();
    assert_eq!(out.code, 0, "{out:#?}");
    let place = root.join("play/roman");
    let log = repo.home().git(&place, &["log", "--format=%s", "main"]);
    assert_eq!(log.lines().count(), 2, "{log}");
    let fsck = ["fsck", "--strict", "--no-dangling", "--no-progress"];
    assert_eq!(repo.home().git(&place, &fsck), "");
    assert_eq!(repo.home().git(&place, &["status", "--porcelain"]), "");
    let told = out.stdout + &out.stderr;
    let (red, green) = ("verify   ✗ sh test.sh · exit 1", "verify   ✓ sh test.sh · exit 0");
    let at = |needle: &str| told.find(needle).unwrap_or_else(|| panic!("{needle}: {told}"));
    assert!(at(red) < at(green));
    assert!(!told.contains("error:"), "{told}");
    // A folder that is there is left alone.
    let again = repo.cmd(&["demo", "play"]).dir(root).run();
    assert_eq!((again.code, again.stdout.as_str()), (1, ""));
    assert!(again.stderr.starts_with("error: "), "{again:#?}");
}
