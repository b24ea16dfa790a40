//! Completion scripts: they ask the program itself, so that they can't go stale; and they serve
//! `git agent` as well as `git-agent`.
//!
//! Invariant: a script holds no path of the machine it was made on.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use super::{Generated, Kind};
use crate::commands::complete::VARIABLE;
use crate::error::Result;

/// git's own completion calls `_git_agent`, with the words in `words` and `cword` (see
/// `contrib/completion/git-completion.bash`); the engine wants them as if `git-agent` were typed.
const BASH_BRIDGE: &str = r#"
_git_agent() {
    local at=${__git_cmd_idx:-1}
    local -a typed=("${words[@]}")
    local COMP_CWORD=$((cword - at))
    local COMP_WORDS=(git-agent "${typed[@]:at+1}")
    _clap_complete_git_agent git-agent "$cur" ""
}
"#;

/// zsh's own completion of git calls `_git-agent`, which is this whole file as a function, with
/// `words` beginning at `agent`; for `git-agent` itself the file is called the same way.
const ZSH_BRIDGE: &str = r#"
if [[ "${funcstack[1]-}" == _git-agent ]]; then
    words[1]=git-agent
    _clap_dynamic_completer_git_agent
fi
"#;

/// fish's own completion of git would ask for the completions of `git-agent`, but the one of 3.6
/// takes the program's whole name for the subcommand. This is read when a shell starts, from
/// `conf.d`: what lies among the completions is read for `git-agent` alone.
const FISH_BRIDGE: &str = "
complete --command git --condition __fish_git_needs_command --arguments agent --description 'Let coding agents work on the repository'
complete --command git --condition '__fish_git_using_command agent' --no-files --arguments '(__fish_git_complete_custom_command agent)'
";

/// The scripts of all shells.
///
/// # Errors
/// Never for a script in memory; the writer's signature has one.
pub(super) fn completions() -> Result<Vec<Generated>> {
    let shells: [(Kind, &str, &dyn EnvCompleter, &str); 3] = [
        (Kind::Bash, "git-agent.bash", &Bash, BASH_BRIDGE),
        (Kind::Zsh, "_git-agent", &Zsh, ZSH_BRIDGE),
        (Kind::Fish, "git-agent.fish", &Fish, FISH_BRIDGE),
    ];
    let script = |(kind, name, shell, bridge): (Kind, &str, &dyn EnvCompleter, &str)| {
        let mut bytes = Vec::new();
        shell.write_registration(VARIABLE, "git-agent", "git-agent", "git-agent", &mut bytes)?;
        bytes.extend_from_slice(bridge.as_bytes());
        Ok(Generated { kind, name: name.to_owned(), bytes })
    };
    shells.into_iter().map(script).collect()
}
