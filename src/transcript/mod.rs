//! What was said in another tool: transcripts of Claude Code, Codex and Copilot CLI.
//!
//! None of their formats is promised by who writes them. What is read is what was seen in their
//! files by the end of 2025 and of 2026 (Claude Code 2.1.197, Codex 0.169, Copilot CLI 1.0.102): a
//! JSON object a line, each with its kind. A line that is not understood is passed over; a file in
//! which nothing is, is none of theirs.
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
    for entry in &mut entries {
        // No more than can be shown of it: a result may be of any length.
        if let Entry::Call(text) | Entry::Result(text) = entry {
            text.truncate(text.floor_char_boundary(8 * CALL));
        }
    }
    if !entries.iter().any(|entry| matches!(entry, Entry::Person(_) | Entry::Agent(_))) {
        return Err(TranscriptError::Empty(tool));
    }
    Ok(Transcript { tool, entries })
}

impl Entry {
    /// Changes its words.
    pub fn change(&mut self, change: impl FnOnce(&str) -> String) {
        let (Self::Person(text) | Self::Agent(text) | Self::Call(text) | Self::Result(text)) = self;
        *text = change(text);
    }
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
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shortened(&line, CALL)
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
    parts.iter().filter_map(text_of).collect::<Vec<_>>().join("\n")
}

/// The text of a part; an image or a document is named, since none of it is told.
fn text_of(part: &Value) -> Option<String> {
    let named = || match part["type"].as_str() {
        Some("image" | "input_image") => Some("[an image]"),
        Some("document" | "input_file") => Some("[a document]"),
        _ => None,
    };
    let text = part.get("text").unwrap_or(part).as_str().or_else(named);
    text.map(str::to_owned)
}

fn call(name: &Value, given: &Value) -> Entry {
    let given = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    Entry::Call(format!("{} {given}", name.as_str().unwrap_or("tool")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    /// `ls -la` in the shop, as each tool tells it.
    fn listed() -> String {
        let at = "Nov 22 21:18";
        let folders =
            format!("drwxr-xr-x 3 root root 4096 {at} .\ndrwxr-xr-x 4 root root 4096 {at} ..");
        format!(
            "total 20\n{folders}\ndrwxr-xr-x 8 root root 4096 {at} .git\n\
             -rw-r--r-- 1 root root   69 {at} pixel.png\n\
             -rw-r--r-- 1 root root    4 {at} words.txt\nold"
        )
    }

    #[test]
    fn claude_code_is_read_as_2_1_197_writes_it() {
        let read = read(include_bytes!("testdata/claude-2026.jsonl")).unwrap();
        let summary = "This session is being continued from a previous conversation that ran out of \
                       context. The summary below covers the earlier portion of the \
                       conversation.\n\nThe file words.txt.\n\nThe file words.txt says old.";
        let list = "{\"command\":\"ls -la && cat words.txt\",\"description\":\"List files\"}";
        let entries = vec![
            person("What does words.txt say?"),
            agent("I look at the files first."),
            Entry::Call(format!("Bash {list}")),
            Entry::Call("Read {\"file_path\":\"pixel.png\"}".to_owned()),
            Entry::Result(listed()),
            Entry::Result("[an image]".to_owned()),
            agent("The file words.txt says old."),
            agent(summary),
            person("/compact keep it short"),
        ];
        assert_eq!(read, Transcript { tool: Tool::Claude, entries });
    }

    #[test]
    fn codex_is_read_as_0_169_writes_it() {
        let read = read(include_bytes!("testdata/codex-2026.jsonl")).unwrap();
        let entries = vec![
            person("[an image]\nWhat does words.txt say?"),
            agent("I look at the files first."),
            Entry::Call("exec_command {\"cmd\": \"ls -la && cat words.txt\"}".to_owned()),
            Entry::Result(listed() + "\n"),
            agent("It says new now."),
        ];
        assert_eq!(read, Transcript { tool: Tool::Codex, entries });
    }

    #[test]
    fn copilot_cli_is_read_as_1_0_102_writes_it() {
        let read = read(include_bytes!("testdata/copilot-2026.jsonl")).unwrap();
        let list = "{\"command\":\"ls -la && cat words.txt\",\"description\":\"List\"}";
        let entries = vec![
            person("What does words.txt say?"),
            agent("I look at the files first."),
            Entry::Call(format!("bash {list}")),
            Entry::Result(listed() + "\n<shellId: 0 completed with exit code 0>"),
            agent("The file says old."),
        ];
        assert_eq!(read, Transcript { tool: Tool::Copilot, entries });
    }

    #[test]
    fn what_a_tool_puts_in_is_nobodys_and_a_summary_is_the_agents() {
        let lines = |lines: &[Value]| {
            let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
            let lines = lines.join("\n");
            // A line of a kind that nobody knows, one of any length, and one that was torn.
            let noise = format!("{{\"type\":\"new\",\"x\":\"{}\"}}\n", "y".repeat(100_000));
            read(format!("{noise}{lines}\n{{\"type\":\"us").as_bytes()).unwrap().entries
        };
        let claude = |content: Value| json!({"type": "user", "sessionId": "s", "message": {"role": "user", "content": content}});
        let result = json!([{"type": "tool_result", "content": [
            {"type": "text", "text": "one"}, {"type": "image", "source": {}}, {"type": "text", "text": "two"}
        ]}]);
        assert_eq!(
            lines(&[
                claude(json!("<system-reminder>\nBe brief.\n</system-reminder>")),
                claude(json!("[Request interrupted by user for tool use]")),
                claude(json!(
                    "<command-message>x</command-message>\n<command-name>/x</command-name>"
                )),
                claude(json!([{"type": "text", "text": "Look"}, {"type": "image", "source": {}}])),
                claude(result),
            ]),
            [
                person("/x"),
                person("Look"),
                person("[an image]"),
                Entry::Result("one\n[an image]\ntwo".to_owned()),
            ]
        );
        let codex = |payload: Value| json!({"type": "response_item", "payload": payload});
        let said = |text: &str| {
            let content = json!([{"type": "input_text", "text": text}]);
            codex(json!({"type": "message", "role": "user", "content": content}))
        };
        assert_eq!(
            lines(&[
                said("<turn_aborted>\nIt was.\n</turn_aborted>"),
                said("Go on."),
                json!({"type": "compacted", "payload": {"message": "So far: nothing."}}),
                codex(json!({"type": "function_call_output", "output": [
                    {"type": "input_text", "text": "Exit code: 0\nWall time: 1 s\nOutput:\nfine"},
                    {"type": "input_image", "image_url": "data:"}
                ]})),
            ]),
            [
                person("Go on."),
                agent("So far: nothing."),
                Entry::Result("fine\n[an image]".to_owned()),
            ]
        );
        let copilot = |kind: &str, data: Value| json!({"type": kind, "data": data});
        assert_eq!(
            lines(&[
                copilot("user.message", json!({"content": "Go on."})),
                copilot("assistant.message", json!({"content": "Aside", "parentToolCallId": "t"})),
                copilot("session.compaction_complete", json!({"summaryContent": "So far."})),
                copilot(
                    "tool.execution_complete",
                    json!({"success": false, "error": {"message": "no"}})
                ),
            ]),
            [person("Go on."), agent("So far."), Entry::Result("no".to_owned())]
        );
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
