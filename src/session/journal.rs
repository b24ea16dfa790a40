//! What happened in a session: a file of events, one a line, only ever appended to.
//!
//! Invariant: what [`Journal::append`] has returned for is on disk, with all that came before;
//! whatever a crash leaves at the
//! end, every whole line before it is kept, and nothing is thrown away unseen. No line holds a secret
//! that is known as one when it is written.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fs_err as fs;

use crate::event::Event;
use crate::redact;

/// The longest line that is read, in bytes; a longer one is passed over like a damaged one.
const LINE_LIMIT: u64 = 64 << 20;

/// The journal, open for its one writer.
#[derive(Debug)]
pub struct Journal {
    file: fs::File,
    len: u64,
}

/// The end of a line that a crash cut, set aside when the journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// How much it was, in bytes.
    pub bytes: u64,
    /// Where it is kept.
    pub kept_in: PathBuf,
}

impl Journal {
    /// The file of the journal in a session's folder.
    pub const FILE: &str = "journal.jsonl";

    /// Opens the journal to append, made if there is none. A last line without its end is given
    /// one if it is a whole event, and else moved to the file `<journal>.torn`.
    ///
    /// # Errors
    /// Whatever the file system says; the journal is then as it was.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Torn>)> {
        let mut file = fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let len = file.metadata()?.len();
        let whole = end_of_last_line(&mut file, len)?;
        let mut journal = Self { file, len };
        if whole == len {
            return Ok((journal, None));
        }
        let mut rest = Vec::new();
        journal.file.seek(SeekFrom::Start(whole))?;
        journal.file.read_to_end(&mut rest)?;
        if std::str::from_utf8(&rest).is_ok_and(|line| Event::parse(line).is_ok()) {
            journal.write(b"\n")?;
            return Ok((journal, None));
        }
        let kept_in = path.with_extension("jsonl.torn");
        let mut aside = fs::OpenOptions::new().append(true).create(true).open(&kept_in)?;
        rest.push(b'\n');
        aside.write_all(&rest)?;
        aside.sync_data()?;
        journal.file.set_len(whole)?;
        journal.file.sync_data()?;
        journal.len = whole;
        Ok((journal, Some(Torn { bytes: len - whole, kept_in })))
    }

    /// Appends these events and waits until the disk has them: one write and one sync for all, so
    /// that who has several says them together.
    ///
    /// # Errors
    /// Whatever the file system says, a full disk above all; the journal then ends as before.
    pub fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let started = Instant::now();
        let lines = lines(events)?;
        self.write(&lines)?;
        tracing::debug!(events = events.len(), bytes = lines.len(), elapsed = ?started.elapsed(), "journal");
        Ok(())
    }

    /// Appends these events without waiting for the disk: for what nothing follows from until it
    /// is waited for, here by [`Journal::append`] or elsewhere.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_unsynced(&mut self, events: &[Event]) -> io::Result<()> {
        let lines = lines(events)?;
        self.write_unsynced(&lines)
    }

    /// The length of the journal, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.len;
        self.write_unsynced(bytes)?;
        if let Err(error) = self.file.sync_data() {
            self.file.set_len(before)?;
            self.len = before;
            return Err(error);
        }
        Ok(())
    }

    fn write_unsynced(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Half a line must not be what the next one is appended to.
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }
}

fn lines(events: &[Event]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for event in events {
        // What the loop tells has no secret by now; what else is written here need not know of any.
        lines.extend_from_slice(redact::json(&event.to_line()?).as_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

/// All events of a journal; each damaged line is in the trace.
///
/// # Errors
/// Whatever the file system says.
pub fn events(path: &Path) -> io::Result<Vec<Event>> {
    Reader::open(path, 0)?.events().collect()
}

/// One line of a journal as it was read.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An event.
    Event(Box<Event>),
    /// A line that is none: passed over, but not in silence.
    Damaged {
        /// Which line, counted from the one that reading began with, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a journal line by line, while it may still grow: at the end the iterator gives `None`,
/// and goes on once there is more. A line without its end is not there yet.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<fs::File>,
    offset: u64,
    line: u64,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads from this byte on, which is 0 or what [`Reader::offset`] gave.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(64 << 10, fs::File::open(path)?);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset, line: 0, buffer: Vec::new() })
    }

    /// Where the next line begins, in bytes from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The events alone; each damaged line is in the trace.
    pub fn events(self) -> impl Iterator<Item = io::Result<Event>> {
        self.filter_map(|entry| match entry {
            Ok(Entry::Event(event)) => Some(Ok(*event)),
            Ok(Entry::Damaged { line, why }) => {
                tracing::warn!(line, why, "damaged line in a journal passed over");
                None
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        self.buffer.clear();
        let mut bytes =
            (&mut self.file).take(LINE_LIMIT).read_until(b'\n', &mut self.buffer)? as u64;
        let too_long = bytes == LINE_LIMIT && self.buffer.last() != Some(&b'\n');
        let whole = if too_long {
            self.buffer = Vec::new();
            let rest = skip_line(&mut self.file)?;
            bytes += rest.unwrap_or(0);
            rest.is_some()
        } else {
            self.buffer.last() == Some(&b'\n')
        };
        if !whole {
            // Read again from its start when there is more: the writer may cut it off meanwhile.
            self.file.seek(SeekFrom::Start(self.offset))?;
            return Ok(None);
        }
        self.offset += bytes;
        self.line += 1;
        let parsed = match std::str::from_utf8(&self.buffer) {
            _ if too_long => Err("it is too long".to_owned()),
            Ok(text) => Event::parse(text).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // One long line must not hold its memory for the rest of the journal.
        self.buffer.shrink_to(1 << 20);
        Ok(Some(match parsed {
            Ok(event) => Entry::Event(Box::new(event)),
            Err(why) => Entry::Damaged { line: self.line, why },
        }))
    }
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Skips to behind the next line end and gives the bytes passed; `None` if there is no line end.
fn skip_line(file: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut passed = 0;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        file.consume(used);
        passed += used as u64;
        if end.is_some() {
            return Ok(Some(passed));
        }
    }
}

/// Where the last whole line ends, found from the back.
fn end_of_last_line(file: &mut fs::File, len: u64) -> io::Result<u64> {
    const BLOCK: usize = 64 << 10;
    let mut end = len;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let bytes = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        if let Some(position) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + position as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Update;

    fn notice(step: u32, text: &str) -> Event {
        Event::now(step, Update::Notice(text.to_owned()))
    }

    fn texts(reader: &mut Reader) -> Vec<String> {
        let text = |entry: io::Result<Entry>| match entry.unwrap() {
            Entry::Event(event) => match event.update {
                Update::Notice(text) => text,
                other => panic!("{other:?}"),
            },
            Entry::Damaged { line, .. } => format!("damaged {line}"),
        };
        reader.map(text).collect()
    }

    fn all(path: &Path) -> Vec<String> {
        texts(&mut Reader::open(path, 0).unwrap())
    }

    #[test]
    fn e02_at_every_cut_all_whole_lines_are_kept_and_the_rest_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Journal::FILE);
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[notice(1, "one"), notice(1, "two")]).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(journal.len(), bytes.len() as u64);
        let first = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let aside = path.with_extension("jsonl.torn");
            drop(fs::remove_file(&aside));
            let (mut journal, torn) = Journal::open(&path).unwrap();
            journal.append(&[notice(2, "three")]).unwrap();
            // A line that lacks only its end is whole.
            let whole = if cut + 1 >= bytes.len() { 2 } else { usize::from(cut + 1 >= first) };
            let mut want = ["one", "two"][..whole].to_vec();
            want.push("three");
            assert_eq!(all(&path), want, "cut at {cut}");
            let kept = cut > 0 && cut != first && cut + 1 != first && cut + 1 < bytes.len();
            assert_eq!(torn.is_some(), kept, "cut at {cut}");
            if let Some(torn) = torn {
                let mut rest = bytes[if cut > first { first } else { 0 }..cut].to_vec();
                rest.push(b'\n');
                assert_eq!(fs::read(&torn.kept_in).unwrap(), rest);
            }
        }
    }

    #[test]
    fn what_waits_for_no_sync_is_read_at_once_and_comes_before_what_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Journal::FILE);
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append_unsynced(&[notice(1, "one")]).unwrap();
        assert_eq!(all(&path), ["one"]);
        journal.append(&[notice(1, "two")]).unwrap();
        assert_eq!(all(&path), ["one", "two"]);
        assert_eq!(journal.len(), fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn e02_a_damaged_line_in_the_middle_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let line = |text| notice(1, text).to_line().unwrap();
        let mut bytes = format!("{}\n{{\"format\":1,\n", line("one")).into_bytes();
        bytes.extend(b"\0\0\xff\n");
        bytes.extend(format!("{}\n", line("two")).bytes());
        fs::write(&path, bytes).unwrap();
        assert_eq!(all(&path), ["one", "damaged 2", "damaged 3", "two"]);
    }

    #[test]
    fn a_follower_gets_each_line_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[notice(1, "one")]).unwrap();
        let mut reader = Reader::open(&path, 0).unwrap();
        assert_eq!(texts(&mut reader), ["one"]);
        let line = notice(1, "two").to_line().unwrap();
        let mut raw = fs::OpenOptions::new().append(true).open(&path).unwrap();
        raw.write_all(&line.as_bytes()[..20]).unwrap();
        assert_eq!(texts(&mut reader), [""; 0]);
        // The supervisor died there; the next one cuts the half line off and goes on.
        let (mut journal, torn) = Journal::open(&path).unwrap();
        assert_eq!(torn.unwrap().bytes, 20);
        journal.append(&[notice(1, "three")]).unwrap();
        assert_eq!(texts(&mut reader), ["three"]);
        let mut later = Reader::open(&path, reader.offset()).unwrap();
        journal.append(&[notice(1, "four")]).unwrap();
        assert_eq!(texts(&mut later), ["four"]);
    }

    #[test]
    fn e14_a_line_of_ten_megabytes_is_read_and_what_follows_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let long = "x".repeat(10 << 20);
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[notice(1, &long), notice(1, "after")]).unwrap();
        assert_eq!(all(&path), [long.as_str(), "after"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn k06_on_a_full_disk_the_journal_ends_as_before() {
        // /dev/full takes no byte and cannot be cut: the error still comes through.
        let file = fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut journal = Journal { file, len: 0 };
        assert!(journal.append(&[notice(1, "x")]).is_err());
        assert_eq!(journal.len(), 0);
    }
}
