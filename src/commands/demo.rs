//! `git agent demo`: the whole life of a session, in a scratch repository.
//!
//! Invariant: all of it is real but the model, whose answers were recorded; nothing outside the
//! scratch folder is touched.

use std::path::PathBuf;

use fs_err as fs;

use crate::error::{CommandError, Result};
use crate::process::Cmd;
use crate::ui::Ui;

const PROGRAM: &str = include_str!("demo/roman.sh");
const CHECK: &str = include_str!("demo/test.sh");
const TRANSCRIPT: &str = include_str!("demo/transcript.jsonl");
const TASK: &str = "Roman numerals with a 4 or a 9 come out wrong. Make sh test.sh pass, and say in \
    a README how to run the program.";

/// Show the whole life of a session, in a scratch repository
///
/// Makes a small repository with a failing test, runs a session on it and lands the result. All of
/// it is real (worktree, tools, commits, checks) but the model, whose answers were recorded; so it
/// needs no key and no network. The repository is left for you to explore.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to make the repository (default: a new folder among the temporary files)
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// A part of the demonstration failed; what it printed says why.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let folder = match &args.folder {
        Some(folder) => {
            fs::create_dir(folder)?;
            fs::canonicalize(folder)?
        }
        None => tempfile::Builder::new().prefix("git-agent-demo-").tempdir()?.keep(),
    };
    let stage = Stage { repo: folder.join("roman"), program: std::env::current_exe()? };
    let transcript = folder.join("transcript.jsonl");
    fs::write(&transcript, TRANSCRIPT)?;
    stage.repository()?;
    ui.narrate(&format!("A small repository with a failing test: {}", stage.repo.display()));

    let model = format!("replay/{}", transcript.display());
    stage.agent(
        ui,
        &["start", TASK, "--verify", "sh test.sh", "--worktree", "roman", "--model", &model],
    )?;
    stage.agent(ui, &["attach", "roman"])?;
    stage.agent(ui, &["list"])?;
    stage.agent(ui, &["worktree", "merge", "roman"])?;
    stage.git(ui, &["log", "--oneline", "--stat", "-1"])?;
    ui.narrate(&format!("\nIt is all there to explore:\n  cd {}", stage.repo.display()));
    for command in [
        "git agent status roman",
        "git agent log roman",
        "git log --oneline --notes=agent agent/roman",
        "git worktree list",
    ] {
        ui.narrate(&format!("  {command}"));
    }
    Ok(())
}

/// The scratch repository and the program that plays in it.
struct Stage {
    repo: PathBuf,
    program: PathBuf,
}

impl Stage {
    fn repository(&self) -> Result {
        fs::create_dir(&self.repo)?;
        fs::write(self.repo.join("roman.sh"), PROGRAM)?;
        fs::write(self.repo.join("test.sh"), CHECK)?;
        self.quiet(&["init", "--quiet", "--initial-branch=main"])?;
        if self.quiet(&["var", "GIT_AUTHOR_IDENT"]).is_err() {
            self.quiet(&["config", "user.name", "Demo"])?;
            self.quiet(&["config", "user.email", "demo@example.com"])?;
        }
        self.quiet(&["add", "."])?;
        self.quiet(&[
            "-c",
            "commit.gpgSign=false",
            "commit",
            "--quiet",
            "-m",
            "A program for Roman numerals",
        ])
    }

    /// Runs a verb of ours as a person would, and shows what was typed.
    fn agent(&self, ui: &Ui, args: &[&str]) -> Result {
        ui.narrate(&format!("\n$ git agent {}", typed(args)));
        succeed(&Cmd::new(&self.program).arg("-C").arg(&self.repo).args(args), "git agent", args)
    }

    fn git(&self, ui: &Ui, args: &[&str]) -> Result {
        ui.narrate(&format!("\n$ git {}", typed(args)));
        succeed(&Cmd::new("git").arg("--no-pager").args(args).dir(&self.repo), "git", args)
    }

    fn quiet(&self, args: &[&str]) -> Result {
        let git = Cmd::new("git").args(args).dir(&self.repo).run()?;
        if git.exit == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&git.stderr).trim().to_owned();
        Err(CommandError::no(format!("git {} failed: {said}", args[0])))
    }
}

fn succeed(command: &Cmd, name: &str, args: &[&str]) -> Result {
    match command.run_attached()? {
        0 => Ok(()),
        exit => Err(CommandError::no(format!("{name} {} ended with exit code {exit}", args[0]))),
    }
}

/// The arguments as a person types them in a shell.
fn typed(args: &[&str]) -> String {
    let quoted = args.iter().map(|arg| {
        if arg.contains([' ', '\'']) { format!("\"{arg}\"") } else { (*arg).to_owned() }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
