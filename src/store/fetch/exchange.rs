//! The indexes of sealed versions, as the machines of a fleet exchange them by the shared
//! cache: one that has a version's tree and seek index needs no whole download of it.
//!
//! An object is `length of meta.json 4 · length of tree 8 · meta.json · tree · seek`,
//! little-endian; a change must change [`KIND`].

use super::staging::Staging;
use crate::shared::{MOST, Name, SharedCache};
use crate::store::cache::{Cache, Version};
use crate::store::files::{INDEX, META, SEEK};
use crate::store::{durability, files, index::Index, key::VersionKey, meta::Meta, seek::SeekIndex};
use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{
    io::{self, Read, Seek},
    sync::Arc,
};

/// The kind of these objects, with the version of their format.
const KIND: &str = "version index 1";

/// The way of indexes to the fleet and from it.
pub(super) struct Exchange(pub(super) Option<Arc<SharedCache>>);

fn name(key: &VersionKey) -> Name {
    Name::new(
        KIND,
        &[&key.origin, key.kind, &key.storage_id, &key.version_id],
    )
}

impl Exchange {
    /// Offers the index of a version that this machine has unpacked. A failure is only
    /// logged.
    pub(super) fn offer(&self, version: &Version) {
        let Some(shared) = self.0.as_ref().filter(|_| version.can_seek()) else {
            return;
        };
        let read = |name| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let file = files::open(version.directory(), name)?;
            file.take(MOST).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let all = || -> io::Result<Vec<u8>> {
            let (meta, tree, seek) = (read(META)?, read(INDEX)?, read(SEEK)?);
            let lengths = (meta.len() as u32, tree.len() as u64);
            let heads = [&lengths.0.to_le_bytes()[..], &lengths.1.to_le_bytes()];
            Ok([heads[0], heads[1], &meta, &tree, &seek].concat())
        };
        match all() {
            Ok(object) => shared.put_later(name(version.key()), object),
            Err(error) => tracing::debug!(%error, "an index is not shared"),
        }
    }

    /// Takes in the index of a version that another machine has unpacked; whether there
    /// is one.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where the cache cannot take it.
    pub(super) fn take(
        &self,
        cache: &Cache,
        key: &VersionKey,
        progress: &Progress,
    ) -> Result<bool> {
        let Some(shared) = &self.0 else {
            return Ok(false);
        };
        let object = shared.get(&name(key), MOST);
        progress.advance(0);
        let Some(object) = object else {
            return Ok(false);
        };
        let Some((meta, tree, seek)) = parts(&object) else {
            return Ok(false);
        };
        let Some(meta) = serde_json::from_slice::<Meta>(meta).ok() else {
            return Ok(false);
        };
        let fits = meta.tree_bytes == tree.len() as u64 && meta.seek_bytes == seek.len() as u64;
        if meta.key().as_ref() != Some(key) || !fits {
            return Ok(false);
        }
        let quota = cache.quota();
        let mut staging = Staging::new(quota)?;
        staging.expect(object.len() as u64, progress)?;
        let tree = staging.write(INDEX, tree, progress)?;
        let mut seek = staging.write(SEEK, seek, progress)?;
        seek.rewind()
            .map_err(|error| Error::io("reading a file of the cache", error))?;
        let is_good =
            |tree: &Index| tree.verify() && SeekIndex::read(&seek, tree.header()).is_some();
        if !Index::open(tree).is_some_and(|tree| is_good(&tree)) {
            tracing::warn!(version = %key.version_id, "an index of the shared cache is of no use");
            return Ok(false);
        }
        let meta = Meta {
            boot: durability::boot().map(str::to_string),
            ..meta
        };
        let unsynced = staging.seal(key, &meta, progress)?;
        cache.add(key, unsynced);
        Ok(true)
    }
}

/// `meta.json`, tree and seek index of an object.
fn parts(object: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (meta, rest) = object.split_first_chunk::<4>()?;
    let (tree, rest) = rest.split_first_chunk::<8>()?;
    let (meta, rest) = rest.split_at_checked(u32::from_le_bytes(*meta) as usize)?;
    let tree = usize::try_from(u64::from_le_bytes(*tree)).ok()?;
    let (tree, seek) = rest.split_at_checked(tree)?;
    Some((meta, tree, seek))
}
