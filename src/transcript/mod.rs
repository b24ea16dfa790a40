//! What was said in another tool: transcripts of Claude Code, Codex and Copilot CLI.
//!
//! None of their formats is promised by who writes them. What is read is what was seen in their
//! files by the end of 2025 and since: a JSON object a line, each with its kind. A line that is not
//! understood is passed over; a file in which nothing is, is none of theirs.
//!
//! Invariant: pure: bytes in, words out. What is given out is bounded, whatever comes in, and the
//! people's own words are the last to be shortened.

mod claude;
mod codex;
mod copilot;

use serde_json::Value;

/// The most that is read of one call or its result, in characters.
const CALL: usize = 240;
/// The most that is read of one answer, in characters.
const ANSWER: usize = 4_000;

/// Which tool wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Claude Code: `~/.claude/projects/<folder>/<session>.jsonl`.
    Claude,
    /// Codex: `~/.codex/sessions/<date>/rollout-<session>.jsonl`.
    Codex,
    /// GitHub Copilot CLI: `~/.copilot/session-state/<session>/events.jsonl`.
    Copilot,
}

/// What was said, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// Who wrote it.
    pub tool: Tool,
    /// All that was understood.
    pub entries: Vec<Entry>,
}

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A person's words.
    Person(String),
    /// An agent's words.
    Agent(String),
    /// A tool that was called: its name and what it was given.
    Call(String),
    /// What it gave.
    Result(String),
}

/// A file that is no transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// None of the formats.
    #[error("it is no transcript of Claude Code, Codex or Copilot CLI")]
    Unknown,
    /// Nobody says anything in it.
    #[error("nobody says anything in this transcript of {0}")]
    Empty(Tool),
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Claude => "Claude Code",
            Self::Codex => "Codex",
            Self::Copilot => "Copilot CLI",
        })
    }
}

/// Which entries are told, by their place and what they are.
type Keep<'a> = &'a dyn Fn(usize, &Entry) -> bool;

/// Reads a transcript, whoever wrote it: the lines tell.
///
/// # Errors
/// It is none that is known, or holds no words.
pub fn read(bytes: &[u8]) -> Result<Transcript, TranscriptError> {
    let lines: Vec<Value> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line.trim_ascii()).ok())
        .collect();
    let of = |is_of: fn(&Value) -> bool| lines.iter().any(is_of);
    let tool = match () {
        () if of(copilot::is_line) => Tool::Copilot,
        () if of(codex::is_line) => Tool::Codex,
        () if of(claude::is_line) => Tool::Claude,
        () => return Err(TranscriptError::Unknown),
    };
    let take = match tool {
        Tool::Claude => claude::take,
        Tool::Codex => codex::take,
        Tool::Copilot => copilot::take,
    };
    let mut entries = Vec::new();
    lines.iter().for_each(|line| take(line, &mut entries));
    let is_empty = |entry: &Entry| {
        let (Entry::Person(text) | Entry::Agent(text) | Entry::Call(text) | Entry::Result(text)) =
            entry;
        text.trim().is_empty()
    };
    entries.retain(|entry| !is_empty(entry));
    if !entries.iter().any(|entry| matches!(entry, Entry::Person(_) | Entry::Agent(_))) {
        return Err(TranscriptError::Empty(tool));
    }
    Ok(Transcript { tool, entries })
}

impl Transcript {
    /// All of it in at most so many bytes: where it is too long, without results, then without
    /// calls, then without all answers but the last; at last people's words are cut in the middle.
    pub fn told(&self, limit: usize) -> String {
        let last = self.entries.iter().rposition(|entry| matches!(entry, Entry::Agent(_)));
        let kept: [Keep<'_>; 4] = [
            &|_, _| true,
            &|_, entry| !matches!(entry, Entry::Result(_)),
            &|_, entry| matches!(entry, Entry::Person(_) | Entry::Agent(_)),
            &|at, entry| matches!(entry, Entry::Person(_)) || Some(at) == last,
        ];
        let mut told = String::new();
        for keep in kept {
            told = self.with(keep);
            if told.len() <= limit {
                return told;
            }
        }
        cut(&told, limit)
    }

    fn with(&self, keep: Keep<'_>) -> String {
        let mut told = String::new();
        let mut left_out = 0;
        for (at, entry) in self.entries.iter().enumerate() {
            if !keep(at, entry) {
                left_out += 1;
                continue;
            }
            told.push_str(&match entry {
                Entry::Person(text) => format!("[person]\n{}\n\n", text.trim()),
                Entry::Agent(text) => format!("[agent]\n{}\n\n", shortened(text.trim(), ANSWER)),
                Entry::Call(text) => format!("[call] {}\n", one_line(text)),
                Entry::Result(text) => format!("[result] {}\n\n", one_line(text)),
            });
        }
        if left_out > 0 {
            told.push_str(&format!("[{left_out} calls, results or answers are left out]\n"));
        }
        told
    }
}

/// The beginning and the end, where it is longer than so many bytes.
fn cut(text: &str, limit: usize) -> String {
    const MARK: &str = "\n[… cut here …]\n";
    let half = limit.saturating_sub(MARK.len()) / 2;
    let (start, end) = (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
    format!("{}{MARK}{}", &text[..start], &text[end..])
}

fn one_line(text: &str) -> String {
    // No more than can be shown: a result may be of any length.
    let start = &text[..text.floor_char_boundary(8 * CALL)];
    let line = start.split_whitespace().collect::<Vec<_>>().join(" ");
    let more = start.len() < text.len();
    let line = shortened(&line, CALL);
    if more && !line.ends_with('…') { line + " …" } else { line }
}

fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The texts of a message's content, which is a text or a list of parts with one each.
fn texts(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = parts.iter().filter_map(|part| part.get("text").unwrap_or(part).as_str());
    texts.collect::<Vec<_>>().join("\n")
}

fn call(name: &Value, given: &Value) -> Entry {
    let given = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    Entry::Call(format!("{} {given}", name.as_str().unwrap_or("tool")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(text: &str) -> Entry {
        Entry::Person(text.to_owned())
    }

    fn agent(text: &str) -> Entry {
        Entry::Agent(text.to_owned())
    }

    #[test]
    fn claude_code_is_read() {
        let read = read(include_bytes!("testdata/claude.jsonl")).unwrap();
        let entries = vec![
            person("The login test fails.\nFind out why."),
            agent("I look at the test first."),
            Entry::Call("Read {\"file_path\":\"/home/ada/shop/tests/login.rs\"}".to_owned()),
            Entry::Result("1\tuse shop::login;\n2\t".to_owned()),
            agent("The clock is read twice. Shall I mend it?"),
            person("Yes, but keep the old name."),
        ];
        assert_eq!(read, Transcript { tool: Tool::Claude, entries });
    }

    #[test]
    fn codex_is_read_as_it_is_written_now_and_was_before() {
        let entries = vec![
            person("Make the cart faster."),
            agent("I measure it first."),
            Entry::Call("shell {\"command\":[\"cargo\",\"bench\"]}".to_owned()),
            Entry::Result("cart 12 ms\n".to_owned()),
            Entry::Call("apply_patch *** Begin Patch".to_owned()),
            agent("It takes 3 ms now."),
        ];
        for bytes in [
            &include_bytes!("testdata/codex.jsonl")[..],
            &include_bytes!("testdata/codex-2025.jsonl")[..],
        ] {
            let read = read(bytes).unwrap();
            assert_eq!(read, Transcript { tool: Tool::Codex, entries: entries.clone() });
        }
    }

    #[test]
    fn copilot_cli_is_read() {
        let read = read(include_bytes!("testdata/copilot.jsonl")).unwrap();
        let entries = vec![
            person("Say hello in French."),
            agent("I look where it says hello."),
            Entry::Call("bash {\"command\":\"grep -rn hello\"}".to_owned()),
            Entry::Result("src/lib.rs:3: hello".to_owned()),
            agent("It says bonjour now."),
        ];
        assert_eq!(read, Transcript { tool: Tool::Copilot, entries });
    }

    #[test]
    fn what_is_none_of_them_is_told_as_such() {
        for bytes in [
            &b""[..],
            b"hello\n",
            b"{}\n[]\n1\n",
            b"{\"type\":\"message\"}",
            b"{\"format\":1,\"update\":{}}",
            &[0xff, 0xfe, b'\n', 0x00],
        ] {
            assert_eq!(read(bytes), Err(TranscriptError::Unknown), "{bytes:?}");
        }
        let silent = br#"{"timestamp":"t","type":"session_meta","payload":{"id":"x"}}"#;
        assert_eq!(read(silent), Err(TranscriptError::Empty(Tool::Codex)));
    }

    #[test]
    fn a_long_one_loses_results_first_and_a_persons_words_last() {
        let entries = vec![
            person("Do this."),
            agent("First."),
            Entry::Call("bash ls".to_owned()),
            Entry::Result("x".repeat(5_000)),
            agent("Last."),
            person("And that."),
        ];
        let transcript = Transcript { tool: Tool::Codex, entries };
        let all = transcript.told(10_000);
        assert!(all.contains("[call] bash ls\n[result] xxx") && all.contains("…"), "{all}");
        assert!(all.len() < 600, "a result is one short line: {}", all.len());
        let words = |limit| transcript.told(limit);
        assert_eq!(
            words(150),
            "[person]\nDo this.\n\n[agent]\nFirst.\n\n[call] bash ls\n[agent]\nLast.\n\n\
             [person]\nAnd that.\n\n[1 calls, results or answers are left out]\n"
        );
        assert!(!words(120).contains("bash") && words(120).contains("First."));
        assert!(!words(105).contains("First.") && words(105).contains("Last."));
        let cut = words(60);
        assert!(cut.len() <= 60 && cut.starts_with("[person]\nDo this"), "{cut}");
        let odd = Transcript { tool: Tool::Codex, entries: vec![person(&"é".repeat(1_000))] };
        assert!(odd.told(99).len() <= 99);
    }
}
