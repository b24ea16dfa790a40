//! Something that went wrong with a session's work, given back to it as a task.
//!
//! Invariant: the session is waited for until it rests; what it rests as is for the caller to judge.

use std::time::Duration;

use crate::commands::context::Context;
use crate::commands::control;
use crate::error::Result;
use crate::session::inbox::{Kind, When};
use crate::session::state::Phase;
use crate::session::store::Session;

/// How often is looked whether it rests.
const LOOK: Duration = Duration::from_millis(100);

/// Says these words to a session, which are about this, and waits for what it makes of them.
///
/// # Errors
/// It takes no words, or its state cannot be read.
pub fn back(context: &Context<'_>, session: &Session, words: &str, about: &str) -> Result<Phase> {
    let id = &session.id;
    control::send(session, Kind::Say { text: words.to_owned(), when: When::AfterStep })?;
    let woken = control::wake(context, session)?;
    context.ui.narrate(&format!("Told {id} of {about}; it {}", woken.words()));
    while control::is_run(session)? {
        std::thread::sleep(LOOK);
    }
    Ok(session.state()?.phase)
}
