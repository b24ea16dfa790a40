//! The namespaces of one session: made when it begins to run, entered by each of its commands.
//!
//! One process holds them as long as the session runs, so that what a command serves on
//! `localhost` is there for the next, and a command costs no more than entering them.
//!
//! Invariant: a cage is given out only once all of its view is mounted.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::bwrap;
use super::inner::{NAME, Task, Walls};
use super::layer::Layers;
use super::namespace::{HELD, Holder};
use super::view::View;
use super::wall::Mechanism;
use crate::process::Cmd;
use crate::process::companion::Companion;

/// Namespaces that are held and furnished.
#[derive(Debug)]
pub(super) struct Cage {
    // Held for its drop, with which the namespaces end.
    _companion: Companion,
    pub(super) mechanism: Mechanism,
    pub(super) walls: Walls,
}

impl Cage {
    /// Makes the namespaces by the first mechanism that works here; `env` is what the tools have.
    ///
    /// # Errors
    /// None does: why, one for each.
    pub(super) fn open(
        program: &Path,
        env: &[(OsString, OsString)],
        view: &View,
        layers: &Layers,
    ) -> Result<Self, Vec<String>> {
        let mut reasons = Vec::new();
        for mechanism in [Mechanism::Bubblewrap, Mechanism::Namespaces] {
            match Self::by(mechanism, program, env, view, layers) {
                Ok(Some(cage)) => return Ok(cage),
                Ok(None) => reasons.push("bubblewrap is not installed".to_owned()),
                Err(error) => reasons.push(format!("{mechanism}: {error}")),
            }
        }
        Err(reasons)
    }

    fn by(
        mechanism: Mechanism,
        program: &Path,
        env: &[(OsString, OsString)],
        view: &View,
        layers: &Layers,
    ) -> io::Result<Option<Self>> {
        let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.as_os_str());
        let holder = match mechanism {
            Mechanism::Bubblewrap => {
                let payload = inner(program, &Task::Wait);
                match bwrap::command(path, layers, payload) {
                    Some(command) => command,
                    None => return Ok(None),
                }
            }
            Mechanism::Namespaces => inner(program, &Task::Hold { layers: layers.clone() }),
        };
        let holder = holder.dir("/").env_clear();
        let mut companion = holder.accompany().map_err(|error| error.source)?;
        let said = companion.hear()?;
        let pid = said.strip_prefix(HELD).and_then(|pid| pid.parse().ok());
        let holder = Holder::of(pid.ok_or_else(|| io::Error::other(said))?)?;
        let furnish = Task::Furnish { holder, view: view.clone(), layers: layers.clone() };
        let done = inner(program, &furnish).dir("/").env_clear().run().map_err(|it| it.source)?;
        if done.exit != 0 {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.trim().trim_start_matches("git-agent: the sandbox failed: ");
            return Err(io::Error::other(said.to_owned()));
        }
        let walls = Walls {
            holder: Some(holder),
            // All that is in the view was meant to be seen.
            readable: vec![PathBuf::from("/")],
            writable: view.writable(),
            layers: layers.clone(),
        };
        Ok(Some(Self { _companion: companion, mechanism, walls }))
    }
}

/// This program, on its way inside.
pub(super) fn inner(program: &Path, task: &Task) -> Cmd {
    Cmd::new(program).arg(NAME).arg(task.to_arg())
}
