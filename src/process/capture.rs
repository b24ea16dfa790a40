//! What a child prints, kept in bounded memory: the beginning, the end, and all of it in a file.
//!
//! Invariant: memory stays under half a megabyte however much is printed, and no byte of a
//! [`Snapshot`] is invented: what lies between head and tail is counted.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::redact;

/// Bytes kept from the beginning.
const HEAD: usize = 64 << 10;
/// Bytes kept from the end, at least; twice as many at most.
const TAIL: usize = 128 << 10;
/// Bytes that go to the file at most, so that a runaway program does not fill the disk.
pub const LOG_LIMIT: u64 = 256 << 20;

/// The output of one child, as it grows.
#[derive(Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: Vec<u8>,
    total: u64,
    lines: u64,
    log_path: PathBuf,
    log: Log,
}

#[derive(Debug)]
enum Log {
    /// Everything still fits in memory.
    Unneeded,
    Open(Box<LogFile>),
    /// The file could not be made or written: what the system said.
    Failed(String),
}

/// The whole output, in a file and without secrets.
#[derive(Debug)]
struct LogFile {
    file: File,
    stream: redact::Stream,
    /// What nothing that comes can change, in bytes.
    settled: u64,
    /// Whether there is more in the file than that.
    is_open: bool,
}

impl LogFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = fs::File::create(path)?.into_parts().0;
        Ok(Self { file, stream: redact::Stream::new(), settled: 0, is_open: false })
    }

    /// Writes it at once, what is still open included: who reads the file sees all there is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let clean = self.stream.push(bytes);
        if self.is_open {
            self.file.set_len(self.settled)?;
            self.file.seek(SeekFrom::Start(self.settled))?;
        }
        self.file.write_all(&clean)?;
        self.settled += clean.len() as u64;
        let rest = self.stream.rest();
        self.is_open = !rest.is_empty();
        self.file.write_all(&rest)
    }
}

/// A part of the output: its first bytes, then a gap, then its last bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The first bytes; all of them, where the gap is 0.
    pub head: Vec<u8>,
    /// Bytes between `head` and `tail` that memory no longer holds.
    pub gap: u64,
    /// Line ends among the bytes of the gap.
    pub gap_lines: u64,
    /// The last bytes.
    pub tail: Vec<u8>,
    /// Where the part ends, in bytes from the beginning of the output.
    pub end: u64,
}

impl Capture {
    /// An empty output, whose file will be `log_path` once one is needed.
    pub fn new(log_path: PathBuf) -> Self {
        Self {
            head: Vec::new(),
            tail: Vec::new(),
            total: 0,
            lines: 0,
            log_path,
            log: Log::Unneeded,
        }
    }

    /// Adds what was printed.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.log, Log::Unneeded) && self.head.len() + bytes.len() > HEAD {
            self.open_log();
        }
        self.write_log(bytes);
        self.total += bytes.len() as u64;
        self.lines += count_lines(bytes);
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(first);
        if self.tail.len() + rest.len() > 2 * TAIL {
            let kept = rest.len().min(TAIL);
            let old = self.tail.len().min(TAIL - kept);
            self.tail.drain(..self.tail.len() - old);
            self.tail.extend_from_slice(&rest[rest.len() - kept..]);
        } else {
            self.tail.extend_from_slice(rest);
        }
    }

    /// Makes sure that the file exists and holds all that was printed so far.
    ///
    /// # Errors
    /// What the system said, where it could not be written.
    pub fn keep(&mut self) -> Result<&Path, &str> {
        if matches!(self.log, Log::Unneeded) {
            self.open_log();
        }
        match &self.log {
            Log::Failed(why) => Err(why),
            Log::Unneeded | Log::Open(_) => Ok(&self.log_path),
        }
    }

    /// Bytes printed so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What was printed after the first `from` bytes.
    pub fn since(&self, from: u64) -> Snapshot {
        let head_end = self.head.len() as u64;
        let tail_start = self.total - self.tail.len() as u64;
        let head = &self.head[usize_of(from.min(head_end))..];
        let tail = &self.tail[usize_of(from.max(tail_start) - tail_start)..];
        let gap = tail_start.saturating_sub(from.max(head_end));
        // Only a reader that lags behind by more than the tail sees a gap begin after the head;
        // the lines before `from` are then part of the count, which errs on the side of more.
        let gap_lines = if gap == 0 {
            0
        } else {
            self.lines - count_lines(&self.head) - count_lines(&self.tail)
        };
        Snapshot { head: head.to_vec(), gap, gap_lines, tail: tail.to_vec(), end: self.total }
    }

    fn open_log(&mut self) {
        let opened = LogFile::create(&self.log_path).and_then(|mut file| {
            file.write(&self.head)?;
            Ok(file)
        });
        self.log = match opened {
            Ok(file) => Log::Open(Box::new(file)),
            Err(error) => Log::Failed(error.to_string()),
        };
    }

    fn write_log(&mut self, bytes: &[u8]) {
        let Log::Open(file) = &mut self.log else { return };
        let room = LOG_LIMIT.saturating_sub(self.total).min(bytes.len() as u64);
        if let Err(error) = file.write(&bytes[..usize_of(room)]) {
            self.log = Log::Failed(error.to_string());
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// A length that is known to be one of something in memory.
fn usize_of(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_output_stays_in_memory_until_a_file_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.log");
        let mut capture = Capture::new(path.clone());
        capture.push(b"one\ntwo\n");
        assert!(!path.exists());
        assert_eq!(capture.keep(), Ok(path.as_path()));
        capture.push(b"three\n");
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(
            capture.since(4),
            Snapshot { head: b"two\nthree\n".to_vec(), end: 14, ..Snapshot::default() }
        );
    }

    #[test]
    fn much_output_keeps_both_ends_counts_the_middle_and_is_whole_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.log");
        let mut capture = Capture::new(path.clone());
        let mut all = Vec::new();
        for number in 0..200_000 {
            let line = format!("line {number}\n");
            capture.push(line.as_bytes());
            all.extend_from_slice(line.as_bytes());
        }
        assert_eq!(fs::read(&path).unwrap(), all);
        let snapshot = capture.since(0);
        let gap_end = all.len() - snapshot.tail.len();
        assert!(snapshot.tail.len() >= TAIL && snapshot.tail.len() <= 2 * TAIL);
        assert_eq!(snapshot.head, all[..HEAD]);
        assert_eq!(snapshot.tail, all[gap_end..]);
        assert_eq!(snapshot.gap, (gap_end - HEAD) as u64);
        assert_eq!(snapshot.gap_lines, count_lines(&all[HEAD..gap_end]));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_and_loses_only_the_middle() {
        let mut capture = Capture::new(PathBuf::from("/nonexistent/1.log"));
        capture.push(&[b'x'; HEAD + 1]);
        assert!(capture.keep().unwrap_err().contains("/nonexistent/1.log"));
        assert_eq!(capture.since(0).tail, b"x");
    }
}
