//! A request of the kernel on its way to an answer.

use super::caller::caller;
use crate::{
    error::Result,
    handover::Work,
    tree::{FetchKey, Tree},
};
use std::time::Instant;

/// What a request is for, by which one that kills workers is told from others.
#[derive(Debug)]
pub(super) struct Task {
    what: &'static str,
    pub(super) ino: u64,
    at: u64,
    name: Vec<u8>,
}

impl Task {
    pub(super) fn on(what: &'static str, ino: u64) -> Self {
        Self {
            what,
            ino,
            at: 0,
            name: Vec::new(),
        }
    }

    /// At a place in the file or directory.
    pub(super) fn at(self, at: u64) -> Self {
        Self { at, ..self }
    }

    /// With a name in it.
    pub(super) fn named(self, name: &[u8]) -> Self {
        let name = name.to_vec();
        Self { name, ..self }
    }

    pub(super) fn work(&self) -> Work<'_> {
        Work {
            what: self.what,
            ino: self.ino,
            at: self.at,
            detail: &self.name,
        }
    }
}

/// A request: which thread has made it, for what, and when it arrived.
pub(super) struct Asked {
    pub(super) tid: u32,
    pub(super) task: Task,
    pub(super) since: Instant,
    /// Whether it has waited for a fetch.
    pub(super) has_waited: bool,
    /// What it has been permitted to have fetched last, and whether that may start a download.
    pub(super) permitted: Option<(FetchKey, bool)>,
}

impl Asked {
    /// Whether it may have `key` fetched. A request that may have a part of a version may have
    /// all: to look its process up costs more than most answers, and a request that waits
    /// runs again each time that something has come. One that may join a download is asked
    /// again when it would start one.
    ///
    /// # Errors
    /// EACCES for a crawler.
    pub(super) fn permit(&mut self, tree: &Tree, key: &FetchKey) -> Result<()> {
        let starts_download = tree.starts_download(key);
        let is_permitted = self.permitted.as_ref().is_some_and(|(permitted, started)| {
            permitted.is_of_the_same(key) && (*started || !starts_download)
        });
        if !is_permitted {
            tree.permit(key, starts_download, || caller(self.tid))?;
            self.permitted = Some((key.clone(), starts_download));
        }
        Ok(())
    }
}
