//! What has nodes in the tree: by the id that the API has for it, or by what it is.

use super::ids::VersionId;
use crate::{
    api::types::StorageKind,
    handover::{Fields, Reader},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What the API has an id for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    /// The fixed part of the tree.
    Fixed,
    /// A status word, owner of `runs/.by-status/<word>`.
    Status(Arc<str>),
    /// A symlink of ours, by its target.
    Link(Arc<str>),
    /// An agent's id.
    Agent(Arc<str>),
    /// A run's id.
    Run(Arc<str>),
    /// A volume's or artifact's id.
    Storage(StorageKind, Arc<str>),
    /// A version: of which storage, and its own id.
    Version(VersionId),
}

impl Object {
    /// Adds it to a record.
    pub(super) fn write(&self, record: Fields) -> Fields {
        let (kind, parts) = parts(self);
        let record = record.byte(kind);
        parts.iter().fold(record, |record, part| record.text(part))
    }

    /// Reads one that an earlier worker has written.
    pub(super) fn read(record: &mut Reader<'_>) -> Option<Self> {
        let kind = record.byte()?;
        let mut text = || record.text().map(Arc::from);
        let storages = |kind: u8| match kind % 2 {
            0 => StorageKind::Volume,
            _ => StorageKind::Artifact,
        };
        Some(match kind {
            1 => Object::Status(text()?),
            2 => Object::Link(text()?),
            3 => Object::Agent(text()?),
            4 => Object::Run(text()?),
            6 | 7 => Object::Storage(storages(kind), text()?),
            8 | 9 => {
                let storage: Arc<str> = text()?;
                Object::Version(VersionId::new(storages(kind), storage, text()?))
            }
            _ => return None,
        })
    }
}

/// An object as it is written down: its kind, and what tells it from others.
fn parts(object: &Object) -> (u8, Vec<&str>) {
    let storages = |kind: StorageKind| u8::from(kind == StorageKind::Artifact);
    match object {
        Object::Fixed => (0, vec![]),
        Object::Status(word) => (1, vec![word]),
        Object::Link(target) => (2, vec![target]),
        Object::Agent(id) => (3, vec![id]),
        Object::Run(id) => (4, vec![id]),
        Object::Storage(kind, id) => (6 + storages(*kind), vec![id]),
        Object::Version(version) => (
            8 + storages(version.kind),
            vec![&version.storage, &version.id],
        ),
    }
}

/// What its inode numbers are drawn from.
pub(super) fn digest(object: &Object) -> [u8; 32] {
    let mut hash = Sha256::new();
    let parts: &[&str] = match object {
        Object::Fixed => &["fixed"],
        Object::Status(word) => &["status", word],
        Object::Link(target) => &["link", target],
        Object::Agent(id) => &["agent", id],
        Object::Run(id) => &["run", id],
        Object::Storage(kind, id) => &[kind.plural(), id],
        Object::Version(version) => &[version.kind.plural(), &version.storage, &version.id],
    };
    for part in parts {
        // Ids are opaque: lengths keep two of them from running into each other.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
