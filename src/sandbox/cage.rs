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
    /// Makes the namespaces by the first mechanism that works here; `env` is what the tools have,
    /// `view` is looked up while they are made.
    ///
    /// # Errors
    /// None does: why, one for each.
    pub(super) fn open(
        program: &Path,
        env: &[(OsString, OsString)],
        layers: &Layers,
        view: impl FnOnce() -> io::Result<View>,
    ) -> Result<Self, Vec<String>> {
        let mut first = Some(hold(Mechanism::Bubblewrap, program, env, layers));
        let view = view().map_err(|error| vec![error.to_string()])?;
        let mut reasons = Vec::new();
        for mechanism in [Mechanism::Bubblewrap, Mechanism::Namespaces] {
            let holding = first.take();
            let holding = holding.unwrap_or_else(|| hold(mechanism, program, env, layers));
            let furnished = holding.and_then(|holding| {
                holding.map(|it| Self::furnish(it, mechanism, program, &view, layers)).transpose()
            });
            match furnished {
                Ok(Some(cage)) => return Ok(cage),
                Ok(None) => reasons.push("bubblewrap is not installed".to_owned()),
                Err(error) => reasons.push(format!("{mechanism}: {error}")),
            }
        }
        Err(reasons)
    }

    fn furnish(
        mut companion: Companion,
        mechanism: Mechanism,
        program: &Path,
        view: &View,
        layers: &Layers,
    ) -> io::Result<Self> {
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
        Ok(Self { _companion: companion, mechanism, walls })
    }
}

/// Starts the process that is to hold the namespaces; none where that mechanism is not there.
fn hold(
    mechanism: Mechanism,
    program: &Path,
    env: &[(OsString, OsString)],
    layers: &Layers,
) -> io::Result<Option<Companion>> {
    let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.as_os_str());
    let holder = match mechanism {
        Mechanism::Bubblewrap => bwrap::command(path, layers, inner(program, &Task::Wait)),
        Mechanism::Namespaces => Some(inner(program, &Task::Hold { layers: layers.clone() })),
    };
    let started = holder.map(|holder| holder.dir("/").env_clear().accompany());
    started.transpose().map_err(|error| error.source)
}

/// This program, on its way inside.
pub(super) fn inner(program: &Path, task: &Task) -> Cmd {
    Cmd::new(program).arg(NAME).arg(task.to_arg())
}
