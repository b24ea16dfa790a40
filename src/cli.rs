//! The command line: global options and the verbs, in the order of a session's life.
//!
//! Invariant: each arm of the dispatch is one call.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::commands;
use crate::error::{CommandError, Kind, Result, exit};
use crate::ui::{self, ColorChoice, Ui};

/// Let coding agents work on a git repository
///
/// Each task is a session: an agent that works in the background, in a worktree and on a branch
/// of its own, with a commit for each step. A session survives the terminal, can be steered, paused
/// and resumed, and is landed as one clean commit once its work is verified.
#[derive(Debug, Parser)]
#[command(
    name = "git-agent",
    bin_name = "git agent",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "A session is named by its id, its name, or any beginning that only one has.\n\
                  Settings are git config: see CONFIGURATION in `git agent --help`."
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Run as if started in this folder
    // Not `dir`: an argument of a verb with the same id would be taken for this one.
    #[arg(short = 'C', id = "run_in", value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    color: ColorChoice,
    /// Say more; -vv traces what is done inside, -vvv all of it
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Draw no moving progress
    #[arg(long, global = true)]
    no_progress: bool,
}

/// The verbs, each with its name, its aliases and its arguments.
macro_rules! verbs {
    ($($(#[$attr:meta])* $name:literal $(| $alias:literal)* => $verb:ident($args:ty),)*) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$attr])* #[command(name = $name $(, visible_alias = $alias)*)] $verb($args),)*
        }

        /// The verb that is typed so, without all others.
        fn verb_alone(typed: &str) -> Option<clap::Command> {
            let verb = match typed {
                $($name $(| $alias)* => {
                    <$args>::augment_args(clap::Command::new($name)$(.alias($alias))*)
                })*
                _ => return None,
            };
            Some(verb)
        }
    };
}

verbs! {
    "start" => Start(Box<commands::start::Args>),
    "list" | "ls" => List(commands::list::Args),
    "status" => Status(commands::status::Args),
    "log" => Log(commands::log::Args),
    "diff" => Diff(commands::diff::Args),
    "attach" => Attach(commands::attach::Args),
    "say" => Say(commands::say::Args),
    "answer" => Answer(commands::answer::Args),
    "approve" => Approve(commands::approve::Args),
    "deny" => Deny(commands::deny::Args),
    "pause" => Pause(commands::pause::Args),
    "resume" => Resume(commands::resume::Args),
    "stop" => Stop(commands::stop::Args),
    "rewind" => Rewind(commands::rewind::Args),
    "fork" => Fork(commands::fork::Args),
    "remove" => Remove(commands::remove::Args),
    "restore" => Restore(commands::worktree::restore::Args),
    "reprioritize" => Reprioritize(commands::reprioritize::Args),
    "compare" | "compare-worktrees" => Compare(commands::compare::Args),
    "handoff" => Handoff(commands::handoff::Args),
    "export" => Export(commands::export::Args),
    "import" => Import(commands::import::Args),
    "batch" => Batch(Box<commands::batch::Args>),
    "conflicts" => Conflicts(commands::conflicts::Args),
    "merge" => Merge(commands::worktree::merge::Args),
    "pick" => Pick(commands::worktree::pick::Args),
    "pr" => Pr(commands::pr::Args),
    "worktree" => Worktree(commands::worktree::Args),
    "trust" => Trust(commands::trust::Args),
    "audit" => Audit(commands::audit::Args),
    "blame" => Blame(commands::blame::Args),
    "stats" => Stats(commands::stats::Args),
    "check" => Check(commands::check::Args),
    "hooks" => Hooks(commands::hooks::Args),
    "demo" => Demo(commands::demo::Args),
    "gc" => Gc(commands::gc::Args),
    "doctor" => Doctor(commands::doctor::Args),
    "sandbox" => Sandbox(commands::sandbox::Args),
    "diagnose" => Diagnose(commands::diagnose::Args),
    "setup" => Setup(commands::setup::Args),
    #[command(hide = true)]
    "supervise" => Supervise(commands::supervise::Args),
    #[command(hide = true)]
    "guard" => Guard(commands::guard::Args),
    #[command(hide = true)]
    "hook" => Hook(commands::hook::Args),
    #[command(hide = true)]
    "generate" => Generate(commands::generate::Args),
}

/// Parses the arguments and runs the verb.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    // Before anything else: it must stay a process of one thread, and lose no time.
    #[cfg(target_os = "linux")]
    if args.get(1).is_some_and(|arg| arg == crate::sandbox::INNER) {
        let code = crate::sandbox::run_inner(&args[2..]);
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    match commands::complete::answer(&args, command) {
        Ok(true) => return exit::DONE.into(),
        Ok(false) => {}
        Err(error) => return error.report(&Ui::new(&ui::Setup::default())).into(),
    }
    let ui = Ui::new(&ui::Setup {
        color: early_color(&args),
        env: ui::Env::of_process(),
        ..ui::Setup::default()
    });
    let Cli { global, verb } = match parse(&args, &ui) {
        Ok(cli) => cli,
        Err(error) => return said_by_clap(&error, &args, &ui).into(),
    };
    let ui = Ui::new(&ui::Setup {
        color: global.color,
        verbose: global.verbose,
        no_progress: global.no_progress,
        env: ui::Env::of_process(),
    });
    trace(global.verbose, &verb);
    let outcome = enter(global.dir).and_then(|()| dispatch(&ui, verb));
    match outcome {
        Ok(()) => exit::DONE.into(),
        Err(error) => error.report(&ui).into(),
    }
}

/// The tree of verbs and options, which help, man pages and completions are made from.
fn command() -> clap::Command {
    Cli::command()
}

/// A supervisor begins its own trace, at the level that is configured.
fn trace(verbose: u8, verb: &Verb) {
    let level = match verbose {
        0 | 1 => "warn",
        2 => "debug",
        _ => "trace",
    };
    if !matches!(verb, Verb::Supervise(_)) {
        ui::trace::start(level);
    }
}

fn dispatch(ui: &Ui, verb: Verb) -> Result {
    match verb {
        Verb::Start(args) => commands::start::run(ui, &args),
        Verb::List(args) => commands::list::run(ui, &args),
        Verb::Status(args) => commands::status::run(ui, &args),
        Verb::Log(args) => commands::log::run(ui, &args),
        Verb::Diff(args) => commands::diff::run(ui, &args),
        Verb::Attach(args) => commands::attach::run(ui, &args),
        Verb::Say(args) => commands::say::run(ui, &args),
        Verb::Answer(args) => commands::answer::run(ui, &args),
        Verb::Approve(args) => commands::approve::run(ui, &args),
        Verb::Deny(args) => commands::deny::run(ui, &args),
        Verb::Pause(args) => commands::pause::run(ui, &args),
        Verb::Resume(args) => commands::resume::run(ui, &args),
        Verb::Stop(args) => commands::stop::run(ui, &args),
        Verb::Rewind(args) => commands::rewind::run(ui, &args),
        Verb::Fork(args) => commands::fork::run(ui, &args),
        Verb::Remove(args) => commands::remove::run(ui, &args),
        Verb::Restore(args) => commands::worktree::restore::run(ui, &args),
        Verb::Reprioritize(args) => commands::reprioritize::run(ui, &args),
        Verb::Compare(args) => commands::compare::run(ui, &args),
        Verb::Handoff(args) => commands::handoff::run(ui, &args),
        Verb::Export(args) => commands::export::run(ui, &args),
        Verb::Import(args) => commands::import::run(ui, &args),
        Verb::Batch(args) => commands::batch::run(ui, &args),
        Verb::Conflicts(args) => commands::conflicts::run(ui, &args),
        Verb::Merge(args) => commands::worktree::merge::run(ui, &args),
        Verb::Pick(args) => commands::worktree::pick::run(ui, &args),
        Verb::Pr(args) => commands::pr::run(ui, &args),
        Verb::Worktree(args) => commands::worktree::run(ui, &args),
        Verb::Audit(args) => commands::audit::run(ui, &args),
        Verb::Blame(args) => commands::blame::run(ui, &args),
        Verb::Stats(args) => commands::stats::run(ui, &args),
        Verb::Check(args) => commands::check::run(ui, &args),
        Verb::Hooks(args) => commands::hooks::run(ui, &args),
        Verb::Demo(args) => commands::demo::run(ui, &args),
        Verb::Gc(args) => commands::gc::run(ui, &args),
        Verb::Trust(args) => commands::trust::run(ui, &args),
        Verb::Doctor(args) => commands::doctor::run(ui, &args),
        Verb::Sandbox(args) => commands::sandbox::run(ui, &args),
        Verb::Diagnose(args) => commands::diagnose::run(ui, &args),
        Verb::Setup(args) => commands::setup::run(ui, &args, command()),
        Verb::Guard(args) => commands::guard::run(&args),
        Verb::Hook(args) => commands::hook::run(ui, &args),
        Verb::Supervise(args) => commands::supervise::run(&args),
        Verb::Generate(args) => commands::generate::run(ui, &args, command()),
    }
}

/// Goes to the folder of `-C`, as git does, so that every path that was typed is seen from there.
fn enter(dir: Option<PathBuf>) -> Result {
    let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    std::env::set_current_dir(&dir).map_err(|error| {
        CommandError::usage(format!("cannot change to '{}'", dir.display()))
            .caused_by(Some(&error))
            .hint("-C takes a folder that is there")
    })
}

fn parse(args: &[OsString], ui: &Ui) -> clap::error::Result<Cli> {
    if let Some(cli) = parse_alone(args) {
        return Ok(cli);
    }
    let color = match (ui.look().colour, ui.narration_look().colour) {
        (true, true) => clap::ColorChoice::Always,
        (false, false) => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    };
    let mut command = command().color(color);
    let matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Parses with the one verb that seems to be meant: the tree of them all takes longer to build than
/// `list` to run. What does not parse so is for the whole tree to judge, and to say; what does,
/// would there too, since another verb before this one would be refused here.
fn parse_alone(args: &[OsString]) -> Option<Cli> {
    let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let verb = words.into_iter().find_map(verb_alone)?;
    let command = clap::Command::new("git-agent").subcommand_required(true).subcommand(verb);
    let matches = Global::augment_args(command).try_get_matches_from(args).ok()?;
    Cli::from_arg_matches(&matches).ok()
}

/// `--color` must hold for help and for errors of parsing too, so it is looked for before.
fn early_color(args: &[OsString]) -> ColorChoice {
    let value = args.iter().enumerate().find_map(|(at, arg)| match arg.to_str()? {
        "--color" => args.get(at + 1).and_then(|value| value.to_str()),
        arg => arg.strip_prefix("--color="),
    });
    let choice = value.and_then(|value| clap::ValueEnum::from_str(value, false).ok());
    choice.unwrap_or_default()
}

/// Help and version are answers; all else that clap says is wrong use, in our own form.
fn said_by_clap(error: &clap::Error, args: &[OsString], ui: &Ui) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = styled(error, ui.look().colour);
            ui.answer(&text)
                .map_or_else(|error| CommandError::from(error).report(ui), |()| exit::DONE)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui.narrate_styled(styled(error, ui.narration_look().colour).trim_end());
            exit::USAGE
        }
        _ => in_our_form(&styled(error, false), args).report(ui),
    }
}

fn styled(error: &clap::Error, colour: bool) -> String {
    let text = error.render();
    if colour { text.ansi().to_string() } else { text.to_string() }
}

/// clap's paragraphs: what is wrong, tips, the usage. Ours: one line, and a hint for each.
fn in_our_form(rendered: &str, args: &[OsString]) -> CommandError {
    let mut paragraphs = rendered.split("\n\n");
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut error = CommandError::new(Kind::Usage, message);
    for line in rendered.lines().skip(1).map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            error = error.hint(match tip.split_once(" exist") {
                // "a similar argument exists: '--json'", "some similar subcommands exist: …"
                Some((_, near)) => {
                    format!("Did you mean {}?", near.trim_start_matches(['s', ':', ' ']))
                }
                None => tip.to_owned(),
            });
        }
    }
    error.hint(format!("{} -h", verb_of(args)))
}

/// The verb that was typed, as far as there is such a one: `git agent worktree list`.
fn verb_of(args: &[OsString]) -> String {
    let tree = command();
    let mut verb = &tree;
    let mut typed = "git agent".to_owned();
    for word in args.iter().skip(1) {
        if let Some(next) = verb.find_subcommand(word) {
            verb = next;
            typed.push(' ');
            typed.push_str(next.get_name());
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> CommandError {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let error = parse(&args, &Ui::new(&ui::Setup::default())).unwrap_err();
        in_our_form(&styled(&error, false), &args)
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_verb_alone_parses_as_it_does_among_all() {
        let ui = Ui::new(&ui::Setup::default());
        let alone = |args: &[&str]| {
            let args: Vec<_> = ["git-agent"].iter().chain(args).map(OsString::from).collect();
            let alone = parse_alone(&args).map(|cli| format!("{cli:?}"));
            let matches = command().color(clap::ColorChoice::Never).try_get_matches_from(&args);
            let among = matches.and_then(|matches| Cli::from_arg_matches(&matches)).ok();
            let among = among.map(|cli| format!("{cli:?}"));
            assert!(alone.is_none() || alone == among, "{args:?}: {alone:?}, {among:?}");
            assert_eq!(parse(&args, &ui).ok().map(|cli| format!("{cli:?}")), among);
            alone.is_some()
        };
        for verb in command().get_subcommands() {
            for name in [verb.get_name()].into_iter().chain(verb.get_all_aliases()) {
                assert!(verb_alone(name).is_some_and(|it| it.get_name() == verb.get_name()));
                alone(&[name]);
                alone(&[name, "x"]);
                alone(&["-C", name, name, "--no-progress", "x", "y"]);
                alone(&[name, "list", "-vv"]);
            }
        }
        for known in [
            &["ls"][..],
            &["-C", "x", "--color=never", "list", "--json", "-v"],
            &["-C", "list", "list"],
            &["--color", "never", "worktree", "list"],
            &["hook", "pre-push", "origin", "-x"],
            &["start", "--", "list"],
            &["say", "list", "status"],
        ] {
            assert!(alone(known), "{known:?}");
        }
        for unknown in [
            &[][..],
            &["-C", "list", "status"],
            &["--version", "list"],
            &["list", "--help"],
            &["list", "--jsno"],
            &["nonsense", "list"],
            &["help"],
        ] {
            assert!(!alone(unknown), "{unknown:?}");
        }
    }

    #[test]
    fn what_clap_refuses_is_said_in_our_form() {
        let error = refused(&["git-agent", "lsit"]);
        assert_eq!(error.message, "unrecognized subcommand 'lsit'");
        assert_eq!(error.hints, ["Did you mean 'ls', 'list'?", "git agent -h"]);

        let error = refused(&["git-agent", "say"]);
        assert_eq!(error.message, "the following required arguments were not provided: <SESSION>");
        assert_eq!(error.hints, ["git agent say -h"]);
        assert_eq!(refused(&["git-agent", "start", "--base", ""]).hints, ["git agent start -h"]);

        let error = refused(&["git-agent", "list", "--color", "pink"]);
        assert_eq!(
            error.message,
            "invalid value 'pink' for '--color <WHEN>' [possible values: auto, always, never]"
        );
        assert_eq!(error.kind, Kind::Usage);
    }

    #[test]
    fn no_verb_has_an_argument_that_is_a_global_one() {
        fn ids(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                let own = verb.get_arguments().map(|arg| (path.clone(), arg.get_id().to_string()));
                found.extend(own);
                ids(verb, &path, found);
            }
        }
        let tree = command();
        let global: Vec<_> = tree.get_arguments().map(|arg| arg.get_id().to_string()).collect();
        let mut found = Vec::new();
        ids(&tree, "git agent", &mut found);
        found.retain(|(_, id)| global.contains(id));
        assert_eq!(found, []);
    }

    #[test]
    fn c10_an_empty_session_is_wrong_use() {
        for verb in [
            "status", "log", "diff", "attach", "say", "answer", "approve", "deny", "pause",
            "resume", "stop",
        ] {
            let message = refused(&["git-agent", verb, ""]).message;
            assert!(message.contains("SESSION"), "{verb}: {message}");
        }
    }

    #[test]
    fn each_help_line_is_imperative_and_has_no_full_stop() {
        fn check(command: &clap::Command) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about}", command.get_name());
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(
                    !help.is_empty() && !help.ends_with('.'),
                    "{} {arg}: {help}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = command();
        command.build();
        check(&command);
    }
}
