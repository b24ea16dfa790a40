//! What a note on a commit says: who made it, with what, at what price, and whether it was checked.
//!
//! Invariant: a note reads well below `git log --notes=agent`, and `git interpret-trailers --parse`
//! gives its keys back.

use std::fmt::Write;

use crate::event::VerifyRecord;
use crate::git;
use crate::message::Usage;

/// The ref that holds the notes.
pub const NOTES_REF: &str = "refs/notes/agent";

/// What stands for the command of a session that has none; no exit code follows it.
pub const NO_VERIFY: &str = "none";

/// The agent that is this program's own.
pub const BUILTIN: &str = "builtin";

/// What a note says, key by key, in order: of each of its blocks, since git joins the notes of
/// commits that were made one (`notes.rewriteMode`) with an empty line between.
pub fn keys(note: &str) -> Vec<(String, String)> {
    let paragraphs = note.split("\n\n").map(|paragraph| paragraph.trim_matches('\n'));
    // A block of trailers is not the first paragraph of a message.
    paragraphs.flat_map(|paragraph| git::parse(&format!("note\n\n{paragraph}\n"))).collect()
}

/// What is noted on one commit.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// The session's id.
    pub session: &'a str,
    /// The agent that worked: `builtin`, or the name of another.
    pub agent: &'a str,
    /// Its model, `anthropic/claude-…`.
    pub model: &'a str,
    /// The step; none on a commit that holds the whole session.
    pub step: Option<u32>,
    /// Tokens it took.
    pub usage: Usage,
    /// US dollars; none if the price is unknown.
    pub cost_usd: Option<f64>,
    /// The verify run on the commit's tree, if there was one.
    pub verify: Option<&'a VerifyRecord>,
    /// Whether the session has verify commands at all.
    pub is_verified: bool,
}

impl Note<'_> {
    /// The text: a title, an empty line, and one `Key: value` a line.
    pub fn text(&self) -> String {
        let mut text = match self.step {
            Some(step) => format!("Step {step} of {}\n\n", self.session),
            None => format!("Work of {}\n\n", self.session),
        };
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            // A value with a line end in it would be two trailers.
            let value = value.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            // Writing to a string does not fail.
            writeln!(text, "{key}: {value}").unwrap_or_default();
        };
        line("Agent-Session", &self.session);
        line("Agent", &self.agent);
        line("Model", &self.model);
        if let Some(step) = self.step {
            line("Step", &step);
        }
        let Usage { input, cached, cache_write: _, output } = self.usage;
        line("Tokens", &format_args!("{input} in ({cached} cached), {output} out"));
        match self.cost_usd {
            Some(cost) => line("Cost", &format_args!("${cost:.4}")),
            None => line("Cost", &"?"),
        }
        if let Some(verify) = self.verify {
            line("Verify", &verify.command);
            line("Verify-Exit", &verify.exit);
            line("Verify-Tree", &verify.tree);
        } else if !self.is_verified {
            line("Verify", &NO_VERIFY);
        }
        text
    }
}

/// A note that tells of this verify instead of an earlier one; of a commit without a note nothing
/// else, so that it names nobody.
pub fn verified_again(before: Option<&str>, session: &str, verify: &VerifyRecord) -> String {
    let is_verify = |line: &&str| line.starts_with("Verify:") || line.starts_with("Verify-");
    let mut text = match before {
        Some(before) => {
            before.lines().filter(|line| !is_verify(line)).collect::<Vec<_>>().join("\n")
        }
        None => format!("Verified again for {session}\n"),
    };
    let command = verify.command.split_whitespace().collect::<Vec<_>>().join(" ");
    let VerifyRecord { exit, tree, .. } = verify;
    // Writing to a string does not fail.
    writeln!(text, "\nVerify: {command}\nVerify-Exit: {exit}\nVerify-Tree: {tree}")
        .unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Cmd;

    #[test]
    fn git_reads_every_key_of_a_note_back() {
        let verify = VerifyRecord {
            command: "cargo test &&\ncargo doc".to_owned(),
            exit: 101,
            millis: 5,
            tree: "aa11".to_owned(),
            output: String::new(),
            gate: None,
        };
        let note = Note {
            session: "add-7f3k",
            agent: BUILTIN,
            model: "anthropic/claude",
            step: Some(3),
            usage: Usage { input: 1200, cached: 900, cache_write: 10, output: 34 },
            cost_usd: None,
            verify: Some(&verify),
            is_verified: true,
        };
        let parse = Cmd::new("git").args(["interpret-trailers", "--parse"]).stdin(note.text());
        let parsed = String::from_utf8(parse.run().unwrap().stdout).unwrap();
        let want = "Agent-Session: add-7f3k\nAgent: builtin\nModel: anthropic/claude\nStep: 3\n\
             Tokens: 1200 in (900 cached), 34 out\nCost: ?\nVerify: cargo test && cargo doc\n\
             Verify-Exit: 101\nVerify-Tree: aa11\n";
        assert_eq!(parsed, want);
        let priced = Note { cost_usd: Some(0.0412), step: None, verify: None, ..note }.text();
        assert!(priced.starts_with("Work of add-7f3k\n\n"), "{priced}");
        assert!(priced.ends_with("Cost: $0.0412\n"), "{priced}");
        let other = VerifyRecord { exit: 0, tree: "bb22".to_owned(), ..verify.clone() };
        let parse = |text: String| {
            let parse = Cmd::new("git").args(["interpret-trailers", "--parse"]).stdin(text);
            String::from_utf8(parse.run().unwrap().stdout).unwrap()
        };
        let again = parse(verified_again(Some(&note.text()), "add-7f3k", &other));
        assert_eq!(again, want.replace("101", "0").replace("aa11", "bb22"));
        let alone = parse(verified_again(None, "add-7f3k", &other));
        let verify_only = "Verify: cargo test && cargo doc\nVerify-Exit: 0\nVerify-Tree: bb22\n";
        assert_eq!(alone, verify_only);
        let unchecked = Note { verify: None, is_verified: false, ..note }.text();
        assert!(unchecked.ends_with("Cost: ?\nVerify: none\n"), "{unchecked}");
    }
}
