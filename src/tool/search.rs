//! The tool `search`: lines, files or names that match a regular expression.
//!
//! Invariant: the same tree gives the same answer, in the order of paths, however many threads
//! looked; ignored files and git's own are not searched, links are not followed.
//!
//! First all files are counted, side by side; then only those whose lines will be shown are read
//! again. So memory grows with the number of files that match, not with the number of matches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cap_std::fs::Dir;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{WalkBuilder, WalkState};

use super::Done;
use super::arguments::{Arguments, Key, Kind, Shape};
use super::output::{self, cut_line, grouped, neutral};
use super::path::{Reach, in_words};
use crate::file::open_plain;

pub(super) static SHAPE: Shape = Shape {
    name: "search",
    about: "Search files by regex (Rust syntax); skips ignored ones. Mode names matches paths.",
    keys: &[
        Key {
            name: "pattern",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["query", "regex", "regexp", "search", "q"],
        },
        Key {
            name: "path",
            kind: Kind::Text,
            required: false,
            about: "",
            aliases: &["file_path", "dir", "directory", "folder", "root"],
        },
        Key {
            name: "glob",
            kind: Kind::Text,
            required: false,
            about: "",
            aliases: &["include", "file_pattern", "includes", "file_glob"],
        },
        Key {
            name: "mode",
            kind: Kind::OneOf(&["content", "files", "count", "names"]),
            required: false,
            about: "",
            aliases: &["output_mode"],
        },
        Key {
            name: "context",
            kind: Kind::Whole,
            required: false,
            about: "lines around, at most 5",
            aliases: &["context_lines", "c"],
        },
    ],
};

const LINES: usize = 100;
const BYTES: usize = 12 << 10;
/// The longest line shown whole, in characters.
const LINE: usize = 250;
/// Files named where their lines are too many.
const FILES: usize = 30;
/// The longest line searched; a file with a longer one is reported as not searched.
const HEAP: usize = 64 << 20;
const CONTEXT: u64 = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Content,
    Files,
    Count,
    Names,
}

pub(super) async fn call(arguments: &Arguments, reach: &Reach) -> Result<Done, String> {
    let query = Query::read(arguments, reach)?;
    let stop = StopOnDrop(Arc::clone(&query.stop));
    let found = tokio::task::spawn_blocking(move || query.answer()).await;
    drop(stop);
    let (output, summary) = found.map_err(|error| format!("the search failed: {error}."))??;
    let pattern = output::line(&arguments.text("pattern")?, 60);
    Ok(Done { output, title: format!("search {pattern} · {summary}"), ..Done::default() })
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A search that is ready to run on another thread.
struct Query {
    matcher: RegexMatcher,
    across_lines: bool,
    globs: Override,
    mode: Mode,
    context: usize,
    dir: Dir,
    /// The folder `dir`, by its absolute path.
    base: PathBuf,
    /// Where to begin, relative to `dir`.
    start: PathBuf,
    /// What paths are shown with before them: nothing within the worktree.
    prefix: PathBuf,
    stop: Arc<AtomicBool>,
}

/// How many lines of each file match, and how many files could not be searched.
#[derive(Default)]
struct Counts {
    files: Mutex<BTreeMap<PathBuf, u64>>,
    unread: AtomicU64,
}

impl Query {
    fn read(arguments: &Arguments, reach: &Reach) -> Result<Self, String> {
        let mode = match arguments.text("mode")?.as_str() {
            "" | "content" | "lines" => Mode::Content,
            "files" | "files_with_matches" => Mode::Files,
            "count" | "counts" => Mode::Count,
            "names" | "paths" => Mode::Names,
            other => {
                let wanted = "content, files, count or names";
                return Err(arguments.wrong("mode", &other.into(), wanted));
            }
        };
        let pattern = arguments.text("pattern")?;
        let across_lines = pattern.contains('\n') || pattern.contains("\\n");
        let mut builder = RegexMatcherBuilder::new();
        builder.multi_line(true);
        if !across_lines {
            builder.line_terminator(Some(b'\n'));
        }
        let matcher = builder.build(&pattern).map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern is not a regular expression: {why}. Escape ( [ {{ . with \\ to mean them.")
        })?;
        let place = reach.to_read(&arguments.text("path")?)?;
        // The walk begins at the real folder: a link out of reach ends here.
        let start =
            place.dir.canonicalize(&place.path).map_err(|error| in_words(&place.shown, &error))?;
        let base = place.base.to_owned();
        let prefix = if base == reach.root() { PathBuf::new() } else { base.clone() };
        let mut globs = OverrideBuilder::new(&base);
        let glob = arguments.text("glob")?;
        if !glob.trim().is_empty() {
            globs.add(glob.trim()).map_err(|error| format!("the glob is not valid: {error}."))?;
        }
        Ok(Self {
            matcher,
            across_lines,
            globs: globs.build().map_err(|error| format!("the glob is not valid: {error}."))?,
            mode,
            context: usize::try_from(arguments.whole("context")?.unwrap_or(0).min(CONTEXT))
                .unwrap_or(0),
            dir: place.dir.try_clone().map_err(|error| in_words(&place.shown, &error))?,
            base,
            start,
            prefix,
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    /// What the model reads, and how much was found in a few words.
    fn answer(&self) -> Result<(String, String), String> {
        let counts = Counts::default();
        self.walk(&counts);
        let files = counts.files.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unread = counts.unread.into_inner();
        let lines: u64 = files.values().sum();
        let summary = match self.mode {
            Mode::Names | Mode::Files => many(files.len() as u64, "file"),
            Mode::Content | Mode::Count => {
                format!("{} in {}", many(lines, "line"), many(files.len() as u64, "file"))
            }
        };
        let mut text = match self.mode {
            _ if files.is_empty() => "nothing found\n".to_owned(),
            Mode::Content => self.content(&files, &summary),
            Mode::Files | Mode::Names => self.list(&files, LINES, |_| String::new()),
            Mode::Count => {
                let list = self.list(&files, LINES, |count| format!(": {count}"));
                format!("{summary}\n{list}")
            }
        };
        if unread > 0 {
            _ = writeln!(text, "({} could not be searched)", many(unread, "file"));
        }
        Ok((text, summary))
    }

    fn walk(&self, counts: &Counts) {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
        let mut walk = WalkBuilder::new(self.base.join(&self.start));
        walk.hidden(false).threads(threads).filter_entry(|entry| entry.file_name() != ".git");
        walk.build_parallel().run(|| {
            let mut searcher = self.searcher(0);
            Box::new(move |entry| {
                if self.stop.load(Ordering::Relaxed) {
                    return WalkState::Quit;
                }
                let Ok(entry) = entry else {
                    counts.unread.fetch_add(1, Ordering::Relaxed);
                    return WalkState::Continue;
                };
                if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                    return WalkState::Continue;
                }
                let Ok(path) = entry.path().strip_prefix(&self.base) else {
                    return WalkState::Continue;
                };
                if !self.globs.is_empty() && !self.passes_globs(entry.path()) {
                    return WalkState::Continue;
                }
                match self.count(&mut searcher, path) {
                    Ok(0) => {}
                    Ok(count) => {
                        let mut files = counts.files.lock().unwrap_or_else(PoisonError::into_inner);
                        files.insert(path.to_owned(), count);
                    }
                    Err(_) => {
                        counts.unread.fetch_add(1, Ordering::Relaxed);
                    }
                }
                WalkState::Continue
            })
        });
    }

    fn passes_globs(&self, path: &Path) -> bool {
        let matched = self.globs.matched(path, false);
        matched.is_whitelist() || (matched.is_none() && self.globs.num_whitelists() == 0)
    }

    fn count(&self, searcher: &mut Searcher, path: &Path) -> std::io::Result<u64> {
        if self.mode == Mode::Names {
            use grep_matcher::Matcher;
            let name = path.to_string_lossy();
            return Ok(u64::from(self.matcher.is_match(name.as_bytes()).unwrap_or(false)));
        }
        let file = open_plain(&self.dir, path)?;
        let mut sink = Counter { lines: 0, first_only: self.mode == Mode::Files };
        searcher.search_file(&self.matcher, &file, &mut sink)?;
        Ok(sink.lines)
    }

    fn content(&self, files: &BTreeMap<PathBuf, u64>, summary: &str) -> String {
        let mut sink = Lines { text: String::new(), lines: 0, full: false, name: String::new() };
        let mut searcher = self.searcher(self.context);
        for path in files.keys() {
            sink.name = self.shown(path);
            let searched = open_plain(&self.dir, path)
                .and_then(|file| searcher.search_file(&self.matcher, &file, &mut sink));
            if let Err(error) = searched {
                _ = writeln!(sink.text, "{}: {error}", sink.name);
            }
            if sink.full {
                break;
            }
        }
        if sink.full {
            let list = self.list(files, FILES, |count| format!(": {count}"));
            _ = write!(
                sink.text,
                "… cut: {summary}; narrow it by path or glob. Lines by file:\n{list}"
            );
        }
        sink.text
    }

    fn list(
        &self,
        files: &BTreeMap<PathBuf, u64>,
        most: usize,
        after: impl Fn(u64) -> String,
    ) -> String {
        let mut text = String::new();
        for (path, count) in files.iter().take(most) {
            _ = writeln!(text, "{}{}", self.shown(path), after(*count));
        }
        if files.len() > most {
            _ = writeln!(text, "… and {}", many((files.len() - most) as u64, "more file"));
        }
        text
    }

    fn shown(&self, path: &Path) -> String {
        let path = self.prefix.join(path);
        path.to_string_lossy().chars().map(neutral).collect()
    }

    fn searcher(&self, context: usize) -> Searcher {
        SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(0))
            .multi_line(self.across_lines)
            .heap_limit(Some(HEAP))
            .before_context(context)
            .after_context(context)
            .build()
    }
}

struct Counter {
    lines: u64,
    first_only: bool,
}

impl Sink for Counter {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        self.lines += found.lines().count() as u64;
        Ok(!self.first_only)
    }
}

/// Lines as they are shown: `path:12: text`, and `path-11- text` for what is around.
struct Lines {
    text: String,
    lines: usize,
    full: bool,
    name: String,
}

impl Lines {
    fn add(&mut self, number: Option<u64>, mark: char, bytes: &[u8]) -> bool {
        let line = String::from_utf8_lossy(bytes);
        let line: String = line.trim_end_matches(['\n', '\r']).chars().map(neutral).collect();
        let line = cut_line(&line, LINE).unwrap_or(line);
        let line = format!("{}{mark}{}{mark} {line}\n", self.name, number.unwrap_or(0));
        if self.lines == LINES || self.text.len() + line.len() > BYTES {
            self.full = true;
            return false;
        }
        self.text.push_str(&line);
        self.lines += 1;
        true
    }
}

impl Sink for Lines {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        let first = found.line_number();
        let mut numbered = (0..).map(|index| first.map(|first| first + index)).zip(found.lines());
        Ok(numbered.all(|(number, line)| self.add(number, ':', line)))
    }

    fn context(&mut self, _: &Searcher, around: &SinkContext<'_>) -> Result<bool, Self::Error> {
        Ok(self.add(around.line_number(), '-', around.bytes()))
    }
}

fn many(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use serde_json::json;

    use super::super::tests::{Fixture, fixture};

    fn tree() -> Fixture {
        let fixture = fixture();
        fixture.put(".git", "gitdir: elsewhere needle\n");
        fixture.put(".gitignore", "ignored/\n*.log\n");
        fixture.put(".hidden", "needle\n");
        fixture.put("ignored/a.rs", "needle\n");
        fixture.put("b.log", "needle\n");
        fixture.put("binary", b"needle\0needle\n");
        fixture.put("src/a.rs", "one\nneedle 1\nthree\nneedle 2\n");
        fixture.put("src/b.py", "needle\n");
        fixture
    }

    #[tokio::test]
    async fn lines_files_counts_and_names_are_found() {
        let fixture = tree();
        let search = |arguments| fixture.good("search", arguments);
        assert_eq!(
            search(json!({"pattern": "needle"})).await,
            ".hidden:1: needle\nsrc/a.rs:2: needle 1\nsrc/a.rs:4: needle 2\nsrc/b.py:1: needle\n"
        );
        assert_eq!(
            search(json!({"pattern": "needle", "mode": "files"})).await,
            ".hidden\nsrc/a.rs\nsrc/b.py\n"
        );
        assert_eq!(
            search(json!({"pattern": "needle", "mode": "count", "path": "src"})).await,
            "3 lines in 2 files\nsrc/a.rs: 2\nsrc/b.py: 1\n"
        );
        assert_eq!(search(json!({"pattern": r"\.py$", "mode": "names"})).await, "src/b.py\n");
        assert_eq!(search(json!({"query": "absent"})).await, "nothing found\n");
    }

    #[tokio::test]
    async fn it_is_narrowed_by_glob_and_path_and_shows_what_is_around() {
        let fixture = tree();
        let search = |arguments| fixture.good("search", arguments);
        assert_eq!(
            search(json!({"pattern": "needle", "glob": "*.{py,log}"})).await,
            "src/b.py:1: needle\n"
        );
        assert_eq!(
            search(json!({"pattern": "needle", "glob": "!*.rs", "mode": "files"})).await,
            ".hidden\nsrc/b.py\n"
        );
        assert_eq!(
            search(json!({"pattern": "needle 1", "path": "src/a.rs", "context": 1})).await,
            "src/a.rs-1- one\nsrc/a.rs:2: needle 1\nsrc/a.rs-3- three\n"
        );
        assert_eq!(
            search(json!({"pattern": "^one\\nneedle"})).await,
            "src/a.rs:1: one\nsrc/a.rs:2: needle 1\n"
        );
        // Named outright, an ignored folder is searched.
        assert_eq!(
            search(json!({"pattern": "needle", "path": "ignored"})).await,
            "ignored/a.rs:1: needle\n"
        );
    }

    #[tokio::test]
    async fn too_much_is_cut_and_counted_by_file() {
        let fixture = fixture();
        for file in 0..40 {
            fixture.put(&format!("f{file:02}"), "needle\n".repeat(50));
        }
        let found = fixture.good("search", json!({"pattern": "needle"})).await;
        let lines: Vec<_> = found.lines().collect();
        assert_eq!(lines[99], "f01:50: needle");
        assert_eq!(
            lines[100],
            "… cut: 2,000 lines in 40 files; narrow it by path or glob. Lines by file:"
        );
        assert_eq!(lines[101], "f00: 50");
        assert_eq!(lines[131], "… and 10 more files");
        assert_eq!(lines.len(), 132);
        fixture.put("wide", format!("{}needle\n", "x".repeat(2000)).repeat(100));
        let found = fixture.good("search", json!({"pattern": "needle", "path": "wide"})).await;
        assert!(found.len() < 13 << 10, "{}", found.len());
    }

    #[tokio::test]
    async fn what_cannot_be_searched_is_said() {
        let fixture = tree();
        let refused = fixture.bad("search", json!({"pattern": "foo("})).await;
        assert!(refused.starts_with("the pattern is not a regular expression: "), "{refused}");
        assert!(refused.contains("unclosed group"), "{refused}");
        let refused = fixture.bad("search", json!({"pattern": "x", "glob": "a{b"})).await;
        assert!(refused.starts_with("the glob is not valid: "), "{refused}");
        let refused = fixture.bad("search", json!({"pattern": "x", "path": "absent"})).await;
        assert_eq!(refused, "absent does not exist.\n");
        let refused = fixture.bad("search", json!({"pattern": "x", "mode": "all"})).await;
        assert!(refused.contains("mode is \"all\", not content, files, count or names"));
        fs::remove_file(fixture.path("src/a.rs")).unwrap();
    }
}
