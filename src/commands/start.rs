//! `git agent start`: a new session.
//!
//! Invariant: it ends with a whole session or with nothing.

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
use crate::check::Changes;
use crate::check::secret::NoSecrets;
use crate::config::{CommitStrategy, Config};
use crate::error::{CommandError, Kind, Result};
use crate::git::{Head, ObjectId, Repo};
use crate::model::{self, Choice, Endpoint, Looked, Surroundings};
use crate::policy::{self, Policy};
use crate::sandbox::Level;
use crate::sandbox::proxy::Pattern;
use crate::session::allowed;
use crate::session::carry;
use crate::session::create::{self, Created, Request};
use crate::session::format::FORMAT;
use crate::session::id;
use crate::session::spec::{Base, Given, Limits, Spec};
use crate::session::store::Session;
use crate::session::ticket::Priority;
use crate::session::worktree::{self, Layout, Place, Wish};
use crate::tool;
use crate::trust::team::{self, Settings};
use crate::ui::{Ui, card, units};

/// Start a session on a task, in the background
///
/// Opens a branch, a linked worktree and a session, and returns; a supervisor works on in the
/// background until the task is done or a person is needed. Your own checkout is not touched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent start \"Add rate limiting to the login endpoint\" --verify \"cargo test\"
  git agent start -F task.md --base origin/main --branch feature/limits
  echo \"Fix the flaky test\" | git agent start - --wait && git agent worktree merge fix-the")]
pub struct Args {
    /// What is to be done; `-` reads it from standard input, nothing opens your editor
    #[arg(conflicts_with = "file")]
    task: Vec<String>,
    /// Read the task from this file
    #[arg(short = 'F', long = "task-file", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    given: GivenArgs,
    /// The model, as provider/name (default: agent.model)
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = filled())]
    model: Option<String>,
    /// The model that goes on when the other is not to be had (default: agent.fallbackModel)
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = filled())]
    fallback_model: Option<String>,
    /// Command that must exit 0 on the committed tree before the session is done (may be repeated)
    #[arg(long, value_name = "CMD", value_parser = filled())]
    verify: Vec<String>,
    /// Commit to start from
    #[arg(long, value_name = "REV", default_value = "HEAD", value_parser = filled())]
    base: String,
    /// Branch to work on, made anew (default: agent/NAME)
    #[arg(long, value_name = "NAME", value_parser = filled())]
    branch: Option<String>,
    /// Name of the session's worktree folder (default: from the task)
    #[arg(long, value_name = "NAME", value_parser = filled())]
    worktree: Option<String>,
    /// Text that every commit's subject begins with, as in "feat(cart):"
    #[arg(long, value_name = "TEXT")]
    commit_prefix: Option<String>,
    /// When to commit on the branch
    #[arg(long, value_enum, value_name = "WHEN")]
    commit_strategy: Option<CommitStrategy>,
    /// What the commands of the agent are kept from (default: agent.sandbox, which is full)
    #[arg(long, value_enum, value_name = "LEVEL")]
    sandbox: Option<Level>,
    /// Hosts that commands may reach, as in crates.io, *.example.com, host:port (see also
    /// agent.sandbox.allowHost); needs a full sandbox
    #[arg(long, value_name = "HOST", num_args = 1..)]
    allow_net: Vec<Pattern>,
    /// Give the model no way to ask; whatever needs a person pauses
    #[arg(long)]
    unattended: bool,
    #[command(flatten)]
    bounds: BoundArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Share one budget among all sessions that are started with this name
    #[arg(long, value_name = "NAME", value_parser = filled())]
    share_budget: Option<String>,
    /// The batch that it belongs to
    #[arg(long, value_name = "ID", hide = true, value_parser = filled())]
    batch: Option<String>,
    /// What goes first where as many sessions run as may
    #[arg(long, value_enum, value_name = "PRIORITY", default_value_t)]
    priority: Priority,
    /// Wait for the end: exit 0 when done, 1 when failed, 3 when it needs a person
    #[arg(long, conflicts_with = "attach")]
    wait: bool,
    /// Follow the session's log until it rests; Ctrl-C leaves it running
    #[arg(long)]
    attach: bool,
    /// Say what would be started, and start nothing
    #[arg(long, conflicts_with_all = ["wait", "attach"])]
    dry_run: bool,
}

/// What the editor shows below the place for the task.
const EDITOR_HELP: &str = "\
What is to be done? The agent reads these words as they are.
Lines that begin with '#' are left out; an empty task starts nothing.";

/// Everything that is decided before anything is made.
struct Plan {
    task: String,
    choice: Choice,
    endpoint: Endpoint,
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
}

/// Starts a session.
///
/// # Errors
/// It cannot be started, and nothing is left of it; or, with `--wait`, it did not end well.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let probing = sandbox::Probing::begin(&context.repo)?;
    let mut plan = plan(&context, args, probing)?;
    if args.dry_run {
        return foretell(&context, args, &plan);
    }
    control::block_on(model::knock(&plan.endpoint))??;
    carry_along(&context, args, &mut plan)?;
    let created = create(&context, args, &plan)?;
    limits::make_shared(&context.store, args.share_budget.as_deref(), &plan.limits)?;
    let woken = control::queue_up(&context, &created.session, Some(args.priority))?;
    tell(&context, &plan, &created, &woken)?;
    let mut form = match (args.attach, args.wait) {
        (true, _) => Form::lines(ui),
        (_, true) => Form::Nothing,
        _ => return Ok(()),
    };
    let state = follow::until_it_rests(&context, &created.session, 0, &mut form)?;
    follow::outcome(ui, &created.session, &state)
}

fn plan(context: &Context<'_>, args: &Args, probing: sandbox::Probing) -> Result<Plan> {
    let repo = &context.repo;
    let (base, base_name) = base(repo, &args.base)?;
    let Settings { mut config, unknown, waiting } = team::settings(repo, base)?;
    for key in unknown {
        context.ui.warning(&key.to_string());
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
    let Some(named) = args.model.as_ref().or(config.model.as_ref()) else {
        return Err(no_model(&around));
    };
    let choice = named.parse::<Choice>()?.anchored(&cwd);
    let endpoint = Endpoint::resolve(&choice, &around)?;
    let fallback = args.fallback_model.as_ref().or(config.fallback_model.as_ref());
    let fallback = fallback.map(|named| fallback_of(named, &cwd, &around)).transpose()?;
    let limits =
        limits::of_new(&context.store, &args.limits, args.share_budget.as_deref(), &config)?;
    let sandbox = sandbox::level(args.sandbox, &config.sandbox, probing)?;
    if sandbox != Level::Full && !args.allow_net.is_empty() {
        let message = format!("--allow-net needs a full sandbox, and this one is {sandbox}");
        return Err(CommandError::usage(message).hint("git agent doctor"));
    }
    let given = if args.verify.is_empty() { &config.verify } else { &args.verify };
    let checks = allowed::checks(given, policy.as_ref());
    if let Some(policy) = policy {
        let models = fallback.iter().chain([&choice]).map(ToString::to_string).collect::<Vec<_>>();
        policy.check(&policy::Wish {
            folder: &allowed::folder(repo),
            models: models.iter().map(String::as_str).collect(),
            sandbox: &sandbox.to_string(),
            limits: allowed::caps(&limits),
        })?;
        endpoint.host().map_or(Ok(()), |host| policy.check_host(host))?;
        args.allow_net.iter().try_for_each(|host| policy.check_network(&host.host()))?;
    }
    Ok(Plan {
        task,
        choice,
        endpoint,
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
    })
}

/// Puts what is in no commit here into one that the session starts from.
fn carry_along(context: &Context<'_>, args: &Args, plan: &mut Plan) -> Result {
    let Some(what) = args.given.carry else { return Ok(()) };
    let (repo, ui) = (&context.repo, context.ui);
    if repo.resolve_commit("HEAD")? != plan.base {
        let message = format!("what is changed here is not on top of {}", plan.base_name);
        return Err(CommandError::usage(message).hint("--carry starts from HEAD: leave --base out"));
    }
    let Some(carried) = carry::carry(repo, plan.base, what, plan.config.max_file_size)? else {
        ui.narrate("  nothing to carry along: all is committed");
        return Ok(());
    };
    let [before, after] = carried.trees;
    let found = Changes::between(repo, before, after)?.judged_by(&[&NoSecrets])?;
    if let Some(finding) = found.first() {
        let message = format!("not carried along: {} {}", finding.path, finding.why);
        return Err(CommandError::new(Kind::Blocked, message)
            .hint("Let git ignore it, or take along less: --carry staged"));
    }
    let files = units::counted(carried.stat.paths.len() as u64, "file");
    ui.narrate(&format!("  carried along {files} that you changed, in a commit of yours"));
    carried.left_out.iter().for_each(|it| ui.warning(&format!("not carried along: {it}")));
    plan.carried_on = Some(std::mem::replace(&mut plan.base, carried.commit));
    Ok(())
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

fn create(context: &Context<'_>, args: &Args, plan: &Plan) -> Result<Created> {
    let slug = id::slug(&plan.task);
    let layout = layout(&plan.config);
    let request = Request {
        wish: Wish { slug: &slug, name: args.worktree.as_deref(), branch: args.branch.as_deref() },
        layout: &layout,
        base: plan.base,
        past: None,
        setup: plan.config.setup.as_deref(),
        min_free_disk: plan.config.min_free_disk,
    };
    let spec = |place: &Place| spec(context, args, plan, place);
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

fn spec(context: &Context<'_>, args: &Args, plan: &Plan, place: &Place) -> Spec {
    let config = &plan.config;
    Spec {
        format: FORMAT,
        id: place.id.clone(),
        name: place.name.clone(),
        task: plan.task.clone(),
        created: context.now,
        branch: place.branch.clone(),
        worktree: place.path.clone(),
        folder: folder(&context.repo),
        model: plan.choice.to_string(),
        fallback_model: plan.fallback.as_ref().map(ToString::to_string),
        verify: plan.checks.clone(),
        commit_prefix: args.commit_prefix.clone().unwrap_or_default(),
        commit_strategy: args.commit_strategy.unwrap_or(config.commit_strategy),
        trailers: config.trailers,
        unattended: args.unattended || config.unattended,
        sandbox: plan.sandbox.to_string(),
        allow_net: args.allow_net.iter().map(ToString::to_string).collect(),
        base: Base {
            commit: plan.base.to_string(),
            name: plan.base_name.clone(),
            carried_on: plan.carried_on.map(|commit| commit.to_string()),
        },
        share_budget: args.share_budget.clone(),
        limits: plan.limits,
        bounds: args.bounds.to_bounds(),
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

fn tell(context: &Context<'_>, plan: &Plan, created: &Created, woken: &Woken) -> Result {
    let Session { id, spec, .. } = &created.session;
    let worktree = view::from_here(&spec.worktree);
    let branch = spec.branch_name();
    let done = if matches!(woken, Woken::Waits(_)) { "Queued" } else { "Started" };
    context.ui.answer(&format!("{done} {id}  (branch {branch}, worktree {worktree})"))?;
    let base = card::short(&spec.base.commit);
    let (model, sandbox) = (plan.choice.label(), &spec.sandbox);
    context.ui.narrate(&format!(
        "  base {} ({base}) · model {model} · sandbox {sandbox} · {}",
        spec.base.name,
        limits::words(&spec.limits, spec.share_budget.as_deref())
    ));
    if spec.limits.budget.is_some() && !model::is_priced(&plan.choice) {
        context
            .ui
            .narrate(&format!("  no price is known for {model}: tokens are counted, money is not"));
    }
    if let Woken::Waits(place) = woken {
        context.ui.narrate(&format!("  {}", card::place(place)));
    }
    tell_waiting(context.ui, &plan.waiting);
    tell_included(context.ui, created);
    context.ui.hint(&format!("git agent log -f {id}    git agent status {id}"));
    Ok(())
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

fn foretell(context: &Context<'_>, args: &Args, plan: &Plan) -> Result {
    let slug = id::slug(&plan.task);
    let wish = Wish { slug: &slug, name: args.worktree.as_deref(), branch: args.branch.as_deref() };
    let place = worktree::place(&context.repo, &layout(&plan.config), &wish)?;
    let spec = spec(context, args, plan, &place);
    let (branch, worktree) = (spec.branch_name(), view::from_here(&spec.worktree));
    let verify = if spec.verify.is_empty() { "none".to_owned() } else { spec.verify.join("; ") };
    let lines = [
        format!("Would start a session on branch {branch}, in {worktree}"),
        format!("  base     {} ({})", spec.base.name, spec.base.commit),
        format!("  model    {} at {}", plan.choice.label(), plan.endpoint.address()),
        format!("  verify   {verify}"),
        format!("  sandbox  {}", spec.sandbox),
        format!("  limits   {}", limits::words(&spec.limits, spec.share_budget.as_deref())),
    ];
    let given = plan.given.iter().map(|given| format!("  given    {}", given.what));
    let lines: Vec<_> = lines.into_iter().chain(given).collect();
    context.ui.answer(&lines.join("\n"))?;
    tell_waiting(context.ui, &plan.waiting);
    Ok(())
}

fn filled() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}
