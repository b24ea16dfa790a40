//! Where a session may work, as flags.
//!
//! Invariant: a pattern that is none is refused before anything is made.

use crate::pattern::{BadPattern, Patterns, Use};
use crate::session::spec::Bounds;

/// Where a session may work.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BoundArgs {
    /// Change files here alone, such as "src/**" (may be repeated)
    #[arg(long, value_name = "PATTERN", value_parser = restricts)]
    scope: Vec<String>,
    /// Change no file here (may be repeated)
    #[arg(long, value_name = "PATTERN", value_parser = restricts, hide_short_help = true)]
    exclude: Vec<String>,
    /// Ask before a file here is changed; agent.protect holds too (may be repeated)
    #[arg(long, value_name = "PATTERN", value_parser = restricts, hide_short_help = true)]
    protect: Vec<String>,
    /// Ask before more files than this are changed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true, hide_short_help = true)]
    max_files: Option<u32>,
}

impl BoundArgs {
    /// As a session keeps them.
    pub fn to_bounds(&self) -> Bounds {
        let Self { scope, exclude, protect, max_files } = self.clone();
        Bounds { scope, exclude, protect, max_files }
    }
}

fn restricts(text: &str) -> Result<String, String> {
    let read = Patterns::new(&[text], Use::Restrict);
    read.map(|_| text.to_owned()).map_err(|BadPattern { why, .. }| why)
}
