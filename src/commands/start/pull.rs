//! The pull request that a new session is to end in.
//!
//! Invariant: that there is a remote for it is known before anything is made.

use super::super::context::Context;
use super::super::wish;
use crate::config::Config;
use crate::error::{CommandError, Result};
use crate::land::pull::Route;
use crate::session::pull::PullWish;
use crate::session::spec::Spec;
use crate::session::store::Session;

/// Whether a pull request is opened when a session is done.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct EndArgs {
    /// Open a pull request when it is done, as git agent pr does
    #[arg(long)]
    pr: bool,
    /// And watch it: what its checks and reviewers find goes back to the session (implies --pr)
    #[arg(long)]
    babysit: bool,
    #[command(flatten)]
    how: wish::PullArgs,
    /// Make sure that one could be opened, and open none: all of a batch are opened together
    #[arg(long, hide = true)]
    pr_later: bool,
}

impl EndArgs {
    /// The option that asks for one, if one does.
    pub(super) fn given(&self) -> Option<&'static str> {
        match () {
            () if self.pr => Some("--pr"),
            () if self.babysit => Some("--babysit"),
            () if self.pr_later => Some("--pr-later"),
            () if !self.how.options().is_empty() => Some("--draft and --reviewer"),
            () => None,
        }
    }

    /// The way that it would go, where one is asked for.
    ///
    /// # Errors
    /// There is no remote, or it is not known which; no pull request would come of it.
    pub(super) fn route(
        &self,
        context: &Context<'_>,
        config: &Config,
        spec: &Spec,
    ) -> Result<Option<Route>> {
        let Some(option) = self.given() else { return Ok(None) };
        let route = Route::find(&context.repo, config, spec, None, None);
        let route = route.map_err(|error| {
            CommandError::from(error).hint(format!("Leave {option} out to start without one"))
        })?;
        Ok(Some(route))
    }

    /// Notes it beside the session, for who ends its run.
    pub(super) fn note(&self, session: &Session) -> Result {
        if self.given().is_none() || self.pr_later {
            return Ok(());
        }
        let watch = self.babysit.then(|| "--watch".to_owned());
        let options = ["--in-background".to_owned()].into_iter().chain(watch);
        Ok(PullWish::new(options.chain(self.how.options()).collect()).write(session)?)
    }
}
