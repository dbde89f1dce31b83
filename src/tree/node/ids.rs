//! What tells storages and their versions apart.

use crate::api::types::StorageKind;
use std::{fmt, sync::Arc};

/// A volume or an artifact: two kinds may use one id.
pub(crate) type StorageId = (StorageKind, Arc<str>);

/// A version of a volume or an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VersionId {
    pub(crate) kind: StorageKind,
    /// The storage's id.
    pub(crate) storage: Arc<str>,
    /// The version's own id.
    pub(crate) id: Arc<str>,
}

impl VersionId {
    pub(crate) fn new(
        kind: StorageKind,
        storage: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            kind,
            storage: storage.into(),
            id: id.into(),
        }
    }

    /// The storage that it is a version of.
    pub(crate) fn of(&self) -> StorageId {
        (self.kind, self.storage.clone())
    }
}

/// As a path.
impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.plural(), self.storage, self.id)
    }
}
