//! Our hooks as files.
//!
//! Invariant: all of them are put in, or none; a file of the user's is replaced whole or not at all,
//! and one that cannot hold our lines is kept beside ours, as it is, and run by them.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::block::{self, BEFORE, Rest};
use super::{HOOKS, Hook, HookError, Place, Problem, Tool};
use crate::file;

/// How one hook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The hook.
    pub hook: Hook,
    /// Its file.
    pub path: PathBuf,
    /// Whether ours is in it.
    pub stands: Stands,
    /// Whether there is something of the user's that runs after ours.
    pub chained: bool,
    /// Who has written that.
    pub tool: Option<Tool>,
}

/// Whether ours is in a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is.
    In,
    /// It is, as another version of the program has written it.
    Old,
    /// It is, but the file may not be executed, so git passes it over.
    Inert,
    /// It is not.
    Out,
}

/// The names that a manager of hooks moves a hook to that was there before it, and runs it from.
const LEGACY: &str = "legacy";
/// Executable for all, as git's own samples.
const EXECUTABLE: u32 = 0o755;

/// How all hooks stand in a place.
///
/// # Errors
/// A file cannot be read.
pub fn look(place: &Place) -> Result<Vec<Standing>, HookError> {
    HOOKS.iter().map(|hook| standing(place, hook)).collect()
}

/// Puts ours in, all of them.
///
/// # Errors
/// The place is not for us to change and `allowed` does not say otherwise; or the file system says
/// no, in which case all is as it was.
pub fn install(
    place: &Place,
    allowed: impl Fn(&Problem) -> bool,
) -> Result<Vec<Standing>, HookError> {
    if let Some(problem) = place.problem.as_ref().filter(|problem| !allowed(problem)) {
        return Err(problem.clone().into());
    }
    fs::create_dir_all(&place.dir)?;
    let mut done = Vec::new();
    for hook in &HOOKS {
        let before = standing(place, hook)?;
        if before.stands == Stands::In {
            continue;
        }
        if let Err(error) = put_in(place, hook) {
            for hook in done {
                take_out(&place.dir, hook)?;
            }
            return Err(error);
        }
        if before.stands == Stands::Out {
            done.push(hook);
        }
    }
    look(place)
}

/// Takes ours out, all of them; gives the files that have changed.
///
/// # Errors
/// The file system says no.
pub fn uninstall(dir: &Path) -> Result<Vec<PathBuf>, HookError> {
    let mut changed = Vec::new();
    for hook in &HOOKS {
        if take_out(dir, hook)? {
            changed.push(dir.join(hook.name));
        }
        let legacy = dir.join(format!("{}.{LEGACY}", hook.name));
        if is_ours(&legacy)? {
            strip(&legacy)?;
            changed.push(legacy);
        }
    }
    Ok(changed)
}

fn standing(place: &Place, hook: &Hook) -> Result<Standing, HookError> {
    let dir = &place.dir;
    let path = dir.join(hook.name);
    let kept = dir.join(BEFORE).join(hook.name);
    let mut found = Standing {
        hook: *hook,
        path: path.clone(),
        stands: Stands::Out,
        chained: fs::symlink_metadata(&kept).is_ok(),
        tool: None,
    };
    let text = read(&path)?;
    found.tool = text.as_deref().and_then(Tool::of_text);
    for (path, text) in [(path, text), with_text(dir.join(format!("{}.{LEGACY}", hook.name)))?] {
        let Some(text) = text else { continue };
        match block::remove(&text) {
            Rest::NotOurs => continue,
            Rest::Nothing => {}
            Rest::User(_) => found.chained = true,
        }
        found.stands = match fs::metadata(&path)?.permissions().mode() & 0o111 {
            0 if !place.runs_any => Stands::Inert,
            _ if block::is_current(&text, hook) => Stands::In,
            _ => Stands::Old,
        };
        found.chained |= path != found.path;
        found.path = path;
        break;
    }
    Ok(found)
}

fn put_in(place: &Place, hook: &Hook) -> Result<(), HookError> {
    let dir = &place.dir;
    // What an older version wrote goes first.
    take_out(dir, hook)?;
    let path = dir.join(hook.name);
    let Some(text) = read(&path)? else {
        return write(&path, &block::whole(hook, false), EXECUTABLE);
    };
    let found = fs::symlink_metadata(&path)?;
    let mode = found.permissions().mode();
    let runs = place.runs_any || mode & 0o111 != 0;
    match block::insert(&text, hook).filter(|_| found.is_file() && runs) {
        Some(with) => write(&path, &with, mode & 0o7777),
        None => {
            set_aside(dir, hook)?;
            write(&path, &block::whole(hook, true), EXECUTABLE)
                .or_else(|error| bring_back(dir, hook).and(Err(error)))
        }
    }
}

/// Whether there was something of ours.
fn take_out(dir: &Path, hook: &Hook) -> Result<bool, HookError> {
    let path = dir.join(hook.name);
    if !is_ours(&path)? {
        return Ok(false);
    }
    strip(&path)?;
    if fs::symlink_metadata(dir.join(BEFORE).join(hook.name)).is_ok() {
        bring_back(dir, hook)?;
    }
    Ok(true)
}

fn is_ours(path: &Path) -> Result<bool, HookError> {
    let text = read(path)?;
    Ok(text.is_some_and(|text| block::remove(&text) != Rest::NotOurs))
}

/// The file without our lines; gone, where it held nothing else.
fn strip(path: &Path) -> Result<(), HookError> {
    let Some(text) = read(path)? else { return Ok(()) };
    match block::remove(&text) {
        Rest::NotOurs => Ok(()),
        Rest::Nothing => Ok(fs::remove_file(path)?),
        Rest::User(rest) => write(path, &rest, fs::metadata(path)?.permissions().mode() & 0o7777),
    }
}

/// Keeps the user's hook in a folder beside, under its own name, by which some know what to do.
fn set_aside(dir: &Path, hook: &Hook) -> Result<(), HookError> {
    let (path, kept) = (dir.join(hook.name), dir.join(BEFORE).join(hook.name));
    if fs::symlink_metadata(&kept).is_ok() {
        return Err(HookError::InTheWay(kept));
    }
    fs::create_dir_all(dir.join(BEFORE))?;
    match fs::read_link(&path) {
        // A link that is relative leads elsewhere from one folder below.
        Ok(to) if to.is_relative() => {
            symlink(Path::new("..").join(to), &kept)?;
            Ok(fs::remove_file(&path)?)
        }
        _ => Ok(fs::rename(&path, &kept)?),
    }
}

fn bring_back(dir: &Path, hook: &Hook) -> Result<(), HookError> {
    let (path, kept) = (dir.join(hook.name), dir.join(BEFORE).join(hook.name));
    if fs::symlink_metadata(&path).is_ok() {
        return Err(HookError::InTheWay(path));
    }
    match fs::read_link(&kept) {
        Ok(to) if to.is_relative() => {
            symlink(to.strip_prefix("..").unwrap_or(&to), &path)?;
            fs::remove_file(&kept)?;
        }
        _ => fs::rename(&kept, &path)?,
    }
    // Others may still be kept there.
    match std::fs::remove_dir(dir.join(BEFORE)) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error.into()),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), HookError> {
    Ok(file::replace_with_mode(path, text, mode)?)
}

fn with_text(path: PathBuf) -> Result<(PathBuf, Option<Vec<u8>>), HookError> {
    let text = read(&path)?;
    Ok((path, text))
}

/// The bytes of a hook; none where there is none. A link that leads nowhere is an empty one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, HookError> {
    let text = file::if_there(fs::read(path))?;
    Ok(text.or_else(|| fs::symlink_metadata(path).is_ok().then(Vec::new)))
}
