//! What a running feed is told from outside.

use super::turn::CameIn;
use super::watching::Watching;
use crate::store::Seq;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The ways to tell a running feed something.
#[derive(Clone, Default)]
pub(super) struct Controls {
    /// No new offers; end when the replies owed are in.
    pub(super) stop: CancellationToken,
    /// End now, and only save the cursor.
    pub(super) abandon: CancellationToken,
    /// Dial now.
    pub(super) nudge: Arc<Notify>,
    /// Offer these, which the peer was thought to have.
    pub(super) owed: Arc<Mutex<Vec<Seq>>>,
    /// Whose answers are waited for.
    watching: Arc<Mutex<Watching>>,
    /// Take these connections, which the peer has opened.
    pub(super) came_in: CameIn,
}

impl Controls {
    /// See [`Watching`].
    pub(super) fn watched(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
