//! The status of a run, for processes that read it again and again, and why it failed.

use super::freshness::Age;
use crate::tree::{
    answers::Run,
    fetch_key::FetchKey,
    live::Show,
    node::RunFile,
    view::{Tree, View},
};
use std::sync::Arc;

impl View<'_> {
    /// Notes that a process reads a file that shows a run's status: again and again,
    /// that is following. Gives how new the run must be that the file is made of.
    pub(super) fn read_status(&self, id: &Arc<str>, file: RunFile) -> Age {
        let (answers, live) = (&self.tree.answers, &self.tree.live);
        if self.any_age || self.is_away() || answers.has_ended(id) {
            return Age::Current;
        }
        let known = answers.standing(id);
        let slowdown = answers.service().slowdown();
        let decision = live.status_read(id, (file, self.since), known.as_ref(), slowdown);
        if decision.open_stream {
            self.wish(FetchKey::stream(id.clone()));
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
        let own = self.answers.last::<Run>(&id.into());
        let own = own.and_then(|(row, _)| row.value.error.as_deref().map(Arc::from));
        own.filter(|error: &Arc<str>| !error.is_empty())
            .or_else(|| self.live.reason(id))
    }
}
