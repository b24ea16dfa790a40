//! bubblewrap: where it is installed it makes the namespaces, as the one program that a
//! distribution may have allowed to.
//!
//! Invariant: it is asked for namespaces only; what they contain is the same with it and without.

use std::ffi::OsStr;
use std::path::Path;

use super::layer::{Layer, Layers};
use crate::process::Cmd;

/// The program, found on this `PATH`, told to run `payload` in new namespaces.
pub(super) fn command(path: Option<&OsStr>, layers: &Layers, payload: Cmd) -> Option<Cmd> {
    let program = which::which_in("bwrap", path, Path::new("/")).ok()?;
    let namespaces = ["--unshare-user", "--unshare-ipc", "--unshare-uts"];
    let network = layers.has(Layer::Network).then_some("--unshare-net");
    let root = ["--dev-bind", "/", "/", "--"];
    let cmd = Cmd::new(program).args(namespaces).args(network).args(root);
    Some(cmd.before(payload))
}
