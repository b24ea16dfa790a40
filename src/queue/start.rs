//! The start of a session's supervisor, by whoever finds a slot for it.
//!
//! Whoever that is may have been started in another shell, for another repository: what the shell
//! had in which the session was started is kept in the session's folder. Keys are not: who starts
//! it must have them too.
//!
//! Invariant: a session runs with the `PATH`, the proxies and the settings of the shell that asked
//! for it, whoever starts it; and no key is ever on the disk.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::file;
use crate::git::Repo;
use crate::model::Choice;
use crate::process::{Cmd, ProcessError};
use crate::sandbox::environment;
use crate::session::store::Session;

/// The file of the variables in a session's folder: `KEY=VALUE`, each with a NUL behind it.
const FILE: &str = "environment";

/// A supervisor that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program does not know where it lies itself.
    #[error("cannot find this program on disk")]
    Program(#[source] io::Error),
    /// Its log cannot be opened.
    #[error("cannot open the supervisor's log")]
    Log(#[source] io::Error),
    /// What it is to be started with cannot be read.
    #[error("cannot read its environment")]
    Environment(#[source] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
}

/// Starts a session's supervisor in the background, in these slots, and returns its process id.
///
/// # Errors
/// The program cannot be started, or its log not be opened.
pub(super) fn spawn(
    common_dir: &Path,
    session: &Session,
    slots: [Option<std::fs::File>; 2],
) -> Result<u32, SpawnError> {
    let program = std::env::current_exe().map_err(SpawnError::Program)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(session.log_path());
    let (log, _) = log.map_err(SpawnError::Log)?.into_parts();
    let supervise = Cmd::new(program).arg("supervise").arg(common_dir).arg(&session.id);
    let supervise = in_its_surroundings(session, supervise).map_err(SpawnError::Environment)?;
    Ok(supervise.dir(common_dir).spawn_holding(log, slots)?)
}

/// Keeps what this process has of what the session is to run with.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn keep_surroundings(repo: &Repo, session: &Session) -> io::Result<()> {
    let address = address_variable(session);
    let mut kept: BTreeMap<OsString, OsString> =
        std::env::vars_os().filter(|(key, _)| is_kept(key, address)).collect();
    // Not those that point at the repository where this was typed.
    kept.retain(|key, _| !key.as_bytes().starts_with(b"GIT_"));
    kept.extend(repo.settings().map(|(key, value)| (key.to_owned(), value.to_owned())));
    let mut bytes = Vec::new();
    for (key, value) in kept {
        bytes.extend([key.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    // It is for its user alone to read, as all that is written so.
    file::replace_unsynced(&path(session), &bytes)
}

/// The keys of its model that this process has, each with its fingerprint.
pub(super) fn keys_of(session: &Session) -> BTreeMap<String, u16> {
    let names = session.spec.model.parse::<Choice>().ok();
    let names = names.iter().flat_map(Choice::key_variables);
    names.filter_map(|name| Some((name.to_owned(), print_of(name)?))).collect()
}

/// The first of these keys that this process does not have.
pub(super) fn missing_key(keys: &BTreeMap<String, u16>) -> Option<&str> {
    let missing = keys.iter().find(|(name, print)| print_of(name) != Some(**print));
    missing.map(|(name, _)| name.as_str())
}

/// A number that tells apart what is not the same, nearly always (FNV-1a).
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Much too short to tell anything of the key.
fn print_of(variable: &str) -> Option<u16> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
    let [low, high, ..] = fingerprint(value.as_bytes()).to_le_bytes();
    Some(u16::from_le_bytes([low, high]))
}

fn in_its_surroundings(session: &Session, mut cmd: Cmd) -> io::Result<Cmd> {
    let Some(bytes) = file::if_there(fs::read(path(session)))? else { return Ok(cmd) };
    let address = address_variable(session);
    for (key, _) in std::env::vars_os().filter(|(key, _)| is_kept(key, address)) {
        cmd = cmd.env_remove(key);
    }
    for variable in bytes.split(|byte| *byte == 0) {
        if let Some(at) = variable.iter().position(|byte| *byte == b'=') {
            let value = OsString::from_vec(variable[at + 1..].to_vec());
            cmd = cmd.env(OsStr::from_bytes(&variable[..at]), value);
        }
    }
    Ok(cmd)
}

/// What reaches tools, what git heeds, and where the model is.
fn is_kept(key: &OsStr, address: Option<&str>) -> bool {
    environment::passes(key)
        || key.as_bytes().starts_with(b"GIT_")
        || address.is_some_and(|address| key == address)
}

fn address_variable(session: &Session) -> Option<&'static str> {
    session.spec.model.parse::<Choice>().ok()?.address_variable()
}

fn path(session: &Session) -> PathBuf {
    session.dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn what_is_kept_is_no_secret() {
        let kept = |key: &str| is_kept(OsStr::new(key), Some("OPENAI_BASE_URL"));
        for key in ["PATH", "HOME", "https_proxy", "GIT_CONFIG_PARAMETERS", "OPENAI_BASE_URL"] {
            assert!(kept(key), "{key}");
        }
        for key in ["OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "GITHUB_TOKEN", "TMPDIR"] {
            assert!(!kept(key), "{key}");
        }
    }

    #[test]
    fn only_who_has_the_same_key_may_start_it() {
        // Whatever variables there are, these tests run with a PATH.
        let mut keys = BTreeMap::new();
        assert_eq!(missing_key(&keys), None);
        keys.insert("PATH".to_owned(), print_of("PATH").unwrap());
        assert_eq!(missing_key(&keys), None);
        keys.insert("PATH".to_owned(), print_of("PATH").unwrap().wrapping_add(1));
        assert_eq!(missing_key(&keys), Some("PATH"));
        keys.clear();
        keys.insert("NO_SUCH_VARIABLE".to_owned(), 7);
        assert_eq!(missing_key(&keys), Some("NO_SUCH_VARIABLE"));
    }
}
