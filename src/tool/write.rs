//! The tool `write`: a file's whole content; and how any tool replaces a file.
//!
//! Invariant: a reader sees the old bytes or the new, never half; mode, line ends and byte order
//! mark of a file outlive its content.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cap_std::fs::{Dir, OpenOptions};

use super::arguments::{Arguments, FILE_PATH, Key, Kind, Shape};
use super::output::{grouped, size};
use super::path::{Reach, in_words};
use super::{Done, Files};
use crate::file::{self, Changed, open_plain};
use crate::redact;

pub(super) static SHAPE: Shape = Shape {
    name: "write",
    about: "Create a file, with its folders, or replace it whole.",
    keys: &[
        FILE_PATH,
        Key {
            name: "content",
            kind: Kind::Text,
            required: true,
            about: "",
            aliases: &["contents", "text", "file_text", "body", "code", "data"],
        },
    ],
};

/// How much of an old file is looked at, for its line ends and their number.
const LOOKED_AT: u64 = 16 << 20;
const BOM: &[u8] = b"\xef\xbb\xbf";

pub(super) fn call(
    arguments: &Arguments,
    reach: &Reach,
    files: &Mutex<Files>,
) -> Result<Done, String> {
    let place = reach.to_write(&arguments.text("file_path")?)?;
    let name = &place.shown;
    let mut content = arguments.text("content")?.into_bytes();
    let old = match place.dir.metadata(&place.path) {
        Ok(metadata) if metadata.is_dir() => return Err(format!("{name} is a folder.")),
        Ok(metadata) if !metadata.is_file() => return Err(format!("{name} is not a plain file.")),
        Ok(metadata) => {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            if files.seen.insert(place.absolute.clone()) && metadata.len() > 0 {
                let size = size(metadata.len());
                return Err(format!(
                    "{name} exists ({size}) and was not read yet; read it, or write it again to \
                     replace it all the same."
                ));
            }
            drop(files);
            let file =
                open_plain(place.dir, &place.path).map_err(|error| in_words(name, &error))?;
            let mut old = Vec::new();
            file.take(LOOKED_AT).read_to_end(&mut old).map_err(|error| in_words(name, &error))?;
            Some(old)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(in_words(name, &error)),
    };
    refuse_marks(&arguments.text("content")?, old.as_deref().unwrap_or_default())?;
    let lines = count_lines(&content);
    let lines = if lines == "1" { "1 line".to_owned() } else { format!("{lines} lines") };
    let mut told = format!("created {name}, {lines}");
    if let Some(old) = &old {
        told = format!("replaced {name}, {lines} (was {})", count_lines(old));
        if ends_all_with_crlf(old) && !content.contains(&b'\r') {
            content = with_crlf(&content);
            told.push_str(", CRLF kept");
        }
        if old.starts_with(BOM) && !content.starts_with(BOM) {
            content.splice(0..0, BOM.iter().copied());
        }
    }
    if let Some(parent) = place.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        place.dir.create_dir_all(parent).map_err(|error| in_words(name, &error))?;
    }
    replace(place.dir, &place.path, &content).map_err(|error| in_words(name, &error))?;
    files.lock().unwrap_or_else(PoisonError::into_inner).has_seen(&place.absolute);
    Ok(Done {
        output: format!("{told}\n"),
        title: told,
        changed: Changed::Paths(vec![place.path]),
        ..Done::default()
    })
}

/// Refuses a text that holds the mark of a secret where the file does not: it would take the place
/// of what the model is not shown.
pub(super) fn refuse_marks(text: &str, old: &[u8]) -> Result<(), String> {
    let is_new = |mark: &&str| memchr::memmem::find(old, mark.as_bytes()).is_none();
    match redact::marks(text).find(is_new) {
        None => Ok(()),
        Some(mark) => Err(format!(
            "{mark} stands for what looks like a secret, which you are not shown and the file has \
             as it is. Leave the text with it alone, and edit around it. Put a made-up one together \
             from parts."
        )),
    }
}

/// Replaces `path` with `bytes` by a rename within its folder; its mode stays.
pub(super) fn replace(dir: &Dir, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = file::if_there(dir.metadata(path))?.map(|metadata| metadata.permissions());
    let beside = beside(path);
    let written = (|| {
        let mut file = dir.open_with(&beside, OpenOptions::new().write(true).create_new(true))?;
        file.write_all(bytes)?;
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        dir.rename(&beside, dir, path)
    })();
    if written.is_err() {
        // What counts is why the write failed; the rest of it goes if it can.
        drop(dir.remove_file(&beside));
    }
    written
}

fn beside(path: &Path) -> PathBuf {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    path.with_file_name(format!(".git-agent-{}-{number}.tmp", std::process::id()))
}

/// Whether all lines that end, end with CRLF.
pub(super) fn ends_all_with_crlf(bytes: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\n', bytes).peekable();
    ends.peek().is_some() && ends.all(|at| at > 0 && bytes[at - 1] == b'\r')
}

/// The same text with CRLF at each line's end.
pub(super) fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' && (index == 0 || bytes[index - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

fn count_lines(bytes: &[u8]) -> String {
    let ends = memchr::memchr_iter(b'\n', bytes).count();
    let torn = !bytes.is_empty() && !bytes.ends_with(b"\n");
    grouped((ends + usize::from(torn)) as u64)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;
    use serde_json::json;

    use super::super::tests::fixture;
    use super::*;

    #[tokio::test]
    async fn a_file_is_created_with_its_folders() {
        let fixture = fixture();
        let called = fixture.call("write", json!({"path": "a/b/c.rs", "content": "x\ny\n"})).await;
        assert_eq!(called.output, "created a/b/c.rs, 2 lines\n");
        assert_eq!(called.changed, Changed::Paths(vec!["a/b/c.rs".into()]));
        assert_eq!(fixture.content("a/b/c.rs"), "x\ny\n");
        let again = fixture.good("write", json!({"path": "a/b/c.rs", "content": "z"})).await;
        assert_eq!(again, "replaced a/b/c.rs, 1 line (was 2)\n");
        assert_eq!(fs::read_dir(fixture.path("a/b")).unwrap().count(), 1);
        let refused = fixture.bad("write", json!({"path": "a/b", "content": "z"})).await;
        assert_eq!(refused, "a/b is a folder.\n");
        let refused = fixture.bad("write", json!({"path": ".git", "content": "z"})).await;
        assert_eq!(refused, ".git belongs to git and is not written.\n");
    }

    #[tokio::test]
    async fn a_file_never_seen_is_refused_once() {
        let fixture = fixture();
        fixture.put("a", "old\n");
        fixture.put("b", "old\n");
        let refused = fixture.bad("write", json!({"path": "a", "content": "new\n"})).await;
        assert!(refused.starts_with("a exists (4 bytes) and was not read yet;"), "{refused}");
        assert_eq!(fixture.content("a"), "old\n");
        fixture.good("write", json!({"path": "a", "content": "new\n"})).await;
        assert_eq!(fixture.content("a"), "new\n");
        fixture.good("read", json!({"path": "b"})).await;
        fixture.good("write", json!({"path": "b", "content": "new\n"})).await;
    }

    #[tokio::test]
    async fn mode_line_ends_mark_and_links_stay() {
        let fixture = fixture();
        fixture.put("run", "\u{feff}a\r\nb\r\n");
        fs::set_permissions(fixture.path("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("run", fixture.path("alias")).unwrap();
        fixture.good("read", json!({"path": "run"})).await;
        let told = fixture.good("write", json!({"path": "alias", "content": "c\nd\n"})).await;
        assert_eq!(told, "replaced alias, 2 lines (was 2), CRLF kept\n");
        assert_eq!(fixture.content("run"), "\u{feff}c\r\nd\r\n");
        assert_eq!(fs::metadata(fixture.path("run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(fs::symlink_metadata(fixture.path("alias")).unwrap().is_symlink());
    }
}
