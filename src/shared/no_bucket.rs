//! In place of the store, where vm0fs is built without the feature `shared-cache`.

use super::{
    access::Access,
    listed::{Listed, Removed},
};
use crate::error::{Error, Result};
use std::{collections::BTreeMap, time::Duration};

/// There is none.
pub(super) enum Bucket {}

/// There is none.
pub(super) enum LookUp {}

impl Bucket {
    /// # Errors
    /// Always.
    pub(super) fn open(access: &Access) -> Result<Self> {
        access.place()?;
        let message = "--shared-cache: this vm0fs was built without the feature shared-cache";
        Err(Error::Setup(message.into()))
    }

    pub(super) fn look_up(
        &self,
        _: &str,
        _: u64,
        _: Duration,
        _: impl FnOnce(Option<&Error>) + Send + 'static,
    ) -> Result<LookUp> {
        match *self {}
    }

    pub(super) fn put(&self, _: &str, _: Vec<u8>, _: bool) -> Result<bool> {
        match *self {}
    }

    pub(super) fn closed_to_group(&self, _: &str) -> Result<Option<String>> {
        match *self {}
    }

    pub(super) fn remove(&self, _: Vec<String>) -> Result<BTreeMap<String, String>> {
        match *self {}
    }

    pub(super) fn remove_leftovers(&self) -> Result<Removed> {
        match *self {}
    }

    pub(super) fn list(&self, _: impl FnMut(Vec<Listed>) -> Result<()>) -> Result<()> {
        match *self {}
    }
}

impl LookUp {
    pub(super) fn wait(self) -> Result<Option<Vec<u8>>> {
        match self {}
    }
}
