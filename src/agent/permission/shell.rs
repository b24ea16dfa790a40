//! A shell command as far as its words tell what it runs.
//!
//! Invariant: where it does not know, it says so; nothing here is a fence.

use crate::tool::output::neutral;

/// A longer command is not read, in bytes.
const LONGEST: usize = 8 << 10;

/// Words that run other words, or begin what is more than one command.
const WRAPPERS: &[&str] = &[
    ".", "!", "[[", "bash", "builtin", "busybox", "case", "coproc", "command", "dash", "doas",
    "env", "eval", "exec", "find", "for", "function", "if", "nice", "nohup", "parallel", "perl",
    "python", "python3", "ruby", "select", "setsid", "sh", "source", "stdbuf", "sudo", "time",
    "timeout", "trap", "until", "watch", "while", "xargs", "zsh",
];

/// What a command is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shell {
    /// The simple commands in it, without quotes, folders and settings before them.
    pub(super) commands: Vec<String>,
    /// It is one simple command and nothing else: no other beside it, no redirection, no setting.
    pub(super) is_plain: bool,
    /// These are all it runs, as far as words tell.
    pub(super) is_clear: bool,
}

impl Shell {
    pub(super) fn read(command: &str) -> Self {
        let command = command.trim();
        let is_hidden = |letter: char| neutral(letter) != letter && letter != '\n';
        if command.len() > LONGEST || command.chars().any(is_hidden) {
            return Self::default();
        }
        let mut reader = Reader { is_plain: true, is_clear: true, ..Reader::default() };
        reader.read(command);
        reader.end_command();
        let Reader { commands, is_plain, is_clear, .. } = reader;
        Self { is_plain: is_plain && is_clear && commands.len() == 1, commands, is_clear }
    }
}

#[derive(Default)]
struct Reader {
    commands: Vec<String>,
    words: Vec<String>,
    word: String,
    /// A word has begun, maybe an empty one in quotes.
    is_in_word: bool,
    is_plain: bool,
    is_clear: bool,
}

impl Reader {
    fn read(&mut self, command: &str) {
        let mut letters = command.chars().peekable();
        let mut quote = None;
        while let Some(letter) = letters.next() {
            match (letter, quote) {
                ('\'', None) => (quote, self.is_in_word) = (Some('\''), true),
                ('"', None) => (quote, self.is_in_word) = (Some('"'), true),
                (end, Some(open)) if end == open => quote = None,
                // An expansion: what comes of it is not known.
                ('`', None | Some('"')) => self.is_clear = false,
                ('$', None | Some('"')) => {
                    let next = letters.peek();
                    self.is_clear &=
                        !next.is_some_and(|next| matches!(next, '(' | '{' | '\'' | '"'));
                    self.is_plain = false;
                    self.is_clear &= !self.words.is_empty();
                    self.put(letter);
                }
                ('\\', None | Some('"')) => match letters.next() {
                    Some('\n') | None => self.is_clear = false,
                    Some(next) => self.put(next),
                },
                (letter, Some(_)) => self.put(letter),
                (' ' | '\t', None) => self.end_word(),
                (';' | '&' | '|' | '\n', None) => {
                    self.is_plain = false;
                    self.end_command();
                }
                ('<', None) if letters.peek() == Some(&'<') => {
                    (self.is_plain, self.is_clear) = (false, false);
                }
                ('<' | '>', None) => {
                    self.is_plain = false;
                    self.is_clear &= letters.peek() != Some(&'(');
                    self.end_word();
                }
                ('(' | ')' | '{' | '}' | '#', None) if !self.is_in_word => {
                    (self.is_plain, self.is_clear) = (false, false);
                }
                ('(' | ')' | '{', None) => {
                    (self.is_plain, self.is_clear) = (false, false);
                }
                (letter, None) => self.put(letter),
            }
        }
        self.is_clear &= quote.is_none();
    }

    fn put(&mut self, letter: char) {
        self.word.push(letter);
        self.is_in_word = true;
    }

    fn end_word(&mut self) {
        if !std::mem::take(&mut self.is_in_word) {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let is_setting = |word: &str| {
            word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|it| it == '_' || it.is_ascii_alphanumeric())
            })
        };
        if !self.words.is_empty() {
            self.words.push(word);
        } else if is_setting(&word) {
            // What it is run with may change what it runs.
            self.is_plain = false;
        } else {
            let name = word.rsplit('/').next().unwrap_or_default().to_owned();
            self.is_plain &= name == word;
            self.is_clear &= !WRAPPERS.contains(&name.as_str()) && !name.contains(['*', '?', '[']);
            self.words.push(name);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(self.words.join(" "));
            self.words.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x12_what_is_plain_is_one_command_and_nothing_else() {
        for command in ["cargo test", "  git log -1 --format='%h %s' ", "ls src/*.rs"] {
            let shell = Shell::read(command);
            assert!(shell.is_plain && shell.is_clear, "{command}: {shell:?}");
        }
        for command in [
            "cargo test; rm x",
            "cargo test && x",
            "cargo test | x",
            "cargo test & x",
            "cargo test\nx",
            "cargo test > out",
            "cargo test < in",
            "RUSTC=x cargo test",
            "./cargo test",
            "cargo $x",
        ] {
            let shell = Shell::read(command);
            assert!(!shell.is_plain && shell.is_clear, "{command}: {shell:?}");
        }
    }

    #[test]
    fn x12_what_hides_a_command_is_not_clear() {
        let long = format!("echo {}", "a".repeat(9_000));
        for command in [
            "$x push",
            "git $(echo push)",
            "git `echo push`",
            "echo \"$(git push)\"",
            "cat <<EOF\nx\nEOF",
            "diff <(git push) x",
            "eval git push",
            "sh -c 'git push'",
            "env git push",
            "xargs git push",
            "(git push)",
            "{ git push; }",
            "f() { git push; }; f",
            "if true; then git push; fi",
            "git pu\u{200b}sh",
            "git\u{1b}[2K push",
            "git 'push",
            "gi? push",
            &long,
        ] {
            assert!(!Shell::read(command).is_clear, "{command}");
        }
    }

    #[test]
    fn quotes_folders_and_settings_hide_no_command() {
        let commands = |command| Shell::read(command).commands;
        assert_eq!(
            commands("cd x && GIT_DIR=y /usr/bin/g\"i\"t   'push' -f | tee log; \\git st"),
            ["cd x", "git push -f", "tee log", "git st"]
        );
        assert_eq!(commands("echo 'a; git push'"), ["echo a; git push"]);
    }
}
