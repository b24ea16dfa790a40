//! The forge that a pull request is at, as far as anybody can ask it.
//!
//! Invariant: nothing is asked of a forge here but what it is, and that without a token.

use super::Job;
use crate::commands::context::Context;
use crate::commands::control;
use crate::config::Config;
use crate::error::{CommandError, Kind, Result};
use crate::forge::place::{Address, Place};
use crate::forge::token::{self, Found};
use crate::forge::{self, Forge};
use crate::land::pull::Route;
use crate::session::store::Session;
use crate::ui::Ui;

/// A forge that can be asked, or why none can.
pub(super) enum Way<'a> {
    Forge(Box<Forge<'a>>),
    ByHand { place: Option<Box<Place>>, why: String, hint: String },
}

/// The forge that a session's pull request is at.
///
/// # Errors
/// None can be asked: a person has to.
pub(super) fn forge<'a>(job: &Job<'a>, session: &Session) -> Result<Forge<'a>> {
    match way_to(job.context, &job.config, &job.route(session)?)? {
        Way::Forge(forge) => Ok(*forge),
        Way::ByHand { why, hint, .. } => Err(CommandError::new(Kind::NeedsPerson, why).hint(hint)),
    }
}

/// The forge of the remote, with a token for it.
///
/// # Errors
/// A setting makes no sense, or git cannot be run.
pub(super) fn way_to<'a>(context: &Context<'a>, config: &Config, route: &Route) -> Result<Way<'a>> {
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
