//! Our lines in the text of a hook, between two lines that mark them.
//!
//! They stand before all that the user's script does, since that may end anywhere; what git gives
//! the hook to read is read once, and given back.
//!
//! Invariant: pure; [`remove`] after [`insert`] gives the same bytes, whatever they were.

use super::Hook;

/// The line before ours. A file that holds nothing but ours has [`ALONE`].
const BEGIN: &str = "# >>> git agent >>> git agent hooks uninstall takes these lines out";
/// The line before ours in a file that we made.
const ALONE: &str = "# >>> git agent >>> git agent hooks uninstall takes this file away";
/// The line behind ours.
const END: &str = "# <<< git agent <<<";
/// The first line of a file that we make.
const SHEBANG: &str = "#!/bin/sh\n";
/// Where the user's hook is kept, beside ours, if ours cannot stand in it.
pub(super) const BEFORE: &str = "before-git-agent";

/// What is left of a hook without our lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There were none of ours.
    NotOurs,
    /// All of it was ours.
    Nothing,
    /// This is the user's.
    User(Vec<u8>),
}

/// A file of ours. `chained` runs after it what is kept in [`BEFORE`].
pub(super) fn whole(hook: &Hook, chained: bool) -> Vec<u8> {
    let Hook { name, .. } = hook;
    let mut lines = lines(hook);
    if chained {
        let kept = format!("${{0%/*}}/{BEFORE}/{name}");
        lines.push_str(&format!("[ ! -x \"{kept}\" ] || exec \"{kept}\" \"$@\"\n"));
    }
    format!("{SHEBANG}{ALONE}\n{lines}{END}\n").into_bytes()
}

/// The text with our lines; none where it is not a shell script, which alone can hold them.
pub(super) fn insert(text: &[u8], hook: &Hook) -> Option<Vec<u8>> {
    let at = shebang_of(text)?;
    let (head, tail) = text.split_at(at);
    let block = format!("{BEGIN}\n{}{END}", lines(hook));
    // A line without an end stays one: the end that is missing is ours to take away again.
    let is_cut = !head.is_empty() && !head.ends_with(b"\n");
    let block = if is_cut { format!("\n{block}") } else { format!("{block}\n") };
    Some([head, block.as_bytes(), tail].concat())
}

/// The text without our lines.
pub(super) fn remove(text: &[u8]) -> Rest {
    let (found, is_alone) = match (find(text, BEGIN), find(text, ALONE)) {
        (Some(at), _) => (at, false),
        (None, Some(at)) => (at, true),
        (None, None) => return Rest::NotOurs,
    };
    let Some(end) = find(&text[found..], END) else { return Rest::NotOurs };
    let end = found + end + END.len();
    let (head, tail) = (&text[..found], &text[end..]);
    let rest = match tail.strip_prefix(b"\n") {
        Some(tail) => [head, tail].concat(),
        None => [head.strip_suffix(b"\n").unwrap_or(head), tail].concat(),
    };
    if is_alone && rest == SHEBANG.as_bytes() { Rest::Nothing } else { Rest::User(rest) }
}

/// Whether the text has our lines just as this program writes them.
pub(super) fn is_current(text: &[u8], hook: &Hook) -> bool {
    match remove(text) {
        Rest::NotOurs => false,
        Rest::Nothing => text == whole(hook, false) || text == whole(hook, true),
        Rest::User(rest) => insert(&rest, hook).is_some_and(|again| again == text),
    }
}

fn lines(hook: &Hook) -> String {
    let Hook { name, stub, reads, .. } = hook;
    let stub = stub.trim_end();
    let missing = format!("echo 'warning: git-agent is not on PATH: {name} does nothing' >&2");
    if !reads {
        return format!(
            "if command -v git-agent >/dev/null; then {stub} || exit $?\nelse {missing}; fi\n"
        );
    }
    // Each move of any ref runs this one: the program is started where a session's goes alone.
    let (is_for_us, missing) = match *name {
        "reference-transaction" => {
            ("case $1$git_agent_in in prepared*'0000000 refs/agent/'*)\n", ":".to_owned())
        }
        _ => ("case $git_agent_in in ?*)\n", missing),
    };
    format!(
        "git_agent_in=$(cat)\n\
         {is_for_us}\
         if command -v git-agent >/dev/null; then\n\
         printf '%s\\n' \"$git_agent_in\" | {stub} || exit $?\n\
         else {missing}; fi;;\n\
         esac\n\
         case $git_agent_in in ?*) exec <<GIT_AGENT_IN\n\
         $git_agent_in\n\
         GIT_AGENT_IN\n\
         ;; *) exec </dev/null;; esac\n"
    )
}

/// Where the first line of a shell script ends; 0 for one that names no program, which git gives to
/// the shell. None for any other file.
fn shebang_of(text: &[u8]) -> Option<usize> {
    if text.contains(&0) {
        return None;
    }
    let Some(line) = text.strip_prefix(b"#!") else { return Some(0) };
    let length = line.iter().position(|c| *c == b'\n').map_or(line.len(), |at| at + 1);
    let line = std::str::from_utf8(&line[..length]).ok()?;
    let mut words = line.split_whitespace();
    let name = |path: &'_ str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut program = name(words.next()?);
    if program == "env" {
        program = name(words.find(|word| !word.starts_with('-'))?);
    }
    let is_shell = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"].contains(&&*program);
    (is_shell && !line.ends_with("\r\n")).then_some(2 + length)
}

/// Where a line begins that is this and no more.
fn find(text: &[u8], line: &str) -> Option<usize> {
    let mut at = 0;
    for found in text.split_inclusive(|c| *c == b'\n') {
        if found.strip_suffix(b"\n").unwrap_or(found) == line.as_bytes() {
            return Some(at);
        }
        at += found.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::HOOKS;
    use super::*;

    #[test]
    fn h03_what_was_put_in_comes_out_byte_for_byte() {
        let texts = [
            "",
            "\n",
            "#!/bin/sh",
            "#!/bin/sh\n",
            "#!/bin/sh -e\nexit 0",
            "#!/usr/bin/env bash\n\n# mine\nexit 0\n",
            "#!/usr/bin/env -S bash -e\nexit 0\n",
            "echo no shebang\n",
            "#!/bin/dash\n# >>> git agent >>> not a marker\n",
        ];
        for hook in &HOOKS {
            for text in texts {
                let put = insert(text.as_bytes(), hook).unwrap();
                assert_ne!(put, text.as_bytes());
                assert!(is_current(&put, hook), "{text:?}");
                assert_eq!(remove(&put), Rest::User(text.into()), "{text:?}");
                assert_eq!(remove(text.as_bytes()), Rest::NotOurs);
                // What the user adds later stays.
                let more = [&put[..], b"\nmore\n"].concat();
                let rest = Rest::User(format!("{text}\nmore\n").into());
                if !put.ends_with(END.as_bytes()) {
                    assert_eq!(remove(&more), rest, "{text:?}");
                }
            }
            for chained in [false, true] {
                assert_eq!(remove(&whole(hook, chained)), Rest::Nothing);
                assert!(is_current(&whole(hook, chained), hook));
            }
        }
    }

    #[test]
    fn only_shell_scripts_hold_our_lines() {
        let others = [
            "#!/usr/bin/env python3\n",
            "#!/usr/bin/perl\n",
            "\u{7f}ELF\0",
            "#!/bin/sh\r\n",
            "#!\n",
            "#!/usr/bin/env fish\n",
        ];
        for other in others {
            assert_eq!(insert(other.as_bytes(), &HOOKS[0]), None, "{other:?}");
        }
    }

    #[test]
    fn each_stub_is_one_line_that_calls_us() {
        for Hook { name, stub, .. } in &HOOKS {
            assert_eq!(*stub, format!("git agent hook {name} \"$@\"\n"));
        }
    }
}
