//! Something that went wrong with a session's work, given back to it as a task.
//!
//! Invariant: the session is waited for until it rests; what it rests as is for the caller to judge.

use std::time::Duration;

use crate::commands::context::Context;
use crate::commands::control;
use crate::error::{CommandError, Result};
use crate::git::ObjectId;
use crate::plan::forecast::Clashing;
use crate::plan::resolve::Resolution;
use crate::session::inbox::{Kind, When};
use crate::session::state::Phase;
use crate::session::store::Session;
use crate::ui::units;

/// How often is looked whether it rests.
const LOOK: Duration = Duration::from_millis(100);
/// How often a session is given its conflicts back.
const RESOLVED_AT_MOST: usize = 2;

/// What a session was told of conflicts with the branch that its work is for.
#[derive(Debug, Default)]
pub struct Conflicts {
    resolution: Resolution,
    told: usize,
}

impl Conflicts {
    /// What it has done about them; none before it was told of any.
    pub fn resolution(&self) -> Option<&Resolution> {
        Some(&self.resolution).filter(|_| self.told > 0)
    }

    /// Whether it may be told once more.
    pub fn may_be_told(&self) -> bool {
        self.told < RESOLVED_AT_MOST
    }

    /// Gives these files, which do not merge with the branch at that commit, back to the session,
    /// and waits for what it makes of them; `undone` is what else would have been done now.
    ///
    /// # Errors
    /// The session takes no words, or does not end well.
    pub fn tell(
        &mut self,
        context: &Context<'_>,
        session: &Session,
        to: (&str, ObjectId),
        files: &[Clashing],
        undone: &str,
    ) -> Result {
        let words = self.resolution.tell(&context.repo, session, to, files)?;
        let count = units::counted(files.len() as u64, "file");
        let phase = back(context, session, &words, &format!("{count} that conflict"))?;
        if phase != Phase::Done {
            let (id, standing) = (&session.id, control::standing(phase));
            return Err(CommandError::no(format!("{id} {standing}: nothing was {undone}"))
                .hint(format!("git agent status {id}")));
        }
        self.told += 1;
        Ok(())
    }
}

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
