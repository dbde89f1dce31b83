//! What the value of an argument can be, where its declaration says so.

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, ValueCompleter};
use std::{
    ffi::OsStr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Kinds of values that are only known when a shell asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Values {
    /// Paths, which the shell finds.
    Files,
    /// Folders, likewise.
    Folders,
    /// Places where vm0fs is mounted.
    Mountpoints,
    /// Paths in a mount: the mounts first, then as the shell finds them.
    InMounts,
    /// Names of agents.
    Agents,
    /// Ids of runs, and the words for the newest ones.
    Runs,
    /// Names of artifacts, and of volumes as `volumes/NAME`; or paths in a mount.
    Storages,
    /// Versions of the artifact or the volume that is named before.
    Versions,
    /// What can become of a run.
    Statuses,
    /// Topics of the guide, and commands.
    Topics,
}

impl Values {
    const ALL: [Self; 10] = [
        Self::Files,
        Self::Folders,
        Self::Mountpoints,
        Self::InMounts,
        Self::Agents,
        Self::Runs,
        Self::Storages,
        Self::Versions,
        Self::Statuses,
        Self::Topics,
    ];

    /// What an argument is declared with: `#[arg(add = Values::Agents.completer())]`.
    pub(in crate::cli) fn completer(self) -> ArgValueCompleter {
        ArgValueCompleter::new(self)
    }

    /// What a candidate of it is called.
    fn name(self) -> String {
        format!("{self:?}")
    }

    /// The kind that a candidate of this id stands for.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.split(' ').next()?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One candidate stands for all values: only `complete` can find them, which has the
/// environment.
impl ValueCompleter for Values {
    fn complete(&self, _: &OsStr) -> Vec<CompletionCandidate> {
        // Of those with one name the engine keeps one.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{} {number}", self.name());
        vec![CompletionCandidate::new("").id(Some(name))]
    }
}
