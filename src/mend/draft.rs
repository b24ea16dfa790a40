//! A start that was cut off: a folder that never became a session, and what had been made for it.
//!
//! Invariant: each thing goes only if it is still as the start had made it.

use std::io;

use super::{Ground, Problem};
use crate::session::create;
use crate::session::lock::Lock;

pub(super) fn find<'a>(ground: &Ground<'a>) -> io::Result<Vec<Problem<'a>>> {
    let Ground { repo, store, .. } = *ground;
    let problem = |id: String| {
        Problem::new("start", format!("the start of {id} was cut off half-way")).cure(move || {
            let _lock = Lock::acquire(&store.root().join("create.lock"))?;
            create::recover(repo, store)?;
            Ok(format!("what had been made for {id} is gone"))
        })
    };
    Ok(store.unfinished()?.into_iter().map(|session| problem(session.id)).collect())
}
