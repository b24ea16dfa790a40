//! The session's verify commands, run on what is about to land.
//!
//! Invariant: they run where a session's own commands run, on the very files that land.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::LandError;
use crate::config::Config;
use crate::event::VerifyRecord;
use crate::git::{Head, ObjectId, Repo, Scratch};
use crate::process::Cmd;
use crate::sandbox::layer::Layers;
use crate::sandbox::shadow::Shadow;
use crate::sandbox::{self, Bounds, Level, Request, Sandbox, SandboxError};
use crate::session::spec::Spec;
use crate::tool::output::Cap;
use crate::tool::{self, Toolbox};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// How much of what it prints is kept.
const CAP: Cap = Cap { bytes: 8 << 10, lines: 200 };

/// Runs a session's commands on a commit that is not, or no longer, the one that it verified, as
/// before a landing.
///
/// # Errors
/// [`LandError::Red`] if one fails; or they cannot be run.
pub fn again(
    repo: &Repo,
    spec: &Spec,
    commit: ObjectId,
    program: &Path,
) -> Result<Option<VerifyRecord>, LandError> {
    let tree = repo.tree_of(commit)?;
    let scratch = repo.scratch(&scratch_folder(spec), commit, tree)?;
    scratch.put(tree)?;
    verify(repo, spec, &scratch, tree, Some(program))
}

/// Where the files to look at are put: beside the session's worktree, on the same disk.
pub(super) fn scratch_folder(spec: &Spec) -> PathBuf {
    let beside = spec.worktree.parent().filter(|folder| folder.is_dir());
    beside.map_or_else(std::env::temp_dir, Path::to_owned)
}

/// Runs the commands one after the other, until one fails; gives the last record. `program` is this
/// program, which ends what they started should this process be killed.
///
/// # Errors
/// [`LandError::Red`] if one fails; or they cannot be run.
pub(super) fn verify(
    repo: &Repo,
    spec: &Spec,
    scratch: &Scratch,
    tree: ObjectId,
    program: Option<&Path>,
) -> Result<Option<VerifyRecord>, LandError> {
    let (config, _unknown) = repo.agent_config()?;
    let out = tempfile::tempdir()?;
    let sandbox = sandbox_of(repo, spec, scratch, &config, program, out.path())?;
    let limits =
        sandbox::Limits { nice: config.nice, memory: config.memory_limit, cpu: config.cpu_limit };
    let (bounds, _unmet) = Bounds::new(&limits, &spec.id);
    let tools = Toolbox::new(tool::Setup {
        root: scratch.path().to_owned(),
        out_dir: out.path().to_owned(),
        sandbox: sandbox.within(bounds),
        attended: false,
        guard: program.map(|program| Cmd::new(program).arg("guard").arg(repo.common_dir())),
    })
    .map_err(std::io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut last = None;
    for command in &spec.verify {
        let ran =
            runtime.block_on(tools.run(command, LIMIT, CAP)).map_err(std::io::Error::other)?;
        if ran.exit != 0 {
            let (command, exit, output) = (command.clone(), ran.exit, ran.output);
            return Err(LandError::Red { id: spec.id.clone(), command, exit, output });
        }
        last = Some(VerifyRecord {
            command: command.clone(),
            exit: ran.exit,
            millis: ran.millis,
            tree: tree.to_string(),
            output: ran.output,
        });
    }
    Ok(last)
}

/// As strict as the session's own, with a git dir of its own and without a network.
fn sandbox_of(
    repo: &Repo,
    spec: &Spec,
    scratch: &Scratch,
    config: &Config,
    program: Option<&Path>,
    folder: &Path,
) -> Result<Sandbox, LandError> {
    let caller: Vec<_> = std::env::vars_os().collect();
    let level = Level::named(&spec.sandbox).unwrap_or(Level::Full);
    let program = match (level, program) {
        (Level::None, _) => return Ok(Sandbox::new(scratch.path(), &caller)?),
        (_, Some(program)) => program.to_owned(),
        (_, None) => {
            let reasons = vec!["no program is known to pass through".to_owned()];
            return Err(SandboxError::Unavailable { level, reasons }.into());
        }
    };
    let (view, common) = (scratch.view(), repo.common_dir());
    let shadow = (level == Level::Full).then(|| folder.to_owned());
    if let (Some(folder), Head::Detached(head)) = (&shadow, view.head()?) {
        Shadow::make(view, folder, &spec.branch)?.follow(head)?;
    }
    let modules = [view.git_dir(), common].map(|dir| dir.join("modules"));
    Ok(Sandbox::open(&Request {
        level,
        program,
        root: scratch.path().to_owned(),
        common_dir: common.to_owned(),
        shadow,
        readable: [config.sandbox.readable.clone(), modules.to_vec()].concat(),
        writable: config.sandbox.writable.clone(),
        caller,
        layers: Layers::of_environment(),
    })?)
}
