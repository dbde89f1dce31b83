//! The indexes of sealed versions, as the machines of a fleet exchange them by the shared
//! cache: one that has a version's tree and seek index needs no whole download of it.
//!
//! An object is `length of meta.json 4 · length of tree 8 · meta.json · tree · seek`,
//! little-endian, the tree as [`wire`] has it; a change must change [`KIND`]. The tree of many
//! files lacks its digests, which are an object of their own: they are most of an index once
//! it is deflated, and few readers ask for them.

use super::staging::Staging;
use crate::shared::{MOST, Name, SharedCache};
use crate::store::cache::{Cache, Version};
use crate::store::files::{INDEX, META, SEEK};
use crate::store::{
    durability, files,
    index::{
        Index,
        format::{HEADER, Header},
        wire,
    },
    key::VersionKey,
    meta::{Meta, Verified, Verify},
    seek::SeekIndex,
};
use crate::{
    error::{Error, Result},
    progress::Progress,
    text::hex,
    threads,
};
use std::{
    io::{self, Read},
    os::unix::fs::FileExt,
    panic::resume_unwind,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// The kind of these objects, with the version of their format.
const KIND: &str = "version index 5";
/// The kind of those of digests, which are as in the tree.
const DIGESTS: &str = "version digests 1";
/// Bytes of digests up to which they stay in the tree: there a request costs more.
const FEW: u64 = 16 << 10;
/// Most chunks of a tree, of some 64 KiB each, that wait to be written.
const AHEAD: usize = 4;
/// How long, and how often, the shared cache is asked for digests if it does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(200);

/// The way of indexes to the fleet and from it.
pub(super) struct Exchange(pub(super) Option<Arc<SharedCache>>);

fn name(key: &VersionKey) -> Name {
    Name::new(
        KIND,
        &[&key.origin, key.kind, &key.storage_id, &key.version_id],
    )
}

/// That of the digests which belong to an index, and to no other of the same version: the
/// archive may have been made anew.
fn digests_of(version: &Version) -> Name {
    let key = version.key();
    let table = hex(&version.index().header().table);
    Name::new(
        DIGESTS,
        &[
            &key.origin,
            key.kind,
            &key.storage_id,
            &key.version_id,
            &table,
        ],
    )
}

/// Whether the digests of a version are an object of their own.
fn are_apart(version: &Version) -> bool {
    version.index().header().digests_length() > FEW
}

/// The object of a version; `None` where it would be too large.
///
/// # Errors
/// Where a file of it cannot be read.
pub(in crate::store) fn object_of(version: &Version) -> io::Result<Option<Vec<u8>>> {
    let header = version.index().header();
    let are_apart = are_apart(version);
    let length = match are_apart {
        true => header.digests_at(),
        false => header.file_length(),
    };
    let Some(length) = length.filter(|length| *length <= MOST) else {
        return Ok(None);
    };
    let read = |name, most: u64| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = files::open(version.directory(), name)?;
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let (meta, mut tree, seek) = (read(META, MOST)?, read(INDEX, length)?, read(SEEK, MOST)?);
    wire::encode(&mut tree, header, !are_apart);
    let lengths = (meta.len() as u32, tree.len() as u64);
    let heads = [&lengths.0.to_le_bytes()[..], &lengths.1.to_le_bytes()];
    Ok(Some([heads[0], heads[1], &meta, &tree, &seek].concat()))
}

impl Exchange {
    /// Offers the index of a version that this machine has unpacked. A failure is only
    /// logged.
    pub(super) fn offer(&self, version: &Version) {
        let Some(shared) = self.0.as_ref().filter(|_| version.can_seek()) else {
            return;
        };
        match object_of(version) {
            Ok(Some(object)) => {
                let is_offered = shared.put_later(name(version.key()), object);
                if is_offered && are_apart(version) {
                    self.offer_digests(version);
                }
            }
            Ok(None) => tracing::debug!("an index that is too large is not shared"),
            Err(error) => tracing::debug!(%error, "an index is not shared"),
        }
    }

    /// Offers the digests of a version, which are an object of their own. A failure is only
    /// logged.
    pub(super) fn offer_digests(&self, version: &Version) {
        let Some(shared) = &self.0 else {
            return;
        };
        let header = version.index().header();
        let all = || -> io::Result<Vec<u8>> {
            let mut digests = vec![0; header.digests_length().min(MOST) as usize];
            let file = files::open(version.directory(), INDEX)?;
            file.read_exact_at(&mut digests, header.digests_at().unwrap_or_default())?;
            Ok(digests)
        };
        match all() {
            Ok(digests) if version.index().are_digests(&digests) => {
                shared.put_later(digests_of(version), digests);
            }
            Ok(_) => tracing::debug!("digests that are too many or damaged are not shared"),
            Err(error) => tracing::debug!(%error, "digests are not shared"),
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
        let object = shared.stream(&name(key));
        progress.advance(0);
        let Some(object) = object else {
            return Ok(false);
        };
        let is_taken = take_in(object, cache, key, progress)?;
        if !is_taken {
            self.give_up(key);
        }
        Ok(is_taken)
    }

    /// Notes that the index of a version that the fleet has, if it has one, is of no use: the
    /// next one that is offered takes its place.
    pub(super) fn give_up(&self, key: &VersionKey) {
        if let Some(shared) = &self.0 {
            shared.give_up(&name(key));
        }
    }

    /// Proves a version on disk that may not be shown before that. Takes in the digests that
    /// this needs; a failure is only logged: the version is fetched whole then.
    pub(super) fn prove(&self, cache: &Cache, key: &VersionKey, progress: &Progress) {
        let found = cache.on_disk(key);
        let Some(version) = found.filter(|found| found.awaits_proof(cache.verify())) else {
            return;
        };
        if version.index().lacks_digests()
            && let Err(error) = self.take_digests(&version, progress)
        {
            tracing::debug!("a version is not proven: {error}");
        }
        version.prove(cache.verify());
        progress.advance(0);
    }

    /// Takes in the digests that the index of a version lacks; whether the fleet has them.
    /// Asks again for some seconds, since to make them takes all of the content.
    ///
    /// # Errors
    /// [`Error::Transport`] where the shared cache does not answer; [`Error::Io`] and
    /// [`Error::NoSpace`] where they cannot be written.
    pub(super) fn take_digests(&self, version: &Version, progress: &Progress) -> Result<bool> {
        let Some(shared) = &self.0 else {
            return Ok(false);
        };
        let (name, started) = (digests_of(version), Instant::now());
        loop {
            progress.advance(0);
            match shared.find(&name, MOST) {
                Ok(None) => return Ok(false),
                Ok(Some(digests)) => {
                    let is_added = version.add_digests(&digests)?;
                    if !is_added {
                        shared.give_up(&name);
                    }
                    return Ok(is_added);
                }
                Err(error) if started.elapsed() >= PATIENCE => return Err(error),
                Err(_) => thread::sleep(TICK),
            }
        }
    }
}

/// Takes in an object, unless it is none; and whether it is one.
///
/// # Errors
/// [`Error::Io`] and [`Error::NoSpace`] where the cache cannot take it.
pub(in crate::store) fn take_in(
    mut object: impl Read,
    cache: &Cache,
    key: &VersionKey,
    progress: &Progress,
) -> Result<bool> {
    let Some((meta, tree)) = head(&mut object) else {
        return Ok(false);
    };
    let is_long = tree.saturating_add(meta.seek_bytes) > MOST;
    // A digest has fewer bytes than the node that it is of.
    let lacks = meta.tree_bytes.checked_sub(tree);
    let Some(lacks) = lacks.filter(|lacks| !is_long && *lacks <= tree) else {
        return Ok(false);
    };
    if meta.key().as_ref() != Some(key) {
        return Ok(false);
    }
    if cache.verify() == Verify::Strict && meta.verified == Verified::No {
        return Ok(false);
    }
    let mut staging = Staging::new(cache.quota())?;
    staging.expect(tree + lacks + meta.seek_bytes, progress)?;
    let known = cache.numbered(key);
    let index = known.as_deref().map(Version::index);
    let Some(seek) = receive(object, &mut staging, &meta, tree, index, progress)? else {
        tracing::warn!(version = %key.version_id, "an index of the shared cache is of no use");
        return Ok(false);
    };
    let meta = Meta {
        numbers: known.map_or(meta.numbers, |known| Some(known.numbers().to_owned())),
        boot: durability::boot().map(str::to_string),
        ..meta
    };
    let unsynced = staging.seal(key, &meta, cache.verify(), progress)?;
    cache.add(key, unsynced);
    if let Some(version) = cache.on_disk(key) {
        version.know_seek(seek);
    }
    Ok(true)
}

/// Writes tree and seek index of an object; `None` where it is cut or damaged, or of another
/// archive than the index by whose numbers this machine knows the version's files. A second
/// thread writes the tree while this one inflates and verifies it: a listing waits for both.
fn receive(
    mut object: impl Read,
    staging: &mut Staging,
    meta: &Meta,
    tree: u64,
    known: Option<&Index>,
    progress: &Progress,
) -> Result<Option<SeekIndex>> {
    let mut header = [0; HEADER];
    let read = object.read_exact(&mut header);
    let header = read.ok().and_then(|()| Header::decode(&header));
    let is_right = |header: &Header| header.file_length() == Some(meta.tree_bytes);
    let Some(header) = header.filter(is_right) else {
        return Ok(None);
    };
    if known.is_some_and(|known| known.header().table != header.table) {
        return Ok(None);
    }
    let has_digests = tree == meta.tree_bytes;
    if !has_digests && header.digests_at() != Some(tree) {
        return Ok(None);
    }
    staging.charge(tree, progress)?;
    let file = staging.create(INDEX)?;
    let quota = Arc::clone(staging.quota());
    let failed = |error| Error::io("writing an index of the shared cache", error);
    let put = |bytes: &[u8], at| quota.with_room(|| file.write_all_at(bytes, at).map_err(failed));
    let write = |chunks: &mut dyn Iterator<Item = Vec<u8>>| wire::write(&header, chunks, put);
    let (seek, written) = thread::scope(|scope| {
        let (send, sent) = mpsc::sync_channel(AHEAD);
        let writer = threads::start_scoped(scope, "vm0fs-tree", || write(&mut sent.into_iter()));
        let mut tree = wire::Reading::new(&mut object, &header, has_digests);
        let writer = match writer {
            Ok(writer) => {
                // It ends early only with an error of its own.
                let _ = tree.try_for_each(|chunk| send.send(chunk));
                Ok(writer)
            }
            Err(_) => Err(write(&mut tree)),
        };
        let is_whole = tree.finish();
        drop(send);
        let seek = match is_whole {
            true => receive_seek(&mut object, staging, meta.seek_bytes, &header, progress),
            false => Ok(None),
        };
        let written = match writer {
            Ok(writer) => writer.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(written) => written,
        };
        (seek, written)
    });
    written?;
    Ok(seek?.filter(|_| Index::open(file).is_some()))
}

/// Writes the seek index of an object; `None` where it is cut or damaged.
fn receive_seek(
    object: &mut impl Read,
    staging: &mut Staging,
    length: u64,
    tree: &Header,
    progress: &Progress,
) -> Result<Option<SeekIndex>> {
    let mut bytes = Vec::with_capacity(length as usize);
    let read = object.take(length).read_to_end(&mut bytes);
    if read.ok().is_none_or(|read| read as u64 != length) {
        return Ok(None);
    }
    staging.write(SEEK, &bytes, progress)?;
    Ok(SeekIndex::decode(bytes, tree))
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
        let cache = Cache::open(folder.path(), 1 << 30, Verify::Warn).unwrap();
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
            object(u64::MAX, 300, &[0; 309]),
            object(601, 300, &[0; 309]),
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
