//! Content that is on disk and stays there.

use super::{checked::Checked, presence::Presence};
use crate::store::content_lock::ContentLock;
use std::sync::{Arc, atomic::AtomicUsize};

/// Content that is on disk and not evicted while this lives.
#[derive(Debug)]
pub(in crate::store) struct Locked {
    pub(in crate::store) content: ContentLock,
    /// Which blocks have come, if not all had when it was locked.
    pub(in crate::store) presence: Option<Arc<Presence>>,
    /// What of it has been verified.
    pub(super) checked: Arc<Checked>,
    /// How many holds there are of it.
    pub(super) holds: AtomicUsize,
}
