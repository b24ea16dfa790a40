//! Flags that say "stop what you are doing", and a way to wait for them.
//!
//! Invariant: every clone sees the same flag, and a raise is never missed by who waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A request shared by its giver and by all who act on it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    raised: AtomicBool,
    notify: Notify,
}

impl Cancel {
    /// Asks all who hold this flag to stop.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Takes the request back: it was heard.
    pub fn lower(&self) {
        self.0.raised.store(false, Ordering::SeqCst);
    }

    /// Whether somebody has asked.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Returns once somebody has asked.
    pub async fn raised(&self) {
        loop {
            // Enlisted before the look at the flag, so that a raise between the two is not missed.
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_raised() {
                return;
            }
            notified.await;
        }
    }
}

/// How people interrupt a running session.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Something in the inbox cannot wait: an answer of the model is not waited for, a tool is.
    pub hush: Cancel,
    /// It is to stop: a tool is not waited for either.
    pub stop: Cancel,
    /// The system asks for the stop: a shutdown, not a person.
    pub shutdown: Cancel,
}
