//! Which commit each line of a file came with: `git blame`, read.
//!
//! Invariant: the lines are those of git, in its order, with what the user's configuration says of
//! revisions to pass over; no program of it is run.

use std::collections::HashMap;
use std::path::Path;

use gix::bstr::{BStr, BString, ByteSlice};

use crate::git::ObjectId;
use crate::git::command::{self, GitError};
use crate::git::object::{Identity, Time};
use crate::git::repo::Repo;

/// What is to be blamed.
#[derive(Clone, Copy, Debug)]
pub struct BlameAsk<'a> {
    /// The file, from the root of the repository.
    pub path: &'a Path,
    /// The commit in whose form; none is the file as it lies in the checkout.
    pub at: Option<ObjectId>,
    /// Commits whose history is not looked into: lines that are older stay with them.
    pub since: Option<ObjectId>,
    /// Ranges of lines, each as `git blame -L` takes it; none is all.
    pub ranges: &'a [String],
    /// Changes of blanks make no other line.
    pub ignore_blanks: bool,
    /// Lines that were moved within the file, or copied from others, are where they came from.
    pub moves: bool,
}

/// Who brought each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// The lines, in their order.
    pub lines: Vec<BlameLine>,
    /// The commits they came with.
    pub commits: HashMap<ObjectId, BlameCommit>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlameLine {
    /// The commit; null where no commit holds it yet.
    pub commit: ObjectId,
    /// The file that the line is in there.
    pub path: BString,
    /// Its number there, from 1.
    pub from: usize,
    /// Its number here, from 1.
    pub line: usize,
    /// The line, without its end.
    pub text: Vec<u8>,
}

/// A commit that lines came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlameCommit {
    /// Who wrote it, as the mailmap has them.
    pub author: Identity,
    /// When.
    pub time: Time,
    /// The first line of its message.
    pub subject: String,
    /// Whether git looked no further: the line may be older.
    pub boundary: bool,
}

impl Repo {
    /// Blames a file.
    ///
    /// # Errors
    /// git's own words: there is no such file there, or it has no such lines.
    pub fn blame(&self, ask: &BlameAsk<'_>) -> Result<Blame, GitError> {
        let cmd = self.git().args(["-c", "core.quotePath=false", "blame", "--porcelain"]);
        let cmd = cmd.arg("--no-textconv").args(ask.ranges.iter().map(|it| format!("-L{it}")));
        let flags = [(ask.ignore_blanks, "-w"), (ask.moves, "-M"), (ask.moves, "-C")];
        let cmd = cmd.args(flags.into_iter().filter(|(asked, _)| *asked).map(|(_, flag)| flag));
        let cmd = match (ask.since, ask.at) {
            (Some(since), Some(at)) => cmd.arg(format!("{since}..{at}")),
            (_, Some(at)) => cmd.arg(at.to_string()),
            (_, None) => cmd,
        };
        Ok(read(&command::succeed(&cmd.arg("--").arg(ask.path))?))
    }
}

/// Reads `git blame --porcelain`: what is said of a commit is said once, and its file again where
/// that is another.
fn read(text: &[u8]) -> Blame {
    let mut blame = Blame::default();
    let mut paths: HashMap<ObjectId, BString> = HashMap::new();
    let mut current: Option<(ObjectId, usize, usize)> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let Some((id, from, here)) = current else {
            current = header(line);
            continue;
        };
        if let Some(text) = line.strip_prefix(b"\t") {
            let path = paths.get(&id).cloned().unwrap_or_default();
            blame.lines.push(BlameLine { commit: id, path, from, line: here, text: text.to_vec() });
            current = None;
            continue;
        }
        let commit = blame.commits.entry(id).or_insert_with(|| BlameCommit {
            author: Identity { name: String::new(), email: String::new() },
            time: Time { seconds: 0, offset: 0 },
            subject: String::new(),
            boundary: false,
        });
        let (key, value) = line.split_once_str(" ").unwrap_or((line, b""));
        let text = || value.to_str_lossy().into_owned();
        match key {
            b"author" => commit.author.name = text(),
            b"author-mail" => {
                commit.author.email = text().trim_matches(['<', '>']).to_owned();
            }
            b"author-time" => commit.time.seconds = text().parse().unwrap_or_default(),
            b"author-tz" => commit.time.offset = offset(&text()),
            b"summary" => commit.subject = text(),
            b"boundary" => commit.boundary = true,
            b"filename" => drop(paths.insert(id, unquoted(value.as_bstr()))),
            _ => {}
        }
    }
    blame
}

/// `<id> <line there> <line here> [<lines that follow>]`.
fn header(line: &[u8]) -> Option<(ObjectId, usize, usize)> {
    let mut words = line.split(|byte| *byte == b' ');
    let id = ObjectId::from_hex(words.next()?).ok()?;
    let mut number = || words.next()?.to_str().ok()?.parse().ok();
    Some((id, number()?, number()?))
}

/// `+0130` in seconds.
fn offset(text: &str) -> i32 {
    let number: i32 = text.parse().unwrap_or_default();
    (number / 100 * 60 + number % 100) * 60
}

/// A path as git prints it, in quotes where it has odd characters.
fn unquoted(path: &BStr) -> BString {
    gix::quote::ansi_c::undo(path).map_or_else(|_| path.to_owned(), |(path, _)| path.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn each_line_has_its_commit_its_file_there_and_its_number() {
        let fixture = Fixture::new(&[]);
        let one = fixture.commit(&[("a \"ü\"\t.txt", "one\ntwo\nthree\nfour\nfive\n")]);
        fixture.git(&["mv", "a \"ü\"\t.txt", "b"]);
        let two = fixture.commit(&[("b", "zero\none\ntwo\nthree\nfour\nfive\n")]);
        let repo = fixture.repo();
        let all = BlameAsk {
            path: Path::new("b"),
            at: Some(two),
            since: None,
            ranges: &[],
            ignore_blanks: false,
            moves: false,
        };
        let blame = repo.blame(&all).unwrap();
        let told: Vec<_> = blame
            .lines
            .iter()
            .map(|it| (it.commit, it.path.to_string(), it.from, it.line))
            .take(3)
            .collect();
        let odd = "a \"ü\"\t.txt";
        let wanted = [(two, "b".into(), 1, 1), (one, odd.into(), 1, 2), (one, odd.into(), 2, 3)];
        assert_eq!(told, wanted);
        assert_eq!(blame.lines[0].text, b"zero");
        assert_eq!(blame.commits[&two].author.name, "Ada Person");
        assert_eq!(blame.commits[&two].author.email, "ada@example.org");
        assert!(blame.commits[&one].boundary && blame.commits[&one].subject == "a commit");
        let ranges = ["2,3".to_owned()];
        let some = repo.blame(&BlameAsk { ranges: &ranges, ..all }).unwrap();
        assert_eq!(some.lines, blame.lines[1..3]);
        let since = repo.blame(&BlameAsk { since: Some(one), ..all }).unwrap();
        assert!(since.commits[&one].boundary);
        // As it lies in the checkout.
        fs_err::write(fixture.root.join("b"), "zero\nnew\n").unwrap();
        let now = repo.blame(&BlameAsk { at: None, ..all }).unwrap();
        let ids: Vec<_> = now.lines.iter().map(|line| line.commit).collect();
        assert_eq!(ids, [two, repo.null_id()]);
        for (ask, said) in [
            (BlameAsk { path: Path::new("nope"), ..all }, format!("no such path nope in {two}")),
            (BlameAsk { ranges: &["9".to_owned()], ..all }, "file b has only 6 lines".to_owned()),
        ] {
            let refused = repo.blame(&ask).unwrap_err().to_string();
            assert_eq!(refused, said);
        }
        assert_eq!((offset("+0130"), offset("-0800")), (5_400, -28_800));
    }
}
