//! Reports of coverage: lcov, Cobertura's XML, llvm-cov's JSON; known by what is in them.
//!
//! Invariant: a report says how many lines there are and how many were run, or it is refused; none
//! is believed that the run which is to be measured did not write.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quick_xml::events::{BytesStart, Event};
use serde::Deserialize;

/// A larger report is none, in bytes.
const LARGEST: u64 = 256 << 20;

/// Where reports usually are, from the root of the worktree.
const USUAL: [&str; 16] = [
    "lcov.info",
    "coverage.lcov",
    "coverage/lcov.info",
    "target/lcov.info",
    "target/llvm-cov/lcov.info",
    "target/coverage/lcov.info",
    "build/lcov.info",
    "coverage.xml",
    "cobertura.xml",
    "coverage/cobertura.xml",
    "coverage/cobertura-coverage.xml",
    "target/cobertura.xml",
    "build/coverage.xml",
    "coverage.json",
    "target/llvm-cov/coverage.json",
    "target/coverage.json",
];

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Lines that could be run.
    pub all: u64,
    /// Of these, lines that were.
    pub run: u64,
}

/// Why there is no number.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// None of the usual ones was written.
    #[error("the run wrote no report of coverage where one usually is")]
    None,
    /// The one that was named is not there.
    #[error("there is no report at {0}")]
    Missing(String),
    /// It is there, and was before.
    #[error("{0} is older than the run: it was not written by it")]
    Stale(String),
    /// It makes no sense.
    #[error("{path} is no report of coverage that can be read: {why}")]
    Unreadable {
        /// Where it is, from the root.
        path: String,
        /// Why, in a few words.
        why: String,
    },
}

/// Looks for the report of a run that is about to begin.
#[derive(Debug)]
pub struct Watch {
    root: PathBuf,
    /// The only place to look at, where one was named.
    named: Option<String>,
    before: BTreeMap<String, Stamp>,
}

/// What changes with each writing of a file.
type Stamp = (u64, u64, Option<SystemTime>);

impl Watch {
    /// Before the run.
    pub fn begin(root: &Path, named: Option<&str>) -> Self {
        let mut watch = Self {
            root: root.to_owned(),
            named: named.map(str::to_owned),
            before: BTreeMap::new(),
        };
        watch.before = watch.standing().into_iter().collect();
        watch
    }

    /// What the run's report says, and where it is; of several the first usual place.
    ///
    /// # Errors
    /// The run wrote none, or none that can be read.
    pub fn end(&self) -> Result<(Lines, String), CoverageError> {
        let standing = self.standing();
        let fresh = standing.iter().find(|(path, stamp)| self.before.get(path) != Some(stamp));
        let path = match (fresh, standing.first(), &self.named) {
            (Some((path, _)), _, _) => path,
            (None, Some((path, _)), _) => return Err(CoverageError::Stale(path.clone())),
            (None, None, Some(named)) => return Err(CoverageError::Missing(named.clone())),
            (None, None, None) => return Err(CoverageError::None),
        };
        let unreadable = |why: String| CoverageError::Unreadable { path: path.clone(), why };
        let bytes = self.read(path).map_err(|error| unreadable(error.to_string()))?;
        let lines = parse(&bytes).map_err(unreadable)?;
        Ok((lines, path.clone()))
    }

    /// Reads a file of the worktree, and none that a folder in it only leads to.
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let root = std::fs::canonicalize(&self.root)?;
        let path = self.root.join(path);
        let folder = path.parent().map(std::fs::canonicalize).transpose()?;
        if !folder.is_some_and(|folder| folder.starts_with(&root)) {
            return Err(io::Error::other("it is outside the worktree"));
        }
        read(&path)
    }

    fn standing(&self) -> Vec<(String, Stamp)> {
        let usual = USUAL.iter().map(|path| (*path).to_owned());
        let places: Vec<_> = match &self.named {
            Some(named) => vec![named.clone()],
            None => usual.collect(),
        };
        let stamp = |path: String| {
            let meta = fs_err::symlink_metadata(self.root.join(&path)).ok()?;
            Some((path, (meta.ino(), meta.len(), meta.modified().ok())))
        };
        places.into_iter().filter_map(stamp).collect()
    }
}

impl Lines {
    /// The share that was run, in per cent.
    #[expect(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
    pub fn percent(self) -> f64 {
        self.run as f64 * 100.0 / self.all as f64
    }
}

/// Reads a file that the work wrote, whose name may be a trap: a link to elsewhere, a pipe.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (no_follow, no_wait) = (rustix::fs::OFlags::NOFOLLOW, rustix::fs::OFlags::NONBLOCK);
    let flags = i32::try_from((no_follow | no_wait).bits()).map_err(io::Error::other)?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    // Its name is said by who asked.
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::other("it is a symbolic link")
        }
        _ => error,
    })?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// What a report says, in whichever format it is.
///
/// # Errors
/// It is in none that is known here, is damaged, or counts no line; in a few words.
pub fn parse(bytes: &[u8]) -> Result<Lines, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lines = match text.as_bytes().first() {
        None => return Err("it is empty".to_owned()),
        Some(b'{') => llvm(text)?,
        Some(b'<') => cobertura(text)?,
        Some(_) => lcov(text)?,
    };
    match lines {
        Lines { all: 0, .. } => Err("it counts no line".to_owned()),
        Lines { all, run } if run > all => Err("more lines were run than there are".to_owned()),
        lines => Ok(lines),
    }
}

/// `SF:` begins a file, `DA:<line>,<count>` tells of a line, `end_of_record` ends it. A file may
/// come again for another test. Where there are no lines, `LF:` and `LH:` count them.
fn lcov(text: &str) -> Result<Lines, String> {
    let mut lines: BTreeMap<(&str, u64), bool> = BTreeMap::new();
    let mut counted: BTreeMap<&str, Lines> = BTreeMap::new();
    let mut file = None;
    for (at, line) in text.lines().enumerate() {
        let bad = || format!("line {} makes no sense", at + 1);
        let line = line.trim();
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match (key, file) {
            ("SF", None) if !value.is_empty() => file = Some(value),
            ("end_of_record", Some(_)) => file = None,
            ("DA", Some(file)) => {
                let mut parts = value.split(',');
                let number = parts.next().and_then(|it| it.parse().ok()).ok_or_else(bad)?;
                let count: f64 = parts.next().and_then(|it| it.parse().ok()).ok_or_else(bad)?;
                *lines.entry((file, number)).or_default() |= count > 0.0;
            }
            ("LF" | "LH", Some(file)) => {
                let count: u64 = value.parse().map_err(|_| bad())?;
                let known = counted.entry(file).or_insert(Lines { all: 0, run: 0 });
                let known = if key == "LF" { &mut known.all } else { &mut known.run };
                *known = count.max(*known);
            }
            ("SF" | "end_of_record" | "DA" | "LF" | "LH", _) => return Err(bad()),
            ("", _) => {}
            // Functions, branches and what else there is. A line that is none of lcov's is no report.
            (key, _) if key.bytes().all(|it| it.is_ascii_uppercase() || it == b'_') => {}
            (key, _) if key.starts_with('#') => {}
            _ => return Err(bad()),
        }
    }
    if file.is_some() {
        return Err("it ends in the middle".to_owned());
    }
    let mut sum = Lines { all: 0, run: 0 };
    for was_run in lines.values() {
        sum.all += 1;
        sum.run += u64::from(*was_run);
    }
    let has_lines = |file: &str| lines.range((file, 0)..=(file, u64::MAX)).next().is_some();
    for known in counted.iter().filter(|(file, _)| !has_lines(file)).map(|(_, known)| known) {
        sum.all += known.all;
        sum.run += known.run;
    }
    Ok(sum)
}

/// The totals of the root, or, in reports without them, each line of each file.
fn cobertura(text: &str) -> Result<Lines, String> {
    let bad = |error: &dyn std::fmt::Display| format!("its XML is damaged: {error}");
    let mut reader = quick_xml::Reader::from_str(text);
    let mut totals = None;
    let mut file = String::new();
    let mut lines: BTreeMap<(String, u64), bool> = BTreeMap::new();
    let (mut depth, mut has_root) = (0_u32, false);
    loop {
        let event = reader.read_event().map_err(|error| bad(&error))?;
        let (tag, opens) = match &event {
            Event::Start(tag) => (tag, true),
            Event::Empty(tag) => (tag, false),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let is_root = depth == 0 && !has_root;
        depth += u32::from(opens);
        match tag.name().as_ref() {
            "coverage" if is_root => {
                has_root = true;
                let number = |name: &str| {
                    let value = attribute(tag, name).map_err(|error| bad(&error))?;
                    Ok::<_, String>(value.and_then(|it| it.parse().ok()))
                };
                totals = number("lines-valid")?.zip(number("lines-covered")?);
            }
            _ if is_root => return Err("its XML is not Cobertura's".to_owned()),
            "class" => {
                let name = attribute(tag, "filename").map_err(|error| bad(&error))?;
                file = name.unwrap_or_default();
            }
            "line" => {
                let number = attribute(tag, "number").map_err(|error| bad(&error))?;
                let hits = attribute(tag, "hits").map_err(|error| bad(&error))?;
                let number = number.and_then(|it| it.parse().ok());
                let hits = hits.and_then(|it| it.parse::<f64>().ok());
                if let Some((number, hits)) = number.zip(hits) {
                    *lines.entry((file.clone(), number)).or_default() |= hits > 0.0;
                }
            }
            _ => {}
        }
    }
    if !has_root || depth > 0 {
        return Err("its XML ends in the middle".to_owned());
    }
    Ok(match totals {
        Some((all, run)) => Lines { all, run },
        None => Lines {
            all: lines.len() as u64,
            run: lines.values().filter(|was_run| **was_run).count() as u64,
        },
    })
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, quick_xml::Error> {
    let found = tag.try_get_attribute(name)?;
    Ok(found.map(|it| it.value.into_owned()))
}

/// `llvm-cov export`: the totals of each of its programs.
fn llvm(text: &str) -> Result<Lines, String> {
    #[derive(Deserialize)]
    struct Report {
        #[serde(rename = "type")]
        kind: String,
        data: Vec<Program>,
    }
    #[derive(Deserialize)]
    struct Program {
        totals: Totals,
    }
    #[derive(Deserialize)]
    struct Totals {
        lines: Counted,
    }
    #[derive(Deserialize)]
    struct Counted {
        count: u64,
        covered: u64,
    }
    let report: Report = serde_json::from_str(text)
        .map_err(|error| format!("its JSON is not llvm-cov's: {error}"))?;
    if report.kind != "llvm.coverage.json.export" {
        return Err(format!("its JSON is '{}', not llvm-cov's", report.kind));
    }
    let totals = report.data.iter().map(|program| &program.totals.lines);
    Ok(totals.fold(Lines { all: 0, run: 0 }, |sum, lines| Lines {
        all: sum.all.saturating_add(lines.count),
        run: sum.run.saturating_add(lines.covered),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LCOV: &str = "TN:\nSF:src/a.rs\nFN:1,main\nFNF:1\nDA:1,5\nDA:2,0\nDA:3,1,abc\nLF:3\nLH:2\n\
                        end_of_record\nSF:src/a.rs\nDA:2,1\nend_of_record\nSF:b\nLF:10\nLH:4\nend_of_record\n";

    fn said(text: &str) -> Result<(u64, u64), String> {
        parse(text.as_bytes()).map(|Lines { run, all }| (run, all))
    }

    #[test]
    fn each_format_is_known_by_what_is_in_it() {
        assert_eq!(said(LCOV), Ok((7, 13)));
        let xml = r#"<?xml version="1.0" ?><!DOCTYPE coverage SYSTEM "http://x/coverage-04.dtd">
            <coverage lines-valid="8" lines-covered="6" line-rate="0.75" version="1"><packages/></coverage>"#;
        assert_eq!(said(xml), Ok((6, 8)));
        let xml = r#"<coverage line-rate="0.5"><packages><package><classes>
            <class filename="a&amp;b"><methods><method><lines><line number="1" hits="1"/></lines></method></methods>
            <lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class>
            <class filename="c"><lines><line number="1" hits="0"/></lines></class>
            </classes></package></packages></coverage>"#;
        assert_eq!(said(xml), Ok((1, 3)));
        let json = r#"{"data":[{"files":[],"totals":{"lines":{"count":40,"covered":30,"percent":75.0}}}],
            "type":"llvm.coverage.json.export","version":"2.0.1"}"#;
        assert_eq!(said(json), Ok((30, 40)));
        assert_eq!(parse(json.as_bytes()).unwrap().percent(), 75.0);
    }

    #[test]
    fn what_cannot_be_read_is_never_a_number() {
        for bad in [
            "",
            " \n",
            "hello",
            "SF:a\nDA:1,1\n",
            "SF:a\nDA:x,1\nend_of_record\n",
            "DA:1,1\n",
            "SF:a\nend_of_record\n",
            "SF:a\nLF:1\nLH:2\nend_of_record\n",
            "{}",
            r#"{"type":"llvm.coverage.json.export","data":[]}"#,
            r#"{"type":"other","data":[]}"#,
            r#"{"type":"llvm.coverage.json.export","data":[{"totals":{"lines":{"count":1,"covered":-1}}}]}"#,
            "<html></html>",
            "<coverage",
            "<coverage>",
            "<coverage></coverage>",
            r#"<coverage lines-valid="0" lines-covered="0"/>"#,
            r#"<coverage lines-valid="3" lines-covered="4"/>"#,
        ] {
            assert!(said(bad).is_err(), "{bad}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn only_what_the_run_wrote_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let end = |named: Option<&str>, run: &dyn Fn()| {
            let watch = Watch::begin(root, named);
            run();
            watch.end().map(|(lines, path)| (lines.run, path)).map_err(|error| error.to_string())
        };
        let nothing = || {};
        assert!(end(None, &nothing).unwrap_err().starts_with("the run wrote no report"));
        assert_eq!(end(Some("a/b"), &nothing).unwrap_err(), "there is no report at a/b");
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            // As tools write that do not write in place.
            fs_err::write(path.with_extension("new"), text).unwrap();
            fs_err::rename(path.with_extension("new"), path).unwrap();
        };
        write("lcov.info", LCOV);
        assert!(end(None, &nothing).unwrap_err().starts_with("lcov.info is older than the run"));
        let both = || write("coverage.xml", r#"<coverage lines-valid="8" lines-covered="6"/>"#);
        assert_eq!(end(None, &both).unwrap(), (6, "coverage.xml".to_owned()));
        assert_eq!(end(None, &|| write("lcov.info", LCOV)).unwrap(), (7, "lcov.info".to_owned()));
        let trap = || {
            fs_err::remove_file(root.join("lcov.info")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", root.join("lcov.info")).unwrap();
        };
        assert!(end(None, &trap).unwrap_err().ends_with("it is a symbolic link"));
        let pipe = || drop(crate::process::Cmd::new("mkfifo").arg(root.join("p")).run().unwrap());
        assert!(end(Some("p"), &pipe).unwrap_err().ends_with("it is no file"));
    }
}
