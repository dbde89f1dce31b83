//! The indexes of sealed versions, as the machines of a fleet exchange them by the shared
//! cache: one that has a version's tree and seek index needs no whole download of it.
//!
//! An object is `length of meta.json 4 · length of tree 8 · meta.json · tree · seek`,
//! little-endian; a change must change [`KIND`]. The tree of many files lacks its digests,
//! which are an object of their own: they are most of an index once it is deflated, and few
//! readers ask for them.

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
const KIND: &str = "version index 3";
/// The kind of those of digests, which are as in the tree.
const DIGESTS: &str = "version digests 1";
/// Bytes of digests up to which they stay in the tree: there a request costs more.
const FEW: u64 = 16 << 10;

/// The way of indexes to the fleet and from it.
pub(super) struct Exchange(pub(super) Option<Arc<SharedCache>>);

fn name(kind: &str, key: &VersionKey) -> Name {
    Name::new(
        kind,
        &[&key.origin, key.kind, &key.storage_id, &key.version_id],
    )
}

impl Exchange {
    /// Offers the index of a version that this machine has unpacked. A failure is only
    /// logged.
    pub(super) fn offer(&self, version: &Version) {
        let index = version.index();
        let is_whole = version.can_seek() && !index.lacks_digests();
        let Some(shared) = self.0.as_ref().filter(|_| is_whole) else {
            return;
        };
        let read = |name| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let file = files::open(version.directory(), name)?;
            file.take(MOST).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let all = || -> io::Result<(Vec<u8>, Vec<u8>)> {
            let (meta, mut tree, seek) = (read(META)?, read(INDEX)?, read(SEEK)?);
            let apart = index.header().digests_length();
            let apart = if apart > FEW { apart } else { 0 };
            let digests = tree.split_off(tree.len().saturating_sub(apart as usize));
            let lengths = (meta.len() as u32, tree.len() as u64);
            let heads = [&lengths.0.to_le_bytes()[..], &lengths.1.to_le_bytes()];
            Ok(([heads[0], heads[1], &meta, &tree, &seek].concat(), digests))
        };
        match all() {
            Ok((object, digests)) => {
                // In this order: who finds an index finds its digests.
                if !digests.is_empty() {
                    shared.put_later(name(DIGESTS, version.key()), digests);
                }
                shared.put_later(name(KIND, version.key()), object);
            }
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
        let object = shared.stream(&name(KIND, key));
        progress.advance(0);
        match object {
            Some(object) => take_in(object, cache, key, progress),
            None => Ok(false),
        }
    }

    /// Takes in the digests that the index of a version lacks; whether the fleet has them.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NoSpace`] where they cannot be written.
    pub(super) fn take_digests(&self, version: &Version, progress: &Progress) -> Result<bool> {
        let Some(shared) = &self.0 else {
            return Ok(false);
        };
        let digests = shared.get(&name(DIGESTS, version.key()), MOST);
        progress.advance(0);
        digests.map_or(Ok(false), |digests| version.add_digests(&digests))
    }
}

/// Takes in an object, unless it is none; and whether it is one.
fn take_in(
    mut object: impl Read,
    cache: &Cache,
    key: &VersionKey,
    progress: &Progress,
) -> Result<bool> {
    let Some((meta, tree)) = head(&mut object) else {
        return Ok(false);
    };
    let whole = meta.tree_bytes.saturating_add(meta.seek_bytes);
    let is_long = tree.saturating_add(meta.seek_bytes) > MOST;
    if meta.key().as_ref() != Some(key) || is_long || tree > meta.tree_bytes {
        return Ok(false);
    }
    let quota = cache.quota();
    let mut staging = Staging::new(quota)?;
    staging.expect(whole, progress)?;
    let Some(tree) = staging.copy(INDEX, &mut object, tree, progress)? else {
        return Ok(false);
    };
    let Some(mut seek) = staging.copy(SEEK, &mut object, meta.seek_bytes, progress)? else {
        return Ok(false);
    };
    seek.rewind()
        .map_err(|error| Error::io("reading a file of the cache", error))?;
    let is_right =
        |tree: &Index| tree.header().file_length() == Some(meta.tree_bytes) && tree.verify();
    let tree = Index::open(tree).filter(is_right);
    let seek = tree.and_then(|tree| SeekIndex::read(&seek, tree.header()));
    let Some(seek) = seek else {
        tracing::warn!(version = %key.version_id, "an index of the shared cache is of no use");
        return Ok(false);
    };
    let meta = Meta {
        boot: durability::boot().map(str::to_string),
        ..meta
    };
    let unsynced = staging.seal(key, &meta, progress)?;
    cache.add(key, unsynced);
    if let Some(version) = cache.version(key) {
        version.know_seek(seek);
    }
    Ok(true)
}

/// `meta.json` of an object, and the length of its tree.
fn head(object: &mut impl Read) -> Option<(Meta, u64)> {
    let mut heads = [0; 12];
    object.read_exact(&mut heads).ok()?;
    let (meta, tree) = heads.split_first_chunk::<4>()?;
    let mut text = Vec::new();
    let meta = u64::from(u32::from_le_bytes(*meta));
    object.take(meta).read_to_end(&mut text).ok()?;
    let meta = serde_json::from_slice(&text).ok()?;
    Some((meta, u64::from_le_bytes(tree.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// It leaves no trace.
    #[test]
    fn what_is_no_index_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1 << 30).unwrap();
        let key = VersionKey {
            origin: "https://api.test".into(),
            kind: "artifacts",
            storage_id: "s".into(),
            version_id: "v".into(),
        };
        let object = |tree: u64, told: u64, rest: &[u8]| {
            let meta = format!(
                r#"{{"origin":"https://api.test","kind":"artifacts","storage_id":"s",
                "version_id":"v","file_count":1,"bytes":1,"declared_size":null,
                "declared_files":null,"sealed_at":"2026-01-01T00:00:00Z","content_bytes":1,
                "tree_bytes":{tree},"seek_bytes":9,"archive_bytes":1,"verified":"n/a",
                "skipped":0}}"#
            );
            let heads = [
                (meta.len() as u32).to_le_bytes().to_vec(),
                told.to_le_bytes().to_vec(),
            ];
            [heads.concat(), meta.into_bytes(), rest.to_vec()].concat()
        };
        assert!(head(&mut &object(1, 2, &[])[..]).is_some());
        let cases = [
            Vec::new(),
            vec![0; 12],
            vec![255; 100],
            object(300, 300, &[0; 200]),
            object(300, 300, &[0; 300]),
            object(300, 300, &[0; 309]),
            object(300, 200, &[0; 309]),
            object(u64::MAX, u64::MAX, &[0; 309]),
        ];
        for (at, case) in cases.into_iter().enumerate() {
            let taken = take_in(&case[..], &cache, &key, &Progress::new());
            assert!(!taken.unwrap(), "case {at}");
            assert!(cache.version(&key).is_none(), "case {at}");
            let left = fs::read_dir(cache.quota().staging()).unwrap().count();
            assert_eq!(left, 0, "case {at}");
        }
    }
}
