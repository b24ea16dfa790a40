//! The program `git-agent`: arguments in, exit code out; all else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    git_agent::run(std::env::args_os())
}
