//! The tools a model may call, one a file.
//!
//! Invariant: a tool never takes the loop down: what goes wrong goes back to the model in words.
//!
//! To add one: a file with its `SHAPE` and its `call`, and an arm in `Tool`.

mod aim;
mod arguments;
mod ask;
mod bash;
mod edit;
mod finish;
mod matching;
pub mod output;
mod path;
mod plan;
mod read;
mod search;
mod write;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use fs_err as fs;

pub use self::aim::{Aim, Target, names};
use self::arguments::{Arguments, Shape};
pub use self::bash::Ran;
use self::output::Cap;
use self::path::Reach;
use crate::event::{Access, Visit};
use crate::file::Changed;
use crate::message::{PlanItem, ToolCall, ToolSpec};
use crate::policy::Policy;
use crate::process::Cmd;
use crate::sandbox::Sandbox;
use crate::sandbox::proxy::{self, Blocked, Pattern, Place, Proxy};

/// What the tools of a session need.
#[derive(Debug)]
pub struct Setup {
    /// The worktree: where commands run, and all that is written.
    pub root: PathBuf,
    /// Where outputs too long for the model are kept whole, outside the worktree. Made if missing.
    pub out_dir: PathBuf,
    /// Where programs run.
    pub sandbox: Sandbox,
    /// Whether somebody can answer a question.
    pub attended: bool,
    /// The program that ends the tools should this process be killed: it must call
    /// [`crate::process::guard::watch`] on its standard input.
    pub guard: Option<Cmd>,
}

/// The tools of one session.
#[derive(Debug)]
pub struct Toolbox {
    reach: Reach,
    shell: bash::Shell,
    attended: bool,
    files: Mutex<Files>,
}

/// What the model knows of files.
#[derive(Debug, Default)]
struct Files {
    /// Those it has read or written, or was warned about.
    seen: HashSet<PathBuf>,
    /// How often an edit of a file failed since the last that did not.
    failed_edits: HashMap<PathBuf, u32>,
}

/// The folders of a session's tools could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the folders of the tools")]
pub struct ToolboxError(#[from] std::io::Error);

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// What the model reads.
    pub output: String,
    /// Whether it should hear it as an error.
    pub is_error: bool,
    /// One line for people: `cargo test · exit 1 · 3.2 s`.
    pub title: String,
    /// What the loop must do about it.
    pub effect: Effect,
    /// What may have changed in the worktree.
    pub changed: Changed,
}

/// What a call asks of the loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The plan is now this.
    Plan(Vec<PlanItem>),
    /// A person must answer; the answer becomes the call's result.
    Ask {
        /// What is asked.
        question: String,
        /// Answers to choose from, maybe none.
        options: Vec<String>,
    },
    /// The model says that it is done.
    Finish {
        /// What it did.
        summary: String,
        /// What it ran and what that showed; maybe empty.
        checks: String,
    },
}

/// A call that a tool could carry out.
#[derive(Debug)]
struct Done {
    output: String,
    is_error: bool,
    title: String,
    effect: Effect,
    changed: Changed,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            output: String::new(),
            is_error: false,
            title: String::new(),
            effect: Effect::None,
            changed: Changed::Nothing,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Ask,
    Bash,
    Edit,
    Finish,
    Plan,
    Read,
    Search,
    Write,
}

impl Tool {
    /// Sorted by name: the order in which a model is told of them.
    const ALL: [Self; 8] = [
        Self::Ask,
        Self::Bash,
        Self::Edit,
        Self::Finish,
        Self::Plan,
        Self::Read,
        Self::Search,
        Self::Write,
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.shape().name.eq_ignore_ascii_case(name.trim()))
    }

    fn shape(self) -> &'static Shape {
        match self {
            Self::Ask => &ask::SHAPE,
            Self::Bash => &bash::SHAPE,
            Self::Edit => &edit::SHAPE,
            Self::Finish => &finish::SHAPE,
            Self::Plan => &plan::SHAPE,
            Self::Read => &read::SHAPE,
            Self::Search => &search::SHAPE,
            Self::Write => &write::SHAPE,
        }
    }
}

/// Whether a call names a tool and says what that needs, each value of its type; one that does not
/// is answered in words.
pub fn understands(call: &ToolCall) -> bool {
    Tool::named(&call.name).is_some_and(|tool| {
        Arguments::parse(tool.shape(), &call.arguments).is_ok_and(|arguments| match tool {
            Tool::Plan => plan::call(&arguments).is_ok(),
            _ => arguments.are_typed(),
        })
    })
}

/// What a call of `finish` says was done; none for any other call.
pub fn summary_of(call: &ToolCall) -> Option<String> {
    let tool = Tool::named(&call.name).filter(|tool| *tool == Tool::Finish)?;
    let done = finish::call(&Arguments::parse(tool.shape(), &call.arguments).ok()?).ok()?;
    match done.effect {
        Effect::Finish { summary, .. } => Some(summary),
        _ => None,
    }
}

/// The file that a call edits or writes, as it names it; none for any other call.
pub fn edited(call: &ToolCall) -> Option<String> {
    let tool = Tool::named(&call.name).filter(|it| matches!(it, Tool::Edit | Tool::Write))?;
    Arguments::parse(tool.shape(), &call.arguments).ok()?.text("file_path").ok()
}

/// Whether a call runs a command.
pub fn is_command(call: &ToolCall) -> bool {
    Tool::named(&call.name) == Some(Tool::Bash)
}

impl Toolbox {
    /// The tools for one worktree.
    ///
    /// # Errors
    /// A folder cannot be opened or made.
    pub fn new(setup: Setup) -> Result<Self, ToolboxError> {
        fs::create_dir_all(&setup.out_dir)?;
        let out_dir = fs::canonicalize(&setup.out_dir)?;
        let (tmp, inner_tmp) = (setup.sandbox.tmp(), setup.sandbox.inner_tmp());
        let reach = Reach::new(&setup.root, &[(&out_dir, &out_dir), (tmp, inner_tmp)])?;
        let mark = format!("{:016x}", random()?);
        let shell = bash::Shell::new(setup.sandbox, out_dir, mark, setup.guard)?;
        Ok(Self { reach, shell, attended: setup.attended, files: Mutex::default() })
    }

    /// The tools as a model is told of them: sorted, and the same bytes in every session alike.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools().map(|tool| tool.shape().spec()).collect()
    }

    /// Whether a call changes nothing, so that it may run beside others.
    pub fn reads_only(&self, call: &ToolCall) -> bool {
        matches!(self.tool(&call.name), Some(Tool::Read | Tool::Search))
    }

    /// Whether a call may be run again where nobody knows how far it got: it leaves no trace.
    pub fn is_repeatable(&self, call: &ToolCall) -> bool {
        !matches!(self.tool(&call.name), Some(Tool::Bash | Tool::Edit | Tool::Write))
    }

    /// One line that says what a call is going to do.
    pub fn title(&self, call: &ToolCall) -> String {
        let Some(tool) = self.tool(&call.name) else { return output::line(&call.name, 40) };
        let name = tool.shape().name;
        let Ok(arguments) = Arguments::parse(tool.shape(), &call.arguments) else {
            return name.to_owned();
        };
        let key = match tool {
            Tool::Ask => "question",
            Tool::Bash if arguments.has("job") => "job",
            Tool::Bash => "command",
            Tool::Edit | Tool::Read | Tool::Write => "file_path",
            Tool::Finish => "summary",
            Tool::Plan => return name.to_owned(),
            Tool::Search => "pattern",
        };
        let value = output::line(&arguments.text(key).unwrap_or_default(), 80);
        match (tool, key) {
            (Tool::Bash, "command") => value,
            (Tool::Bash, key) => format!("{key} {value}"),
            _ => format!("{name} {value}"),
        }
    }

    /// Carries out a call. Dropping the future ends what it started.
    pub async fn call(&self, call: &ToolCall) -> Called {
        let Some(tool) = self.tool(&call.name) else {
            let names: Vec<_> = self.tools().map(|tool| tool.shape().name).collect();
            let name = output::line(&call.name, 40);
            let output = format!("there is no tool {name}; there are {}.\n", names.join(", "));
            return Called::failed(output, name);
        };
        match self.dispatch(tool, &call.arguments).await {
            Ok(Done { output, is_error, title, effect, changed }) => {
                Called { output, is_error, title, effect, changed }
            }
            Err(output) => Called::failed(with_line_end(output), self.title(call)),
        }
    }

    /// Runs a command as `bash` would, for the program itself (verify, set-up): at most for
    /// `limit`, after which all it started is ended.
    ///
    /// # Errors
    /// The shell cannot be started, in words.
    pub async fn run(&self, command: &str, limit: Duration, cap: Cap) -> Result<Ran, String> {
        self.shell.run(command, limit, cap).await
    }

    /// Lets commands reach this host, `host:port`, from now on; not one that the policy of this
    /// machine forbids by now.
    pub fn allow_host(&self, place: &str) {
        let Some(proxy) = self.shell.proxy() else { return };
        let pattern = Place::parse(place, None).map(|place| Pattern::of(&place));
        let pattern = pattern.map_err(|error| error.to_string()).and_then(|pattern| {
            let policy = Policy::of_machine().map_err(|error| error.to_string())?;
            let checked = policy.map_or(Ok(()), |policy| policy.check_network(&pattern.host()));
            checked.map(|()| pattern).map_err(|error| error.to_string())
        });
        match pattern {
            Ok(pattern) => proxy.allow(pattern),
            Err(error) => tracing::warn!(error, "a host that was allowed is not opened"),
        }
    }

    /// The hosts that commands have asked for since the last look.
    pub fn take_visits(&self) -> Vec<Visit> {
        let visits = self.shell.proxy().map(Proxy::take_visits).unwrap_or_default();
        let told = |visit: proxy::Visit| Visit {
            place: visit.place.to_string(),
            access: match visit.blocked {
                None => Access::Allowed,
                Some(Blocked::NotAllowed) => Access::NotAllowed,
                Some(Blocked::Private(_)) => Access::Private,
            },
            received: visit.received,
        };
        visits.into_iter().map(told).collect()
    }

    /// Whether commands can still be run, and reach what they may.
    ///
    /// # Errors
    /// They cannot: why, in a few words.
    pub fn check(&self) -> Result<(), String> {
        self.shell.check()
    }

    /// Whether somebody is there to answer.
    pub fn is_attended(&self) -> bool {
        self.attended
    }

    /// Whether a job runs beside the calls.
    pub fn has_jobs(&self) -> bool {
        self.shell.has_jobs()
    }

    /// Ends all jobs: for the end of the work, or before a pause. Dropping the toolbox does the
    /// same without asking them first.
    pub async fn end_jobs(&self) {
        self.shell.end_jobs().await;
    }

    /// In place of the result of a call that was not run, or not to its end: why, in words.
    pub fn not_run(&self, call: &ToolCall, why: &str) -> Called {
        let changed = match self.reads_only(call) {
            true => Changed::Nothing,
            // It may have begun.
            false => Changed::Anything,
        };
        Called { changed, ..Called::failed(with_line_end(why.to_owned()), self.title(call)) }
    }

    async fn dispatch(&self, tool: Tool, raw: &str) -> Result<Done, String> {
        let arguments = Arguments::parse(tool.shape(), raw)?;
        match tool {
            Tool::Ask => ask::call(&arguments),
            Tool::Bash => self.shell.call(&arguments, &self.reach).await,
            Tool::Edit => edit::call(&arguments, &self.reach, &self.files),
            Tool::Finish => finish::call(&arguments),
            Tool::Plan => plan::call(&arguments),
            Tool::Read => read::call(&arguments, &self.reach, &self.files),
            Tool::Search => search::call(&arguments, &self.reach).await,
            Tool::Write => write::call(&arguments, &self.reach, &self.files),
        }
    }

    fn tools(&self) -> impl Iterator<Item = Tool> {
        Tool::ALL.into_iter().filter(|tool| self.attended || *tool != Tool::Ask)
    }

    fn tool(&self, name: &str) -> Option<Tool> {
        Tool::named(name).filter(|tool| self.attended || *tool != Tool::Ask)
    }
}

impl Called {
    fn failed(output: String, title: String) -> Self {
        let effect = Effect::None;
        Self { output, is_error: true, title, effect, changed: Changed::Nothing }
    }
}

impl Files {
    fn has_seen(&mut self, path: &Path) {
        self.seen.insert(path.to_owned());
    }
}

fn with_line_end(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn random() -> std::io::Result<u64> {
    getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests;
