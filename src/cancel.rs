//! One flag that says "stop what you are doing", and a way to wait for it.
//!
//! Invariant: once raised it stays raised, and every clone sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A stop request shared by all who run on its holder's behalf.
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

    /// Whether somebody has asked.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// The flag itself, for libraries that poll one.
    pub fn as_atomic(&self) -> &AtomicBool {
        &self.0.raised
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
