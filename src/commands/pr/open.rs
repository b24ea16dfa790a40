//! A pull request, opened or brought up to date.
//!
//! Invariant: the session is held from before its work is taken until it knows its pull request;
//! the branch is pushed before the forge is asked, so that a refusal there costs nothing.

use std::result::Result as StdResult;

use super::HowArgs;
use crate::commands::context::Context;
use crate::commands::control;
use crate::config::Config;
use crate::error::{CommandError, Kind, Result};
use crate::event::PullRequest;
use crate::forge::place::{Address, Place};
use crate::forge::token::{self, Found};
use crate::forge::{self, Change, Draft, Forge, ForgeError, Pull};
use crate::land::pull::{self, Body, Made, Ready, Route};
use crate::plan::work;
use crate::plan::{Plan, Wish};
use crate::session::state::State;
use crate::session::store::Session;
use crate::ui::Ui;

/// What would be done.
#[derive(Debug)]
pub(super) struct Would {
    pub(super) route: Route,
    pub(super) plan: Plan,
    pub(super) title: String,
    pub(super) body: String,
    /// The one that would be updated.
    pub(super) known: Option<PullRequest>,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) plan: Plan,
    pub(super) pull: PullRequest,
    pub(super) made: Made,
    pub(super) outcome: Outcome,
}

/// What came of it at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Opened,
    Updated,
    /// Nobody could ask the forge: why, and what a person can do about that.
    ByHand {
        why: String,
        hint: String,
    },
}

/// A forge that can be asked, or why none can.
enum Way<'a> {
    Forge(Box<Forge<'a>>),
    ByHand { place: Option<Box<Place>>, why: String, hint: String },
}

/// Says what would be done, from what is here of the remote.
///
/// # Errors
/// Every reason not to push.
pub(super) fn rehearse(context: &Context<'_>, session: &Session, how: &HowArgs) -> Result<Would> {
    let config = context.config()?;
    let route = route(context, &config, session, how)?;
    let tips = route.tips(&context.repo)?;
    route.fetch(&context.repo, tips.into)?;
    let program = std::env::current_exe()?;
    let wish = wish(how, &program);
    let (plan, message) = pull::rehearse(&context.repo, session, &route, tips.into, &wish)?;
    let state = session.state()?;
    let body = body(&config, how, session, &state, &plan, None, &route);
    Ok(Would { route, plan, title: title(how, &message), body, known: state.pull_request })
}

/// Pushes the branch, and opens or updates the pull request.
///
/// # Errors
/// Every reason not to push, or the forge refuses.
pub(super) fn open(context: &Context<'_>, session: &Session, how: &HowArgs) -> Result<Done> {
    let repo = &context.repo;
    let config = context.config()?;
    let route = route(context, &config, session, how)?;
    let way = way_to(context, &config, &route)?;
    let (_lock, mut state) = work::hold(repo, session)?;
    let program = std::env::current_exe()?;
    let wish = wish(how, &program);
    let (ready, made) = pushed(context, session, &state, &route, &wish)?;
    let mut known = PullRequest {
        remote: route.push_remote.clone(),
        branch: route.branch.clone(),
        into: route.into.clone(),
        commit: ready.commit.to_string(),
        ..state.pull_request.clone().unwrap_or_default()
    };
    if known.number.is_none() {
        "pushed".clone_into(&mut known.state);
    }
    let work = ready.plan.work.commit;
    // Whatever the forge says: this is on the branch now.
    pull::note(repo, session, &mut state, &known, work)?;
    let outcome = match way {
        Way::Forge(forge) => {
            let body = body(&config, how, session, &state, &ready.plan, Some(&ready), &route);
            let asked = Asked { route: &route, how, title: title(how, &ready.message), body };
            let (found, outcome) = control::block_on(ask(&forge, &asked, &known))??;
            known = with_number(&known, forge.place(), &found);
            outcome
        }
        Way::ByHand { place, why, hint } => {
            if let Some(place) = &place {
                place.kind.as_str().clone_into(&mut known.forge);
                if known.number.is_none() {
                    known.url = place.compare_url(&route.into, &route.branch);
                }
            }
            Outcome::ByHand { why, hint }
        }
    };
    pull::note(repo, session, &mut state, &known, work)?;
    if how.record || config.pr.record {
        pull::push_record(repo, &route, &session.id)?;
    }
    Ok(Done { plan: ready.plan, pull: known, made, outcome })
}

/// The forge that a session's pull request is at.
///
/// # Errors
/// None can be asked: a person has to.
pub(super) fn forge<'a>(
    context: &Context<'a>,
    session: &Session,
    how: &HowArgs,
) -> Result<Forge<'a>> {
    let config = context.config()?;
    match way_to(context, &config, &route(context, &config, session, how)?)? {
        Way::Forge(forge) => Ok(*forge),
        Way::ByHand { why, hint, .. } => Err(CommandError::new(Kind::NeedsPerson, why).hint(hint)),
    }
}

/// Makes the commits and pushes them; again, where the branch that it is for moves meanwhile.
fn pushed(
    context: &Context<'_>,
    session: &Session,
    state: &State,
    route: &Route,
    wish: &Wish<'_>,
) -> Result<(Ready, Made)> {
    let repo = &context.repo;
    let tips = route.tips(repo)?;
    route.fetch(repo, tips.into)?;
    // From before the first object is written until the remote has the last.
    repo.keep_written(&session.kept_dir())?;
    let ready = pull::prepare(repo, session, state, route, tips, wish)
        .and_then(|ready| pull::push(repo, route, &ready).map(|made| (ready, made)));
    if let Err(error) = repo.let_go() {
        tracing::warn!(%error, "what was written is kept on");
    }
    Ok(ready?)
}

fn route(
    context: &Context<'_>,
    config: &Config,
    session: &Session,
    how: &HowArgs,
) -> Result<Route> {
    let (remote, into) = (how.remote.as_deref(), how.into.as_deref());
    Ok(Route::find(&context.repo, config, &session.spec, remote, into)?)
}

fn wish<'a>(how: &HowArgs, program: &'a std::path::Path) -> Wish<'a> {
    Wish {
        way: how.way(),
        unverified: how.no_verify,
        no_hooks: how.no_hooks,
        program: Some(program),
        ..Wish::default()
    }
}

fn title(how: &HowArgs, message: &str) -> String {
    let subject = || message.lines().next().unwrap_or_default().to_owned();
    how.title.clone().unwrap_or_else(subject)
}

fn body(
    config: &Config,
    how: &HowArgs,
    session: &Session,
    state: &State,
    plan: &Plan,
    ready: Option<&Ready>,
    route: &Route,
) -> String {
    let is_recorded = how.record || config.pr.record;
    Body {
        spec: &session.spec,
        state,
        plan,
        verify: ready.and_then(|ready| ready.verify.as_ref()),
        cost: config.pr.cost,
        record_at: is_recorded.then_some(route.url.as_str()),
        stands_on: None,
    }
    .text()
}

/// The forge of the remote, with a token for it.
fn way_to<'a>(context: &Context<'a>, config: &Config, route: &Route) -> Result<Way<'a>> {
    let unknown = |why: String| Way::ByHand {
        place: None,
        why,
        hint: "git config agent.forge.<host>.type github|gitlab|forgejo names it".to_owned(),
    };
    let Some(address) = Address::parse(&route.url) else {
        let why = format!("the remote {} is at no forge: {}", route.remote, plain(&route.url));
        return Ok(unknown(why));
    };
    let named = config.forges.get(&address.host).cloned().unwrap_or_default();
    let known = match Place::known(&address, &named)? {
        Some(place) => Some(place),
        None => control::block_on(forge::probe(&address))??,
    };
    let Some(place) = known else {
        let why = format!("{} is no forge that is known here", address.host);
        return Ok(unknown(why));
    };
    let repo = &context.repo;
    let around = token::Surroundings {
        env: &|name| std::env::var(name).ok(),
        git: &|| repo.user_git_in_main(),
    };
    match token::find(&place, &around)? {
        Found::Token(token) => {
            let ui = context.ui;
            let on_wait = Box::new(move |wait: &forge::Wait| tell_wait(ui, wait));
            let forge = Forge::open(place, &token, forge::PATIENCE, on_wait)?;
            Ok(Way::Forge(Box::new(forge)))
        }
        Found::Nothing(looked_for) => {
            let host = &place.address.host;
            let why = format!("no token for {host}; looked for {}", looked_for.join(", "));
            let hint = format!("git credential approve keeps one for {host}; then try again");
            Ok(Way::ByHand { place: Some(Box::new(place)), why, hint })
        }
    }
}

/// An address without what may be a password in it.
fn plain(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://{}", &url[at + 1..]),
        _ => url.to_owned(),
    }
}

fn tell_wait(ui: &Ui, wait: &forge::Wait) {
    let until = wait.until.strftime("%H:%M:%S UTC");
    ui.narrate(&format!("{} limits the rate: waiting until {until}", wait.host));
}

/// What is asked of a forge.
struct Asked<'a> {
    route: &'a Route,
    how: &'a HowArgs,
    title: String,
    body: String,
}

/// Opens the pull request, or updates the one that is there.
async fn ask(
    forge: &Forge<'_>,
    asked: &Asked<'_>,
    known: &PullRequest,
) -> StdResult<(Pull, Outcome), ForgeError> {
    let Asked { route, how, .. } = asked;
    let from = (route.push_url != route.url).then(|| Address::parse(&route.push_url)).flatten();
    let from = from.filter(|from| from.path != forge.place().address.path);
    let there = match known.number {
        Some(number) => Some(forge.pull(number).await?).filter(is_open),
        None => None,
    };
    let there = match there {
        Some(there) => Some(there),
        None => forge.find(from.as_ref(), &route.branch).await?,
    };
    let (pull, outcome) = match there {
        Some(there) => (update(forge, asked, there).await?, Outcome::Updated),
        None => {
            let draft = Draft {
                from: from.as_ref(),
                branch: &route.branch,
                into: &route.into,
                title: &asked.title,
                body: &asked.body,
                is_draft: how.draft,
            };
            match forge.create(&draft).await {
                Ok(pull) => (pull, Outcome::Opened),
                // Somebody was quicker, or it was not in the listing yet.
                Err(error @ ForgeError::Refused { status: 409 | 422, .. }) => {
                    let found = forge.find(from.as_ref(), &route.branch).await?;
                    let found = found.ok_or(error)?;
                    (update(forge, asked, found).await?, Outcome::Updated)
                }
                Err(error) => return Err(error),
            }
        }
    };
    if !how.reviewer.is_empty() {
        forge.ask(pull.number, &how.reviewer).await?;
    }
    Ok((pull, outcome))
}

fn is_open(pull: &Pull) -> bool {
    pull.standing == forge::Standing::Open
}

/// Brings our part of the description up to date; a title only where one is given.
async fn update(forge: &Forge<'_>, asked: &Asked<'_>, there: Pull) -> StdResult<Pull, ForgeError> {
    let body = pull::renewed(&there.body, &asked.body);
    let title = asked.how.title.as_deref().filter(|title| *title != there.title);
    let into = Some(asked.route.into.as_str()).filter(|into| *into != there.into);
    let change = Change { title, body: body.as_deref(), into };
    match change {
        Change { title: None, body: None, into: None } => Ok(there),
        change => forge.change(there.number, &change).await,
    }
}

fn with_number(known: &PullRequest, place: &Place, pull: &Pull) -> PullRequest {
    PullRequest {
        forge: place.kind.as_str().to_owned(),
        number: Some(pull.number),
        url: pull.url.clone(),
        state: pull.standing.as_str().to_owned(),
        ..known.clone()
    }
}
