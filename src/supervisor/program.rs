//! Which program the next worker runs.

use super::worker::Worker;
use crate::{
    error::{Error, Result},
    proc::{OWN_PROGRAM, descriptor_path},
};
use std::{fs::File, path::PathBuf};

pub(super) struct Program {
    /// The path of the supervisor's, where another one may be by the time of an upgrade.
    path: PathBuf,
    /// That of the last upgrade, also where its file has been replaced since.
    upgraded: Option<File>,
}

impl Program {
    /// That of this process.
    pub(super) fn of_process() -> Result<Self> {
        let path = std::env::current_exe();
        Ok(Self {
            path: path.map_err(|error| Error::io("finding the program", error))?,
            upgraded: None,
        })
    }

    /// What is on disk now.
    pub(super) fn on_disk(&self) -> PathBuf {
        self.path.clone()
    }

    /// What serves now.
    pub(super) fn present(&self) -> PathBuf {
        match &self.upgraded {
            Some(program) => descriptor_path(program),
            None => OWN_PROGRAM.into(),
        }
    }

    /// A worker with the program on disk serves.
    pub(super) fn upgraded_to(&mut self, worker: &Worker) {
        // Where it cannot be told, a death brings the program of before back.
        self.upgraded = worker.program().ok();
    }
}
