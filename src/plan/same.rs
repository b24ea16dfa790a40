//! Files that a person has changed, and that hold just what lands, or what was carried into the
//! session: they are in nobody's way.
//!
//! Invariant: a file counts only by its whole content and mode, as git would store them; nothing
//! that is in no commit, staged content included, is ever among them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use super::LandError;
use super::checkout::{list, os_path, said};
use crate::git::{BString, Mode, ObjectId, Repo};

/// A path, and what is there; none where nothing is.
pub(super) type Held = (BString, Option<(Mode, ObjectId)>);

/// Which of these paths, that differ between the trees `old` and `new`, hold on disk what `new` or
/// `carried` has there, and in the index nothing else that could be lost.
///
/// # Errors
/// git or a file cannot be read.
pub(super) fn held(
    repo: &Repo,
    view: &Repo,
    paths: &[BString],
    [old, new]: [ObjectId; 2],
    carried: Option<ObjectId>,
) -> Result<Vec<Held>, LandError> {
    let Some(root) = repo.work_dir() else { return Ok(Vec::new()) };
    let differs = ["diff-index", "-z", "--name-only", "--no-renames", "--ignore-submodules"];
    let old_hex = old.to_string();
    let changed = list(repo, &[&differs[..], &[&old_hex]].concat(), paths)?;
    let untracked = list(repo, &["ls-files", "-z", "--others"], paths)?;
    let mut held = Vec::new();
    for path in paths {
        let name = path.to_string();
        if !changed.contains(&name) && !untracked.contains(&name) {
            continue;
        }
        let Some(there) = on_disk(repo, root, path)? else { continue };
        let wanted = [Some(new), carried].into_iter().flatten();
        let mut is_known = false;
        for tree in wanted {
            is_known |= entry(view, tree, path)? == there;
        }
        let staged = staged(repo, path)?;
        let is_staged_elsewhere = staged != there && staged != entry(view, old, path)?;
        if is_known && !(is_staged_elsewhere && staged.is_some()) {
            held.push((path.clone(), there));
        }
    }
    Ok(held)
}

/// Which of these paths hold on disk what the index does not, though it tells git not to look at
/// them (`git update-index --assume-unchanged`, `--skip-worktree`).
///
/// # Errors
/// git or a file cannot be read.
pub(super) fn hidden(repo: &Repo, paths: &[BString]) -> Result<Vec<String>, LandError> {
    let Some(root) = repo.work_dir() else { return Ok(Vec::new()) };
    let mut hidden = Vec::new();
    for line in list(repo, &["ls-files", "-z", "-v"], paths)? {
        let Some((tag, name)) = line.split_once(' ') else { continue };
        if !tag.starts_with(|tag: char| tag.is_ascii_lowercase() || tag == 'S') {
            continue;
        }
        let Some(path) = paths.iter().find(|path| String::from_utf8_lossy(path) == name) else {
            continue;
        };
        if let Some(Some(there)) = on_disk(repo, root, path)?
            && staged(repo, path)? != Some(there)
        {
            hidden.push(name.to_owned());
        }
    }
    Ok(hidden)
}

/// Makes the index at these paths what is on disk there.
///
/// # Errors
/// The index is locked, or git cannot run.
pub(super) fn stage(repo: &Repo, held: &[Held]) -> Result<(), LandError> {
    let mut lines = Vec::new();
    for (path, there) in held {
        let (mode, id) = there.map_or(("0", repo.null_id()), |(mode, id)| (octal(mode), id));
        lines.extend_from_slice(format!("{mode} {id}\t").as_bytes());
        lines.extend_from_slice(path);
        lines.push(0);
    }
    if !lines.is_empty() {
        said(&repo.git().args(["update-index", "-z", "--index-info"]).stdin(lines).run()?)?;
    }
    Ok(())
}

/// What a tree has at a path, if that is a file.
fn entry(
    view: &Repo,
    tree: ObjectId,
    path: &BString,
) -> Result<Option<(Mode, ObjectId)>, LandError> {
    Ok(view.entry(tree, path)?.map(|entry| (entry.mode, entry.id)))
}

/// What is on disk at a path, as git would store it: nothing, or a file; none where it is anything
/// else.
#[expect(clippy::option_option, reason = "nothing there is an answer too")]
fn on_disk(
    repo: &Repo,
    root: &Path,
    path: &BString,
) -> Result<Option<Option<(Mode, ObjectId)>>, LandError> {
    let full = root.join(os_path(path));
    let meta = match fs::symlink_metadata(&full) {
        Ok(meta) if meta.is_file() => meta,
        Ok(_) => return Ok(None),
        Err(_) => return Ok(Some(None)),
    };
    // With the user's own filters, as `git add` has them.
    let hash = repo.git().args(["hash-object", "--"]).arg(os_path(path)).run()?;
    let hex = said(&hash)?.trim_ascii();
    let id = ObjectId::from_hex(hex).map_err(std::io::Error::other)?;
    let mode = if meta.permissions().mode() & 0o100 == 0 { Mode::File } else { Mode::Executable };
    Ok(Some(Some((mode, id))))
}

/// What the index has at a path.
fn staged(repo: &Repo, path: &BString) -> Result<Option<(Mode, ObjectId)>, LandError> {
    let lines = list(repo, &["ls-files", "-z", "--stage"], std::slice::from_ref(path))?;
    let Some(line) = lines.first() else { return Ok(None) };
    let mut words = line.split([' ', '\t']);
    let (mode, hex) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mode = [Mode::File, Mode::Executable, Mode::Link, Mode::Commit]
        .into_iter()
        .find(|known| octal(*known) == mode);
    let id = ObjectId::from_hex(hex.as_bytes()).ok();
    Ok(mode.zip(id))
}

fn octal(mode: Mode) -> &'static str {
    match mode {
        Mode::File => "100644",
        Mode::Executable => "100755",
        Mode::Link => "120000",
        Mode::Commit => "160000",
        Mode::Tree => "040000",
    }
}
