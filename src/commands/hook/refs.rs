//! Before refs move: a session's ref is not deleted by accident.
//!
//! What the program itself deletes, it deletes without running hooks, so whoever comes here is
//! somebody else: `git fetch --prune`, a mirror, a script. It guards against accidents; a person
//! who means it says `git -c core.hooksPath=/dev/null update-ref -d …`, and so could anyone.
//!
//! git takes refs into `packed-refs` by what looks like a deletion too: of a file whose value is in
//! there by then. That is let through.
//!
//! Invariant: no ref but a session's is looked at, and a line that is not as githooks(5) has it is
//! none of ours.

use std::ffi::OsString;

use fs_err as fs;

use crate::error::{CommandError, Result};
use crate::file;
use crate::session::record::PREFIX;

/// Refuses the transaction if it deletes a session's ref; `input` has a line for each ref.
///
/// # Errors
/// It does.
pub(super) fn run(args: &[OsString], input: &str) -> Result {
    if super::argument(args, 0)? != "prepared" {
        return Ok(());
    }
    let mut deletions = input.lines().filter_map(deletion).peekable();
    if deletions.peek().is_none() {
        return Ok(());
    }
    let repo = super::repo()?;
    let packed = file::if_there(fs::read_to_string(repo.common_dir().join("packed-refs")))?;
    let packed = packed.unwrap_or_default();
    for (old, name) in deletions {
        let is_packed = packed.lines().any(|line| line.split_once(' ') == Some((old, name)));
        if is_packed || repo.ref_id(name)?.is_none() {
            continue;
        }
        let id = name.strip_prefix(PREFIX).unwrap_or(name);
        return Err(CommandError::no(format!("{name} holds all of session {id}: it stays"))
            .hint(format!("git agent remove {id}")));
    }
    Ok(())
}

/// The old value, null where any is meant, and the name of the session's ref that a line deletes.
fn deletion(line: &str) -> Option<(&str, &str)> {
    let mut words = line.splitn(3, ' ');
    let (old, new, name) = (words.next()?, words.next()?, words.next()?);
    let is_null = !new.is_empty() && new.bytes().all(|c| c == b'0');
    (is_null && name.starts_with(PREFIX)).then_some((old, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_only_the_deletion_of_a_sessions_ref_is_looked_at() {
        let (null, id) = ("0".repeat(40), "a".repeat(40));
        let name = "refs/agent/x-7f3k";
        assert_eq!(deletion(&format!("{id} {null} {name}")), Some((&*id, name)));
        assert_eq!(deletion(&format!("{null} {null} {name}")), Some((&*null, name)));
        for line in [
            format!("{null} {id} {name}"),
            format!("{id} {null} refs/heads/agent/x"),
            "ref:refs/heads/a ref:refs/heads/b HEAD".to_owned(),
            format!("ref:{name} {id} HEAD"),
            "nonsense".to_owned(),
        ] {
            assert_eq!(deletion(&line), None, "{line}");
        }
    }
}
