//! Conflicts as a task for the session that has them.
//!
//! Invariant: the session is waited for until it rests; if it rests for another reason than being
//! done, nothing is landed.

use std::time::Duration;

use crate::commands::context::Context;
use crate::commands::control;
use crate::error::{CommandError, Result};
use crate::session::inbox::{Kind, When};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::units;

/// How often is looked whether it rests.
const LOOK: Duration = Duration::from_millis(100);

/// Says these words to a session about its files, and waits for what it makes of them.
///
/// # Errors
/// It takes no words, or it comes to rest without being done.
pub(super) fn give_back(
    context: &Context<'_>,
    session: &Session,
    words: &str,
    files: usize,
) -> Result {
    let id = &session.id;
    control::send(session, Kind::Say { text: words.to_owned(), when: When::AfterStep })?;
    let woken = control::wake(context, session)?;
    let files = units::counted(files as u64, "file");
    context.ui.narrate(&format!("Told {id} of {files} that conflict; it {}", woken.words()));
    while control::is_run(session)? {
        std::thread::sleep(LOOK);
    }
    match session.state()?.phase {
        Phase::Done => Ok(()),
        phase => {
            let standing = control::standing(phase);
            Err(CommandError::no(format!("{id} {standing}: nothing was landed"))
                .hint(format!("git agent status {id}")))
        }
    }
}
