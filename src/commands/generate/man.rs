//! Man pages: one for the program, one for each verb.
//!
//! Invariant: all that a page says comes from the tree of verbs, the table of settings and the
//! exit codes, so no page can go stale.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{Generated, Kind};
use crate::config::KEYS;
use crate::error::{Result, exit};

/// The pages of this command and of all below it that are not hidden.
///
/// # Errors
/// Never for a tree in memory; the writer's signature has one.
pub(super) fn pages(command: clap::Command) -> Result<Vec<Generated>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages)?;
    Ok(pages)
}

fn add(command: &clap::Command, pages: &mut Vec<Generated>) -> Result {
    let is_root = pages.is_empty();
    // Of what short help leaves out, a page would leave out the text.
    let whole = command.clone().mut_args(|arg| arg.hide_short_help(false));
    let man = Man::new(whole).manual("git-agent manual");
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    if is_root {
        own_sections().to_writer(&mut bytes)?;
    }
    pages.push(Generated { kind: Kind::Man, name: man.get_filename(), bytes });
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        add(verb, pages)?;
    }
    Ok(())
}

/// What is true of every verb.
fn own_sections() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NAMES OF SESSIONS"]);
    roff.text([roman(
        "A session is named by its id, its name, or any beginning that only one has.",
    )]);
    roff.control("SH", ["CONFIGURATION"]);
    roff.text([roman("Settings are git config, so they may be set for the machine, the user, the repository, one worktree, or one command with "), bold("git -c"), roman(".")]);
    for key in KEYS {
        roff.control("TP", []);
        roff.text([bold(key.name), roman(" "), italic(key.value)]);
        roff.text([roman(key.about)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    let signals = format!("{}+n", exit::SIGNAL);
    for (code, meaning) in [
        (exit::DONE.to_string(), "Done as asked."),
        (
            exit::NO.to_string(),
            "The answer is no, or it could not be done: a check failed, a conflict was found.",
        ),
        (exit::USAGE.to_string(), "Wrong use: an unknown option, session, branch or setting."),
        (exit::NEEDS_PERSON.to_string(), "It goes no further without a person."),
        (exit::BLOCKED.to_string(), "A policy forbids it."),
        (signals, "Ended by signal n."),
        (exit::BUG.to_string(), "A fault of this program."),
    ] {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, about) in [
        ("NO_COLOR", "Set to anything, it turns colour off, unless --color says otherwise."),
        ("COLUMNS", "The width to lay tables out for."),
        (
            "GIT_AGENT_LOG",
            "What to trace on standard error, such as debug or git_agent::git=trace.",
        ),
    ] {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(about)]);
    }
    roff.control("SH", ["FILES"]);
    for (name, about) in [
        (".git/agent/", "Live state of sessions; in the git dir that all worktrees share."),
        ("refs/agent/<id>", "The whole record of a session, its code included."),
        ("refs/notes/agent", "Notes on the commits of sessions: git log --notes=agent."),
    ] {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(about)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("git-worktree"),
        roman("(1), "),
        bold("git-notes"),
        roman("(1), "),
        bold("git-config"),
        roman("(1)"),
    ]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_short_help_leaves_out_has_its_text() {
        let rare = clap::Arg::new("rare").long("rare").help("Seldom of use").hide_short_help(true);
        let pages = pages(clap::Command::new("p").arg(rare)).unwrap();
        let page = String::from_utf8(pages[0].bytes.clone()).unwrap();
        assert!(page.contains("Seldom of use"), "{page}");
    }
}
