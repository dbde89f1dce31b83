//! How a run stands, for processes that read it again and again, and why it failed.

use super::rows::Age;
use crate::tree::{Tree, View, Want, live::Show, node::RunFile};
use std::sync::Arc;

impl View<'_> {
    /// Notes that a process reads a file that shows how a run stands: again and again,
    /// that is following. Gives how new the run must be that the file is made of.
    pub(super) fn read_status(&self, id: &Arc<str>, file: RunFile) -> Age {
        let tree = self.tree;
        if self.whatever_is_known || tree.is_away() || tree.has_ended(id) {
            return Age::Current;
        }
        let known = tree.known.standing(id);
        let read = (file, self.since);
        let decision = tree
            .live
            .status_read(id, read, known.as_ref(), tree.thrift());
        if decision.open_stream {
            self.wishes.borrow_mut().push(Want::Follow(id.clone()));
        }
        match decision.show {
            Show::Anew => Age::Anew,
            Show::Fresh | Show::Last => Age::Current,
        }
    }
}

impl Tree {
    /// Why a run has failed, as far as it is known without asking: what the run
    /// itself says, else what its stream has told.
    pub fn why_failed(&self, id: &str) -> Option<Arc<str>> {
        let own = self.known.run.last(&id.into());
        let own = own.and_then(|(row, _)| row.value.error.as_deref().map(Arc::from));
        own.filter(|error: &Arc<str>| !error.is_empty())
            .or_else(|| self.live.reason(id))
    }
}
