//! The pull request that is wished for before there is anything to put into it.
//!
//! Invariant: what is wished for is handed on as options of `git agent pr`, which alone knows what
//! they do.

use clap::builder::NonEmptyStringValueParser;

/// What a pull request is to be that is opened later.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PullArgs {
    /// Open a pull request, as a draft
    #[arg(long)]
    draft: bool,
    /// Open a pull request, and ask this person, or with a slash this group, to look at it; may be
    /// given several times
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    reviewer: Vec<String>,
}

impl PullArgs {
    /// The same as options of `git agent pr`; none where nothing is wished for.
    pub fn options(&self) -> Vec<String> {
        let draft = self.draft.then(|| "--draft".to_owned());
        let reviewers =
            self.reviewer.iter().flat_map(|name| ["--reviewer".to_owned(), name.clone()]);
        draft.into_iter().chain(reviewers).collect()
    }
}
