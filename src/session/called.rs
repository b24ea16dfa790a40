//! What a session is called, found without reading all that was asked of it.
//!
//! Invariant: a name comes from the lines that every spec begins with, or from the whole spec where
//! those are not as this program writes them: never from a guess.

use std::io::Read;
use std::path::Path;

use fs_err as fs;

use super::format::{self, FormatError};
use super::spec::Spec;

/// How much of a spec is read: its number, its id and its name are each a short line.
const HEAD: u64 = 1 << 10;

/// The name in this spec.
///
/// # Errors
/// It cannot be read.
pub(super) fn name(path: &Path) -> Result<String, FormatError> {
    let mut head = Vec::with_capacity(HEAD as usize);
    fs::File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    match std::str::from_utf8(&head).ok().and_then(name_in) {
        Some(name) => Ok(name.to_owned()),
        None => Ok(format::read::<Spec>(path)?.name),
    }
}

/// The name in the third line, where the first three are as this program writes them.
fn name_in(head: &str) -> Option<&str> {
    let mut lines = head.split_inclusive('\n');
    lines.next()?.strip_prefix("format = ")?.trim_end().parse::<u32>().ok()?;
    plain(lines.next()?.strip_prefix("id = ")?)?;
    plain(lines.next()?.strip_prefix("name = ")?)
}

/// A text in quotes that nothing in it has to be read in another way.
fn plain(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix("\"\n")?;
    (!text.contains(['"', '\\'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::sample;
    use super::*;

    #[test]
    fn a_name_is_read_as_the_whole_spec_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Spec::FILE);
        for called in ["add-rate", "Ünï 🚀", "a\"b", "a'b", "a\\b", "a\nb", "", "'''", "\t"] {
            let spec = Spec { name: called.to_owned(), ..sample("add-rate-7f3k") };
            let text = spec.to_text().unwrap();
            fs::write(&path, &text).unwrap();
            assert_eq!(name(&path).unwrap(), called);
            // A newer program may write its keys in another order.
            let newer = text.replacen("format = 1\n", "format = 2\nhue = \"name = 1\"\n", 1);
            fs::write(&path, newer).unwrap();
            assert_eq!(name(&path).unwrap(), called);
        }
        let text = sample("add-rate-7f3k").to_text().unwrap();
        assert_eq!(name_in(&text), Some("add-rate"));
        for cut in ["", "format = 1\n", "format = 1\nid = \"a\"\nname = \"ad"] {
            fs::write(&path, cut).unwrap();
            assert!(name(&path).is_err(), "{cut:?}");
        }
    }
}
