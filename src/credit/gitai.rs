//! git-ai's authorship logs: the notes under `refs/notes/ai` that say which lines of a commit which
//! agent made (its standard 3.0.0, `authorship/3.0.0`).
//!
//! A log has two parts: for each file, whose lines are whose; behind `---`, as JSON, who they are.
//!
//! Invariant: what somebody else has noted stays as it is, keys that we do not know included; only
//! lines that nobody is named for are added to.

use std::collections::BTreeSet;
use std::fmt::Write;

use ring::digest;
use serde_json::{Map, Value, json};

/// The ref that holds the logs.
pub const NOTES_REF: &str = "refs/notes/ai";
/// The version of the format.
const SCHEMA: &str = "authorship/3.0.0";
/// Who we are, in `agent_id`.
const TOOL: &str = "git-agent";

/// The lines of a file, by the key of who made them.
type Entries = Vec<(String, BTreeSet<usize>)>;

/// One commit's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Each file with the lines of each key.
    files: Vec<(String, Entries)>,
    about: Map<String, Value>,
}

/// Whom a log names for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An agent.
    Agent {
        /// The tool.
        tool: String,
        /// Its model.
        model: Option<String>,
        /// The conversation, as the tool calls it.
        id: String,
        /// What was asked last in it, where that is told.
        asked: Option<String>,
    },
    /// A person, as `Name <address>`.
    Person(String),
}

/// What a session did in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt<'a> {
    /// The session.
    pub session: &'a str,
    /// Its model, as people read it.
    pub model: &'a str,
    /// Who asked, as `Name <address>`.
    pub human: &'a str,
    /// The words that asked.
    pub asked: Vec<&'a str>,
    /// Lines that the commit lost.
    pub deletions: u64,
}

impl Log {
    /// A log that names nobody yet.
    pub fn new(commit: &str) -> Self {
        let about = json!({
            "schema_version": SCHEMA,
            "git_ai_version": concat!("git-agent ", env!("CARGO_PKG_VERSION")),
            "base_commit_sha": commit,
            "prompts": {},
        });
        let about = if let Value::Object(about) = about { about } else { Map::new() };
        Self { files: Vec::new(), about }
    }

    /// Reads a log; none where the note is no log of a version that we know.
    pub fn parse(note: &str) -> Option<Self> {
        let (lines, about) = match note.strip_prefix("---\n") {
            Some(about) => ("", about),
            None => note.split_once("\n---\n")?,
        };
        let Ok(Value::Object(about)) = serde_json::from_str(about) else { return None };
        let version = about.get("schema_version")?.as_str()?;
        if !version.starts_with("authorship/3.") {
            return None;
        }
        let mut log = Self { files: Vec::new(), about };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match line.strip_prefix("  ") {
                Some(entry) => {
                    let (key, ranges) = entry.split_once(' ')?;
                    let (_, entries) = log.files.last_mut()?;
                    entries.push((key.to_owned(), numbers(ranges)?));
                }
                None => log.files.push((line.trim_matches('"').to_owned(), Vec::new())),
            }
        }
        Some(log)
    }

    /// The text of the note.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (path, entries) in self.files.iter().filter(|(_, entries)| !entries.is_empty()) {
            let is_odd = path.contains(char::is_whitespace);
            let path = if is_odd { format!("\"{path}\"") } else { path.clone() };
            // Writing to a string does not fail.
            writeln!(text, "{path}").unwrap_or_default();
            for (key, lines) in entries {
                writeln!(text, "  {key} {}", ranges(lines)).unwrap_or_default();
            }
        }
        let about = serde_json::to_string_pretty(&self.about).unwrap_or_default();
        format!("{text}---\n{about}\n")
    }

    /// Whom the log names for a line, counted from 1; none where it names nobody.
    pub fn named(&self, path: &str, line: usize) -> Option<Named> {
        let (_, entries) = self.files.iter().find(|(known, _)| known == path)?;
        let (key, _) = entries.iter().rev().find(|(_, lines)| lines.contains(&line))?;
        // A session's key may go on with that of one of its turns.
        let session = key.split("::").next().unwrap_or(key);
        let about = |part: &str| self.about.get(part)?.get(session);
        if let Some(person) = about("humans") {
            return Some(Named::Person(person.get("author")?.as_str()?.to_owned()));
        }
        let prompt = about("prompts").or_else(|| about("sessions"))?;
        let agent = prompt.get("agent_id")?;
        let word = |key: &str| agent.get(key)?.as_str().map(str::to_owned);
        let asked = prompt.get("messages").and_then(Value::as_array).into_iter().flatten();
        let asked = asked.filter(|message| message.get("type").is_some_and(|it| it == "user"));
        let asked = asked.filter_map(|message| message.get("text")?.as_str()).next_back();
        Some(Named::Agent {
            tool: word("tool")?,
            model: word("model"),
            id: word("id").unwrap_or_else(|| session.to_owned()),
            asked: asked.map(str::to_owned),
        })
    }

    /// Names a session for these lines of a file, but for those that somebody is named for.
    pub fn add(&mut self, prompt: &Prompt<'_>, path: &str, lines: &[usize]) {
        let free = |line: &&usize| self.named(path, **line).is_none();
        let lines: BTreeSet<_> = lines.iter().filter(free).copied().collect();
        if lines.is_empty() {
            return;
        }
        let key = key(prompt.session);
        let count = lines.len();
        let at = self.files.iter().position(|(known, _)| known == path).unwrap_or_else(|| {
            self.files.push((path.to_owned(), Vec::new()));
            self.files.len() - 1
        });
        self.files[at].1.push((key.clone(), lines));
        let prompts = self.about.entry("prompts").or_insert_with(|| json!({}));
        let known = prompts.get(&key).and_then(|it| it.get("accepted_lines")?.as_u64());
        let accepted = known.unwrap_or_default() + count as u64;
        let message = |text: &&str| json!({"type": "user", "text": text});
        prompts[&key] = json!({
            "agent_id": {"tool": TOOL, "id": prompt.session, "model": prompt.model},
            "human_author": prompt.human,
            "messages": prompt.asked.iter().map(message).collect::<Vec<_>>(),
            "total_additions": accepted,
            "total_deletions": prompt.deletions,
            "accepted_lines": accepted,
            "overriden_lines": 0,
        });
    }
}

/// What a session is called in a log: as the standard has it.
fn key(session: &str) -> String {
    hex(format!("{TOOL}:{session}").as_bytes())[..16].to_owned()
}

/// The SHA-256 of these bytes, in hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// `1-4,9` as numbers; none where it is no such list.
fn numbers(text: &str) -> Option<BTreeSet<usize>> {
    // A file of more lines than this is no text.
    const MOST: usize = 10_000_000;
    let mut numbers = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first == 0 || last > MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn ranges(numbers: &BTreeSet<usize>) -> String {
    let parts = super::ranges(numbers.iter().copied()).into_iter();
    let part = |(first, last): (usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in the standard, with a person and a session of newer versions.
    const NOTE: &str = r#"src/main.rs
  abcd1234abcd1234 1-3,15
  h_dca485b1adf836 4
"my file.rs"
  s_a76964380084ef::t_a3a130d3e145e3 28
---
{
  "schema_version": "authorship/3.0.0",
  "git_ai_version": "1.0.23",
  "base_commit_sha": "7734793b756b3921c88db5375a8c156e9532447b",
  "prompts": {
    "abcd1234abcd1234": {
      "agent_id": {
        "tool": "cursor",
        "id": "6ef2299e",
        "model": "claude-4.5-opus"
      },
      "messages": [
        {
          "type": "user",
          "text": "Add error handling"
        },
        {
          "type": "assistant",
          "text": "I will"
        }
      ],
      "accepted_lines": 4
    }
  },
  "humans": {
    "h_dca485b1adf836": {
      "author": "Ada <a@b>"
    }
  },
  "sessions": {
    "s_a76964380084ef": {
      "agent_id": {
        "tool": "claude",
        "model": "opus"
      }
    }
  }
}
"#;

    fn agent(tool: &str, model: &str, id: &str, asked: Option<&str>) -> Option<Named> {
        let (tool, model) = (tool.to_owned(), Some(model.to_owned()));
        Some(Named::Agent { tool, model, id: id.to_owned(), asked: asked.map(str::to_owned) })
    }

    #[test]
    fn a_log_of_others_is_read_and_kept() {
        let mut log = Log::parse(NOTE).unwrap();
        let cursor = agent("cursor", "claude-4.5-opus", "6ef2299e", Some("Add error handling"));
        assert_eq!(log.named("src/main.rs", 2), cursor);
        assert_eq!(log.named("src/main.rs", 15), cursor);
        assert_eq!(log.named("src/main.rs", 4), Some(Named::Person("Ada <a@b>".to_owned())));
        assert_eq!(log.named("my file.rs", 28), agent("claude", "opus", "s_a76964380084ef", None));
        assert_eq!((log.named("src/main.rs", 14), log.named("other", 1)), (None, None));
        assert_eq!(log.text(), NOTE);
        let prompt = Prompt {
            session: "add-7f3k",
            model: "replay/x",
            human: "Ada <a@b>",
            asked: vec!["Add it"],
            deletions: 2,
        };
        log.add(&prompt, "src/main.rs", &[3, 4]);
        assert_eq!(log.text(), NOTE, "lines that somebody is named for");
        log.add(&prompt, "src/main.rs", &[3, 5, 6, 9]);
        log.add(&prompt, "new.rs", &[1]);
        let ours = agent("git-agent", "replay/x", "add-7f3k", Some("Add it"));
        let again = Log::parse(&log.text()).unwrap();
        assert_eq!(again, log);
        assert_eq!(again.named("src/main.rs", 3), cursor);
        for (path, line) in [("src/main.rs", 5), ("src/main.rs", 9), ("new.rs", 1)] {
            assert_eq!(again.named(path, line), ours);
        }
        let key = key("add-7f3k");
        assert!(log.text().contains(&format!("  {key} 5-6,9\n")), "{}", log.text());
        assert_eq!(log.about["prompts"][&key]["accepted_lines"], 4);
    }

    #[test]
    fn what_is_no_log_is_passed_over() {
        let empty = Log::new("aa").text();
        assert_eq!(Log::parse(&empty).unwrap().text(), empty);
        let note = |lines: &str, about: &str| format!("{lines}\n---\n{about}\n");
        let good = r#"{"schema_version":"authorship/3.0.0"}"#;
        assert!(Log::parse(&note("a\n  k 1", good)).is_some());
        for bad in [
            String::new(),
            "words".to_owned(),
            note("a\n  k 1", "{}"),
            note("a\n  k 1", r#"{"schema_version":"authorship/4.0.0"}"#),
            note("a\n  k", good),
            note("a\n  k 0", good),
            note("a\n  k 1-99999999999", good),
            note("a\n  k x", good),
            note("  k 1", good),
        ] {
            assert_eq!(Log::parse(&bad), None, "{bad}");
        }
    }
}
