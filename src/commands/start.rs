//! `git agent start`: a new session.
//!
//! Invariant: it ends with a whole session or with nothing.

mod attempts;
mod carry;
mod gates;
mod hosts;
mod pull;

use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;

use super::bounds::BoundArgs;
use super::context::Context;
use super::control::{self, Woken};
use super::follow::{self, Form};
use super::given::GivenArgs;
use super::limits::{self, LimitArgs};
use super::{message, sandbox, view};
use crate::agent::Rules;
use crate::config::{CommitStrategy, Config};
use crate::error::{CommandError, Result};
use crate::git::{Head, ObjectId, Repo};
use crate::model::{self, Choice, Endpoint, Looked, Surroundings};
use crate::policy::{self, Capability, Policy};
use crate::redact;
use crate::sandbox::Level;
use crate::sandbox::proxy::Pattern;
use crate::session::allowed;
use crate::session::create::{self, Created, Request};
use crate::session::format::FORMAT;
use crate::session::id;
use crate::session::spec::{Attempt, Base, Gates, Given, Limits, Spec};
use crate::session::store::Session;
use crate::session::ticket::Priority;
use crate::session::worktree::{self, Layout, Place, PlaceError, Wish};
use crate::tool;
use crate::trust::team::{self, Settings};
use crate::ui::{Ui, card};
use attempts::AttemptArgs;
use gates::GateArgs;
use pull::EndArgs;

/// Start a session on a task, in the background
///
/// Opens a branch, a linked worktree and a session, and returns; a supervisor works on in the
/// background until the task is done or a person is needed. Your own checkout is not touched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent start \"Add rate limiting to the login endpoint\" --verify \"cargo test\"
  git agent start -F task.md --base origin/main --branch feature/limits
  git agent start \"Speed up the parser\" -n 3 --bench \"make bench\" --verify \"make test\"
  echo \"Fix the flaky test\" | git agent start - --wait && git agent worktree merge fix-the")]
pub struct Args {
    /// What is to be done; `-` reads it from standard input, nothing opens your editor
    #[arg(conflicts_with = "file")]
    task: Vec<String>,
    /// Read the task from this file
    #[arg(short = 'F', long = "task-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Wait for the end: exit 0 when done, 1 when failed, 3 when it needs a person; Ctrl-C leaves it
    /// running
    #[arg(long, conflicts_with = "attach")]
    wait: bool,
    /// Follow the session's log until it rests; Ctrl-C leaves it running
    #[arg(long)]
    attach: bool,
    /// Give the model no way to ask; whatever needs a person pauses
    #[arg(long, hide_short_help = true)]
    unattended: bool,
    /// What goes first where as many sessions run as may
    #[arg(long, value_enum, value_name = "PRIORITY", default_value_t, hide_short_help = true)]
    priority: Priority,
    /// Say what would be started, and start nothing
    #[arg(long, conflicts_with_all = ["wait", "attach"])]
    dry_run: bool,
    /// The batch that it belongs to
    #[arg(long, value_name = "ID", hide = true, value_parser = filled())]
    batch: Option<String>,
    /// The model, as provider/name (default: agent.model)
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = filled(), help_heading = "Model")]
    model: Option<String>,
    /// The model that goes on when the other is not to be had (default: agent.fallbackModel)
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = filled(), help_heading = "Model", hide_short_help = true)]
    fallback_model: Option<String>,
    #[command(flatten, next_help_heading = "Checks and gates")]
    gates: GateArgs,
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitArgs,
    /// Share one budget among all sessions that are started with this name
    #[arg(long, value_name = "NAME", value_parser = filled(), help_heading = "Limits", hide_short_help = true)]
    share_budget: Option<String>,
    #[command(flatten, next_help_heading = "Context")]
    given: GivenArgs,
    #[command(flatten, next_help_heading = "What it may change")]
    bounds: BoundArgs,
    /// What the commands of the agent are kept from (default: agent.sandbox, which is full)
    #[arg(long, value_enum, value_name = "LEVEL", help_heading = SANDBOX, hide_short_help = true)]
    sandbox: Option<Level>,
    /// Hosts that commands may reach, as in crates.io, *.example.com, host:port (see also
    /// agent.sandbox.allowHost); needs a full sandbox
    #[arg(long, value_name = "HOST", num_args = 1.., help_heading = SANDBOX)]
    allow_net: Vec<Pattern>,
    /// Commit to start from
    #[arg(long, value_name = "REV", default_value = "HEAD", value_parser = filled(), help_heading = BRANCH)]
    base: String,
    /// Branch to work on, made anew (default: agent/NAME)
    #[arg(long, value_name = "NAME", value_parser = filled(), help_heading = BRANCH)]
    branch: Option<String>,
    /// Name of the session's worktree folder (default: from the task)
    #[arg(long, value_name = "NAME", value_parser = filled(), help_heading = BRANCH, hide_short_help = true)]
    worktree: Option<String>,
    /// Text that every commit's subject begins with, as in "feat(cart):"
    #[arg(long, value_name = "TEXT", help_heading = BRANCH, hide_short_help = true)]
    commit_prefix: Option<String>,
    /// When to commit on the branch
    #[arg(long, value_enum, value_name = "WHEN", help_heading = BRANCH, hide_short_help = true)]
    commit_strategy: Option<CommitStrategy>,
    #[command(flatten, next_help_heading = "Several attempts")]
    attempts: AttemptArgs,
    #[command(flatten, next_help_heading = "Pull request")]
    end: EndArgs,
}

/// Headings of the page of help that stand above options of this file.
const BRANCH: &str = "Branch and commits";
const SANDBOX: &str = "Sandbox and network";

/// What the editor shows below the place for the task.
const EDITOR_HELP: &str = "\
What is to be done? The agent reads these words as they are.
Lines that begin with '#' are left out; an empty task starts nothing.";

/// Everything that is decided before anything is made.
struct Plan {
    task: String,
    /// Each attempt at it; most often one.
    attempts: Vec<Way>,
    fallback: Option<Choice>,
    base: ObjectId,
    base_name: String,
    /// The commit beneath, where the base holds what was carried along.
    carried_on: Option<ObjectId>,
    given: Vec<Given>,
    config: Config,
    limits: Limits,
    /// The commands that must succeed.
    checks: Vec<String>,
    /// What the team's file sets and nobody has consented to.
    waiting: Vec<String>,
    sandbox: Level,
    gates: Gates,
}

/// With what, and how, one attempt goes about the task.
struct Way {
    choice: Choice,
    endpoint: Endpoint,
    approach: String,
}

/// Starts a session, or several attempts at one task.
///
/// # Errors
/// One cannot be started, and nothing is left of any; or, with `--wait`, one did not end well.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let probing = sandbox::Probing::begin(&context.repo)?;
    let mut plan = plan(&context, args, &probing)?;
    if args.dry_run {
        return foretell(&context, args, &plan);
    }
    if args.end.given().is_some() {
        args.end.route(&context, &plan.config, &first(&context, args, &plan)?)?;
    }
    for (at, way) in plan.attempts.iter().enumerate() {
        let is_known = plan.attempts[..at].iter().any(|other| other.choice == way.choice);
        if !is_known {
            control::block_on(model::knock(&way.endpoint))??;
        }
    }
    carry::along(&context, args, &mut plan)?;
    let created = create_all(&context, args, &plan)?;
    created.iter().try_for_each(|made| args.end.note(&made.session))?;
    limits::make_shared(&context.store, args.share_budget.as_deref(), &plan.limits)?;
    let started = created.iter().zip(&plan.attempts).map(|(created, way)| {
        let woken = control::queue_up(&context, &created.session, Some(args.priority))?;
        tell(&context, way, created, &woken)
    });
    control::told(ui, started)?;
    tell_next(&context, &plan, &created);
    let mut form = match (args.attach, args.wait) {
        (true, _) => Form::lines(ui),
        (_, true) => Form::Nothing,
        _ => return Ok(()),
    };
    let sessions: Vec<_> = created.iter().map(|created| &created.session).collect();
    follow::until_all_rest(&context, &sessions, &mut form)
}

fn plan(context: &Context<'_>, args: &Args, probing: &sandbox::Probing) -> Result<Plan> {
    let repo = &context.repo;
    let wanted = args.attempts.wanted()?;
    if let (true, Some(flag)) = (wanted.len() > 1, args.for_one()) {
        return Err(CommandError::usage(format!("{flag} is for one session, not for several"))
            .hint(format!("Leave {flag} out: each attempt gets one of its own")));
    }
    let (base, base_name) = base(repo, &args.base)?;
    let Settings { mut config, unknown, waiting } = team::settings(repo, base)?;
    for key in unknown {
        context.ui.warning(&key.to_string());
    }
    if let Some(why) = config.otel.unheeded() {
        context.ui.warning(why);
    }
    let policy = Policy::of_machine()?;
    if let Some(policy) = &policy {
        limits::cap(&mut config, policy.caps());
    }
    Rules::parse(&config.permission, &tool::names())?;
    let source =
        message::Source { words: &args.task, file: args.file.as_deref(), help: EDITOR_HELP };
    let task = message::read(context, &source)?;
    let cwd = std::env::current_dir()?;
    let around = Surroundings {
        env: &|key| std::env::var(key).ok(),
        config: &|key| repo.config_value(key),
        cwd: &cwd,
    };
    let mut attempts = Vec::new();
    for attempt in wanted {
        let given = attempt.model.or(args.model.as_deref()).or(config.model.as_deref());
        let Some(named) = given else { return Err(no_model(&around)) };
        let choice = named.parse::<Choice>()?.anchored(&cwd);
        let endpoint = Endpoint::resolve(&choice, &around)?;
        let approach = attempt.approach.map(|it| redact::text(it).into_owned());
        attempts.push(Way { choice, endpoint, approach: approach.unwrap_or_default() });
    }
    let fallback = args.fallback_model.as_ref().or(config.fallback_model.as_ref());
    let fallback = fallback.map(|named| fallback_of(named, &cwd, &around)).transpose()?;
    let limits =
        limits::of_new(&context.store, &args.limits, args.share_budget.as_deref(), &config)?;
    let sandbox = sandbox::level(args.sandbox, &config.sandbox, probing)?;
    let hosts = hosts::of(context, args, &config, sandbox)?;
    let given = if args.gates.verify.is_empty() { &config.verify } else { &args.gates.verify };
    let checks = allowed::checks(given, policy.as_ref());
    let gates = args.gates.to_gates(&checks)?;
    if let Some(policy) = policy {
        if args.end.given().is_some() {
            policy.check_capability(Capability::Pr)?;
        }
        let models = fallback.iter().chain(attempts.iter().map(|way| &way.choice));
        let models = models.map(ToString::to_string).collect::<Vec<_>>();
        policy.check(&policy::Wish {
            folder: &allowed::folder(repo),
            models: models.iter().map(String::as_str).collect(),
            sandbox: &sandbox.to_string(),
            limits: allowed::caps(&limits),
        })?;
        let asked = attempts.iter().filter_map(|way| way.endpoint.host());
        asked.into_iter().try_for_each(|host| policy.check_host(host))?;
        hosts.iter().try_for_each(|host| policy.check_network(&host.host()))?;
    }
    Ok(Plan {
        task,
        attempts,
        fallback,
        base,
        base_name,
        carried_on: None,
        given: args.given.read(context.ui)?,
        config,
        limits,
        checks,
        waiting,
        sandbox,
        gates,
    })
}

impl Args {
    /// What was given that only one session can have.
    fn for_one(&self) -> Option<&'static str> {
        let given = [
            (self.branch.is_some(), "--branch"),
            (self.worktree.is_some(), "--worktree"),
            (self.attach, "--attach"),
        ];
        let given = given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag));
        given.or_else(|| self.end.given())
    }
}

/// The model that is to go on where the other is not to be had: it must be usable from the start.
fn fallback_of(named: &str, cwd: &Path, around: &Surroundings<'_>) -> Result<Choice> {
    let choice = named.parse::<Choice>()?.anchored(cwd);
    Endpoint::resolve(&choice, around)?;
    Ok(choice)
}

/// The commit to start from, and what to call it: the branch, where `HEAD` is on one.
fn base(repo: &Repo, named: &str) -> Result<(ObjectId, String)> {
    let head = repo.head()?;
    match (named, head) {
        ("HEAD", Head::Unborn(_)) => Err(CommandError::no("there is no commit to start from yet")
            .hint("git commit --allow-empty -m \"Begin\" makes the first")),
        ("HEAD", Head::Branch { name, id }) => {
            let short = name.strip_prefix("refs/heads/").unwrap_or(&name);
            Ok((id, short.to_owned()))
        }
        _ => Ok((repo.resolve_commit(named)?, named.to_owned())),
    }
}

/// No model is named: says what was looked for, and what there is.
fn no_model(around: &Surroundings<'_>) -> CommandError {
    let mut error = CommandError::no("no model is chosen: neither --model nor agent.model is set");
    let mut missing = Vec::new();
    for (provider, looked) in model::look(around) {
        match looked {
            Looked::Found(sources) => {
                let sources = sources.join(", ");
                error = error.hint(format!(
                    "git config --global agent.model {provider}/<model> uses {sources}"
                ));
            }
            Looked::Missing(looked_for) => {
                // The variables; settings and git's credentials are the same for all providers.
                missing.extend(looked_for.into_iter().filter(|place| !place.contains(['.', ' '])));
            }
            Looked::Wrong(reason) => error.causes.push(reason),
        }
    }
    if error.hints.is_empty() {
        error.message.push_str(&format!(
            "; no key in {}, agent.<provider>.keyCommand or git's credentials",
            missing.join(", ")
        ));
        error = error.hint("git agent start \"…\" --model ollama/<model> asks a local server");
    }
    error.hint("git agent doctor shows what this machine has; git agent demo needs no model")
}

/// Makes the session of each attempt: all of them, or none.
fn create_all(context: &Context<'_>, args: &Args, plan: &Plan) -> Result<Vec<Created>> {
    let of = plan.attempts.len();
    let group = group(plan)?;
    if group.is_some() {
        let task = plan.task.lines().next().unwrap_or_default();
        context.ui.narrate(&format!("Making {of} attempts at one task: {task}"));
    }
    let mut made: Vec<Created> = Vec::new();
    for at in 0..of {
        match create(context, args, plan, at, group.as_deref()) {
            Ok(created) => made.push(created),
            Err(error) => {
                for created in made.iter().rev() {
                    create::take_back(&context.repo, &context.store, created)?;
                }
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// What the attempts are called together; none where there is one.
fn group(plan: &Plan) -> Result<Option<String>> {
    let several = plan.attempts.len() > 1;
    let group = several.then(|| id::fresh(&id::slug(&plan.task))).transpose();
    Ok(group.map_err(PlaceError::from)?)
}

fn create(
    context: &Context<'_>,
    args: &Args,
    plan: &Plan,
    at: usize,
    group: Option<&str>,
) -> Result<Created> {
    let slug = id::slug(&plan.task);
    let layout = layout(&plan.config);
    let program = std::env::current_exe()?;
    let request = Request {
        wish: Wish { slug: &slug, name: args.worktree.as_deref(), branch: args.branch.as_deref() },
        layout: &layout,
        base: plan.base,
        past: None,
        setup: create::setup(&plan.config, &program),
        min_free_disk: plan.config.min_free_disk,
    };
    let spec = |place: &Place| spec(context, args, plan, at, group, place);
    Ok(create::create(&context.repo, &context.store, &request, spec)?)
}

/// The user's wishes for all worktrees.
pub(super) fn layout(config: &Config) -> Layout {
    Layout {
        path: config.worktree_path.clone(),
        branch_prefix: config.branch_prefix.clone(),
        home: std::env::home_dir(),
    }
}

fn spec(
    context: &Context<'_>,
    args: &Args,
    plan: &Plan,
    at: usize,
    group: Option<&str>,
    place: &Place,
) -> Spec {
    let (config, way) = (&plan.config, &plan.attempts[at]);
    let attempt = |group: &str| Attempt {
        group: group.to_owned(),
        number: u32::try_from(at + 1).unwrap_or(u32::MAX),
        of: u32::try_from(plan.attempts.len()).unwrap_or(u32::MAX),
        approach: way.approach.clone(),
    };
    Spec {
        format: FORMAT,
        id: place.id.clone(),
        name: place.name.clone(),
        task: plan.task.clone(),
        created: context.now,
        branch: place.branch.clone(),
        worktree: place.path.clone(),
        folder: folder(&context.repo),
        model: way.choice.to_string(),
        began_with: None,
        fallback_model: plan.fallback.as_ref().map(ToString::to_string),
        verify: plan.checks.clone(),
        commit_prefix: args.commit_prefix.clone().unwrap_or_default(),
        commit_strategy: args.commit_strategy.unwrap_or(config.commit_strategy),
        trailers: config.trailers,
        unattended: args.unattended || config.unattended,
        sandbox: plan.sandbox.to_string(),
        allow_net: args.allow_net.iter().map(ToString::to_string).collect(),
        experiment: args.gates.is_experiment(),
        base: Base {
            commit: plan.base.to_string(),
            name: plan.base_name.clone(),
            carried_on: plan.carried_on.map(|commit| commit.to_string()),
        },
        share_budget: args.share_budget.clone(),
        limits: plan.limits,
        bounds: args.bounds.to_bounds(),
        gates: plan.gates.clone(),
        attempt: group.map(attempt),
        forked_from: None,
        batch: args.batch.clone(),
        context: plan.given.clone(),
    }
}

/// The folder that the verb was typed in, seen from the root of its checkout.
fn folder(repo: &Repo) -> String {
    let here = std::env::current_dir().and_then(fs_err::canonicalize).ok();
    let inside = here.as_deref().zip(repo.work_dir());
    let inside = inside.and_then(|(here, root)| here.strip_prefix(root).ok());
    inside.and_then(|folder| folder.to_str()).unwrap_or_default().to_owned()
}

fn tell(context: &Context<'_>, way: &Way, created: &Created, woken: &Woken) -> Result {
    let Session { id, spec, .. } = &created.session;
    let worktree = view::from_here(&spec.worktree);
    let branch = spec.branch_name();
    let done = if matches!(woken, Woken::Waits(_)) { "Queued" } else { "Started" };
    context.ui.answer(&format!("{done} {id}  (branch {branch}, worktree {worktree})"))?;
    let base = card::short(&spec.base.commit);
    let (model, sandbox) = (way.choice.label(), &spec.sandbox);
    context.ui.narrate(&format!(
        "  base {} ({base}) · model {model} · sandbox {sandbox}\n  {}",
        spec.base.name,
        limits::words(&spec.limits, spec.share_budget.as_deref())
    ));
    if spec.limits.budget.is_some() && !model::is_priced(&way.choice) {
        context
            .ui
            .narrate(&format!("  no price is known for {model}: tokens are counted, money is not"));
    }
    if !way.approach.is_empty() {
        context.ui.narrate(&format!("  approach: {}", way.approach));
    }
    if let Woken::Waits(place) = woken {
        context.ui.narrate(&format!("  {}", card::place(place)));
    }
    tell_included(context.ui, created);
    Ok(())
}

/// What holds for all that was started, and what to do next.
fn tell_next(context: &Context<'_>, plan: &Plan, created: &[Created]) {
    tell_waiting(context.ui, &plan.waiting);
    let Some(Session { id, spec, .. }) = created.first().map(|created| &created.session) else {
        return;
    };
    context.ui.hint(&match &spec.attempt {
        Some(Attempt { group, .. }) => format!("git agent list    git agent compare {group}"),
        None => format!("git agent log -f {id}    git agent status {id}"),
    });
}

/// What does not hold before the user consents to it.
fn tell_waiting(ui: &Ui, waiting: &[String]) {
    if !waiting.is_empty() {
        ui.warning(&format!(
            "{} sets what waits for your consent: {}",
            team::FILE,
            waiting.join(", ")
        ));
        ui.hint("git agent trust shows it and consents");
    }
}

/// What a new worktree was given besides the files of its commit.
pub(super) fn tell_included(ui: &Ui, created: &Created) {
    let Created { included, submodules, .. } = created;
    for path in submodules {
        ui.narrate(&format!("  submodule {path} initialised"));
    }
    for path in &included.copied {
        ui.narrate(&format!("  copied {}", path.display()));
    }
    for (path, reason) in &included.skipped {
        ui.warning(&format!("{} is not copied: {reason}", path.display()));
    }
    for line in &included.bad_lines {
        ui.warning(&format!(".worktreeinclude, {line}"));
    }
}

/// What the first session would be.
fn first(context: &Context<'_>, args: &Args, plan: &Plan) -> Result<Spec> {
    let slug = id::slug(&plan.task);
    let wish = Wish { slug: &slug, name: args.worktree.as_deref(), branch: args.branch.as_deref() };
    let place = worktree::place(&context.repo, &layout(&plan.config), &wish)?;
    Ok(spec(context, args, plan, 0, group(plan)?.as_deref(), &place))
}

fn foretell(context: &Context<'_>, args: &Args, plan: &Plan) -> Result {
    let spec = first(context, args, plan)?;
    let route = args.end.route(context, &plan.config, &spec)?;
    let (branch, worktree) = (spec.branch_name(), view::from_here(&spec.worktree));
    let verify = if spec.verify.is_empty() { "none".to_owned() } else { spec.verify.join("; ") };
    let first = match plan.attempts.len() {
        1 => format!("Would start a session on branch {branch}, in {worktree}"),
        of => format!("Would start {of} attempts, the first on branch {branch}, in {worktree}"),
    };
    let base = card::short(&spec.base.commit);
    let mut lines = vec![first, format!("  base     {} ({base})", spec.base.name)];
    for Way { choice, endpoint, approach } in &plan.attempts {
        let how = if approach.is_empty() { String::new() } else { format!(": {approach}") };
        lines.push(format!("  model    {} at {}{how}", choice.label(), endpoint.address()));
    }
    lines.extend([
        format!("  verify   {verify}"),
        format!("  sandbox  {}", spec.sandbox),
        format!("  limits   {}", limits::words(&spec.limits, spec.share_budget.as_deref())),
    ]);
    let gates = spec.gates.lines();
    if !gates.is_empty() {
        lines.push(format!("  gates    {}", gates.join("; ")));
    }
    lines.extend(plan.given.iter().map(|given| format!("  given    {}", given.what)));
    lines.extend(route.map(|route| format!("  pull     request into {}", route.base())));
    context.ui.answer(&lines.join("\n"))?;
    tell_waiting(context.ui, &plan.waiting);
    Ok(())
}

fn filled() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}
