//! `git agent import`: a session that comes in a file.
//!
//! Invariant: nothing of it is run, and it is taken in whole or not at all.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::context::Context;
use super::limits::{self, LimitArgs};
use super::sandbox;
use super::start::layout;
use crate::config::Config;
use crate::error::Result;
use crate::model::{Choice, Endpoint, Surroundings};
use crate::policy::Policy;
use crate::sandbox::Level;
use crate::session::adopt::{self, Adopted, House};
use crate::session::disk;
use crate::session::spec::Limits;
use crate::session::state::{Phase, State};
use crate::session::worktree::Layout;
use crate::ui::{Ui, card, json, text, units};

/// Take in a session that was exported elsewhere
///
/// All of it is checked before anything is kept: the objects, as git fsck does, and the record, as
/// git agent audit verify does. The session rests, without a worktree, until you resume it; its
/// record stays that of who made it. This machine's sandbox and limits hold for it, and no host is
/// open that it was allowed to reach elsewhere.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  git agent import fix-login-7f3k.bundle
  git agent import fix-login-7f3k.bundle && git agent resume fix-login
  git agent import fix-login-7f3k.bundle --model ollama/qwen3-coder")]
pub struct Args {
    /// The file that git agent export has written
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The model that goes on with it here, as provider/name (default: its own)
    #[arg(long, value_name = "PROVIDER/NAME", value_parser = NonEmptyStringValueParser::new())]
    model: Option<String>,
    /// Print JSON: {"format":1,"import":{…}}
    #[arg(long)]
    json: bool,
}

/// What was taken in, in format 1 of the JSON.
#[derive(Debug, Serialize)]
struct View<'a> {
    session: &'a str,
    state: &'a str,
    steps: u32,
    branch: &'a str,
    base: &'a str,
    records: u64,
    signed: bool,
}

/// Takes the session in.
///
/// # Errors
/// The file holds no sound session, or it is here already; nothing is kept then.
pub fn run(ui: &Ui, args: &Args) -> Result {
    let context = Context::open(ui)?;
    let terms = Terms::of(&context)?;
    let size = fs_err::metadata(&args.file)?.len();
    disk::check(context.store.root(), terms.min_free_disk.saturating_add(size))?;
    let model = args.model.as_deref().map(|named| usable(&context, named)).transpose()?;
    let house = House { model: model.as_deref(), ..terms.house() };
    let adopted = adopt::from_bundle(&context.repo, &context.store, &args.file, &house)?;
    tell(ui, &adopted, args.json)?;
    let goes_on = adopted.session.state()?.phase != Phase::Done;
    if goes_on && let Err(error) = usable(&context, &adopted.session.spec.model) {
        let id = &adopted.session.id;
        ui.warning(&format!("its model is not to be had here: {}", error.line()));
        ui.hint(&format!(
            "git agent remove {id} and import it again with --model PROVIDER/NAME; or set it up"
        ));
    }
    Ok(())
}

/// The model by its whole name, if this machine has a way to it and the policy lets it be asked.
fn usable(context: &Context<'_>, named: &str) -> Result<String> {
    let cwd = std::env::current_dir()?;
    let choice = named.parse::<Choice>()?.anchored(&cwd);
    let endpoint = Endpoint::resolve(
        &choice,
        &Surroundings {
            env: &|key| std::env::var(key).ok(),
            config: &|key| context.repo.config_value(key),
            cwd: &cwd,
        },
    )?;
    if let Some(policy) = Policy::of_machine()? {
        policy.check_model(&choice.to_string())?;
        endpoint.host().map_or(Ok(()), |host| policy.check_host(host))?;
    }
    Ok(choice.to_string())
}

/// What holds on this machine for a session from elsewhere.
pub(super) struct Terms {
    layout: Layout,
    sandbox: String,
    limits: Limits,
    min_free_disk: u64,
}

impl Terms {
    /// By the settings, and the policy.
    ///
    /// # Errors
    /// A setting is wrong, or this machine cannot do the sandbox that is set.
    pub(super) fn of(context: &Context<'_>) -> Result<Self> {
        let probing = sandbox::Probing::begin(&context.repo)?;
        let mut config: Config = context.config()?;
        if let Some(policy) = Policy::of_machine()? {
            limits::cap(&mut config, policy.caps());
        }
        let level: Level = sandbox::level(None, &config.sandbox, &probing)?;
        Ok(Self {
            layout: layout(&config),
            sandbox: level.to_string(),
            limits: LimitArgs::default().or_settings(&config),
            min_free_disk: config.min_free_disk,
        })
    }

    pub(super) fn house(&self) -> House<'_> {
        House { layout: &self.layout, sandbox: &self.sandbox, limits: self.limits, model: None }
    }
}

fn tell(ui: &Ui, adopted: &Adopted, as_json: bool) -> Result {
    let Adopted { session, proof } = adopted;
    let (id, spec, state) = (&session.id, &session.spec, session.state()?);
    if as_json {
        let view = View {
            session: id,
            state: state.phase.as_str(),
            steps: state.step,
            branch: spec.branch_name(),
            base: &spec.base.commit,
            records: proof.records,
            signed: proof.is_signed,
        };
        return Ok(ui.answer(&json::named("import", &view)?)?);
    }
    let steps = units::counted(state.step.into(), "step");
    let (phase, branch) = (state.phase.as_str().replace('-', " "), spec.branch_name());
    ui.answer(&format!("Imported {id}  ({phase}, {steps}, branch {branch})"))?;
    let signed = if proof.is_signed { "signed" } else { "not signed" };
    ui.narrate(&format!("  proven, {}, {signed}", units::counted(proof.records, "record")));
    let base = format!("{} ({})", text::neutral(&spec.base.name), card::short(&spec.base.commit));
    let limits = limits::words(&spec.limits, None);
    ui.narrate(&format!("  base {base} · sandbox {} · {limits}", spec.sandbox));
    ui.hint(&next(id, &state));
    Ok(())
}

fn next(id: &str, state: &State) -> String {
    match state.phase {
        Phase::Done => format!("git agent merge {id}    git agent handoff {id}"),
        Phase::NeedsInput => {
            format!("git agent restore {id}    git agent status {id}")
        }
        _ => format!("git agent resume {id}    git agent handoff {id}"),
    }
}
