//! Builds the index of a version while its archive is read. Entries are added by
//! directory and name, and the last one of a name wins. Sealing sorts them into the
//! records of the index.
//!
//! Memory is bounded by [`Limits`]: about 110 bytes and the name for each
//! entry. Names are found by the hash of (directory, name) instead of by paths.

use super::{
    escape,
    format::{self, ARENA, ROOT, Record},
    holes::{Map, Pieces},
    reader::Index,
    records::{Digest, Dirent, NONE, Records, name_of},
    shorten,
};
use crate::store::limits::Limits;
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
    sync::Arc,
};

/// The keys are hashes already: keyed SipHash, against collisions by design.
#[derive(Default)]
struct Given(u64);

impl Hasher for Given {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The limit that an archive exceeds.
#[derive(Debug)]
pub(in crate::store) struct TooMuch(pub(in crate::store) String);

/// The index while its archive is read.
pub(in crate::store) struct Builder {
    nodes: Vec<Record>,
    /// Whether the archive has an entry for the directory itself: otherwise its time comes
    /// from its children.
    explicit: Vec<bool>,
    dirents: Vec<Dirent>,
    arena: Vec<u8>,
    by_hash: HashMap<u64, u32, BuildHasherDefault<Given>>,
    hasher: RandomState,
    /// Files with holes, and how many pieces they have together.
    holes: BTreeMap<u32, Arc<Map>>,
    pieces: u32,
    /// Names that were shortened: where the archive's own name is in the arena, by where
    /// the short one is.
    longs: HashMap<u32, (u32, u32)>,
    /// Digests of files, in the order in which they came.
    digests: Vec<Digest>,
    limits: Limits,
    /// The index of another archive of the version, if there is one.
    known: Option<Known>,
    /// Whether all entries so far have the numbers that it has for them.
    agrees: bool,
}

/// What holds an index.
type Known = Arc<dyn AsRef<Index> + Send + Sync>;

impl Builder {
    pub(in crate::store) fn new(limits: &Limits) -> Self {
        let root = Record {
            kind: format::DIRECTORY,
            nlink: 2,
            ..Record::default()
        };
        Self {
            nodes: vec![root],
            explicit: vec![false],
            dirents: Vec::new(),
            arena: Vec::new(),
            by_hash: HashMap::default(),
            hasher: RandomState::new(),
            holes: BTreeMap::new(),
            pieces: 0,
            longs: HashMap::new(),
            digests: Vec::new(),
            limits: limits.clone(),
            known: None,
            agrees: true,
        }
    }

    /// The same, of a version of which an archive has been unpacked before.
    pub(in crate::store) fn beside(mut self, known: Known) -> Self {
        self.known = Some(known);
        self
    }

    /// Whether all entries so far have the numbers of the index that was known before: the
    /// kernel goes on to use those.
    pub(in crate::store) fn agrees(&self) -> bool {
        self.agrees
    }

    /// An empty builder with the same limits.
    pub(in crate::store) fn empty(&self) -> Self {
        Self::new(&self.limits)
    }

    pub(in crate::store) fn record(&self, node: u32) -> Option<&Record> {
        self.nodes.get(node as usize)
    }

    /// The node of that name in a directory.
    pub(in crate::store) fn child(&self, dir: u32, name: &[u8]) -> Option<u32> {
        self.find(dir, name)
            .map(|at| self.dirents[at as usize].node)
    }

    /// A name of a node in its directory; none where more than `most` entries are to be looked
    /// through.
    pub(in crate::store) fn name(&self, node: u32, most: usize) -> Option<&[u8]> {
        if self.dirents.len() > most {
            return None;
        }
        let dirent = self.dirents.iter().find(|dirent| dirent.node == node)?;
        Some(name_of(&self.arena, dirent))
    }

    /// The directory of that name. If there is none, a new one replaces the file or
    /// symlink that had the name.
    pub(in crate::store) fn directory(&mut self, dir: u32, name: &[u8]) -> Result<u32, TooMuch> {
        match self.child(dir, name) {
            Some(node) if self.nodes[node as usize].kind == format::DIRECTORY => Ok(node),
            _ => self.insert(
                dir,
                name,
                Record {
                    kind: format::DIRECTORY,
                    ..Record::default()
                },
            ),
        }
    }

    /// Sets the time that the archive has for a directory.
    pub(in crate::store) fn set_directory(&mut self, node: u32, mtime: (i64, u32)) {
        if let Some(record) = self.nodes.get_mut(node as usize) {
            record.mtime = mtime;
            let parent = record.parent;
            self.explicit[node as usize] = true;
            self.freshen(parent, mtime);
        }
    }

    /// Makes implied directories as new as the newest entry in them so far: processes
    /// may look at them before the archive ends.
    fn freshen(&mut self, mut dir: u32, mtime: (i64, u32)) {
        while !self.explicit[dir as usize] {
            let record = &mut self.nodes[dir as usize];
            if record.mtime != (0, 0) && record.mtime >= mtime {
                return;
            }
            record.mtime = mtime;
            if dir == ROOT {
                return;
            }
            dir = record.parent;
        }
    }

    /// Adds a node under that name, in the place of the node that had it.
    pub(in crate::store) fn insert(
        &mut self,
        dir: u32,
        name: &[u8],
        record: Record,
    ) -> Result<u32, TooMuch> {
        if self.nodes.len() >= self.limits.entries as usize {
            return Err(self.too_many_entries());
        }
        // No more than the limit, which is a `u32`.
        let node = self.nodes.len() as u32;
        self.nodes.push(Record {
            parent: dir,
            nlink: match record.kind {
                format::DIRECTORY => 1,
                _ => 0,
            },
            ..record
        });
        self.explicit.push(false);
        self.link(dir, name, node)?;
        Ok(node)
    }

    /// Adds a name for a node. Links are counted for processes that look before the
    /// archive ends; sealing counts them again.
    pub(in crate::store) fn link(
        &mut self,
        dir: u32,
        name: &[u8],
        node: u32,
    ) -> Result<(), TooMuch> {
        let record = &self.nodes[node as usize];
        let has_number = |known: &Known| {
            let known = (**known).as_ref();
            known.child(dir, name) == Some(node) && known.is_alike(record, node)
        };
        self.agrees &= self.known.as_ref().is_none_or(has_number);
        self.nodes[node as usize].nlink += 1;
        if self.nodes[node as usize].kind == format::DIRECTORY {
            self.nodes[dir as usize].nlink += 1;
        }
        match self.nodes[node as usize].mtime {
            (0, 0) => {}
            mtime => self.freshen(dir, mtime),
        }
        let hash = self.hash(dir, name);
        if let Some(at) = self.find_hashed(hash, dir, name) {
            let before = std::mem::replace(&mut self.dirents[at as usize].node, node);
            let before = &mut self.nodes[before as usize];
            before.nlink -= 1;
            if before.kind == format::DIRECTORY {
                self.nodes[dir as usize].nlink -= 1;
            }
            return Ok(());
        }
        if self.dirents.len() >= self.limits.entries as usize {
            return Err(self.too_many_entries());
        }
        let at = self.dirents.len() as u32;
        let length = u16::try_from(name.len()).map_err(|_| TooMuch("a name too long".into()))?;
        let next = self.by_hash.insert(hash, at).unwrap_or(NONE);
        let name = self.store(name)?;
        self.dirents.push(Dirent {
            parent: dir,
            name,
            length,
            node,
            next,
        });
        Ok(())
    }

    /// Sets where the content of a file with holes lies.
    pub(in crate::store) fn set_holes(&mut self, node: u32, map: Arc<Map>) -> Result<(), TooMuch> {
        // Each file has a head beside its pieces.
        self.pieces = self.pieces.saturating_add(map.count()).saturating_add(1);
        if self.pieces > self.limits.pieces {
            return Err(TooMuch(format!(
                "files with holes of more than {} pieces together",
                self.limits.pieces
            )));
        }
        if let Some(record) = self.nodes.get_mut(node as usize) {
            record.flags |= format::HOLES;
            self.holes.insert(node, map);
        }
        Ok(())
    }

    /// Sets the SHA-256 of a file's content.
    pub(in crate::store) fn set_digest(&mut self, node: u32, digest: Digest) {
        if let Some(record) = self.nodes.get_mut(node as usize) {
            self.digests.push(digest);
            // No more than there are entries.
            record.digest = self.digests.len() as u32;
        }
    }

    /// Where the content of a file with holes lies.
    pub(in crate::store) fn holes(&self, node: u32) -> Option<&Arc<Map>> {
        self.holes.get(&node)
    }

    /// Keeps the archive's own name of an entry that is shown under a shortened one.
    pub(in crate::store) fn set_original(
        &mut self,
        dir: u32,
        name: &[u8],
        own: &[u8],
    ) -> Result<(), TooMuch> {
        let Some(at) = self.find(dir, name) else {
            return Ok(());
        };
        let name = self.dirents[at as usize].name;
        if !self.longs.contains_key(&name) {
            let length = u32::try_from(own.len()).map_err(|_| TooMuch("a name too long".into()))?;
            let offset = self.store(own)?;
            self.longs.insert(name, (offset, length));
        }
        Ok(())
    }

    /// Keeps a symlink's target; its offset is the node's location.
    pub(in crate::store) fn store(&mut self, bytes: &[u8]) -> Result<u32, TooMuch> {
        let end = self.arena.len();
        // No text may lie in two chunks of the file.
        let offset = match end % ARENA + bytes.len() > ARENA {
            true => end.next_multiple_of(ARENA),
            false => end,
        };
        if offset + bytes.len() > self.limits.name_bytes as usize {
            return Err(TooMuch(format!(
                "names and link targets of more than {} bytes together",
                self.limits.name_bytes
            )));
        }
        self.arena.resize(offset, 0);
        self.arena.extend_from_slice(bytes);
        u32::try_from(offset).map_err(|_| TooMuch("too many names".into()))
    }

    fn too_many_entries(&self) -> TooMuch {
        TooMuch(format!("more than {} entries", self.limits.entries))
    }

    fn hash(&self, dir: u32, name: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(dir);
        hasher.write(name);
        hasher.finish()
    }

    fn find(&self, dir: u32, name: &[u8]) -> Option<u32> {
        self.find_hashed(self.hash(dir, name), dir, name)
    }

    fn find_hashed(&self, hash: u64, dir: u32, name: &[u8]) -> Option<u32> {
        let mut at = *self.by_hash.get(&hash)?;
        while at != NONE {
            let dirent = self.dirents.get(at as usize)?;
            if dirent.parent == dir && name_of(&self.arena, dirent) == name {
                return Some(at);
            }
            at = dirent.next;
        }
        None
    }

    /// Sorts the entries, drops nodes that no name leads to, counts links, and marks
    /// the symlinks that lead out.
    pub(in crate::store) fn seal(self) -> Records {
        let Self {
            mut nodes,
            explicit,
            mut dirents,
            arena,
            by_hash,
            holes,
            longs,
            digests,
            limits,
            ..
        } = self;
        drop(by_hash);
        let live = live_directories(&nodes, &dirents);
        dirents.retain(|dirent| live[dirent.parent as usize]);
        let mut dirents = by_directory(dirents, nodes.len());
        for names in dirents.chunk_by_mut(|a, b| a.parent == b.parent) {
            names.sort_unstable_by(|a, b| name_of(&arena, a).cmp(name_of(&arena, b)));
        }
        count_links(&mut nodes, &dirents, &live);
        set_implied_times(&mut nodes, &dirents, &explicit);
        let mut records = Records {
            nodes,
            dirents,
            arena,
            ..Records::default()
        };
        if !longs.is_empty() {
            let own = |(dirent, at): (&Dirent, u32)| {
                let (offset, length) = longs.get(&dirent.name)?;
                Some((at, *offset, *length))
            };
            records.longs = records.dirents.iter().zip(0..).filter_map(own).collect();
        }
        for (node, map) in holes {
            if records.nodes[node as usize].kind == format::FILE {
                records.set_holes(node, &map);
            }
        }
        // Those of files whose place a later entry took are dropped.
        records.set_digests(|_, record| {
            let number = record.digest.checked_sub(1)?;
            digests.get(number as usize).copied()
        });
        // Links are checked after they have been redirected.
        shorten::redirect(&mut records, limits.name as usize);
        escape::mark(&mut records);
        records
    }
}

/// Dirents by the number of their directory, those of each in the order in which they came:
/// most archives are in order by then.
fn by_directory(dirents: Vec<Dirent>, nodes: usize) -> Vec<Dirent> {
    let mut next = vec![0_u32; nodes + 1];
    for dirent in &dirents {
        next[dirent.parent as usize + 1] += 1;
    }
    for node in 1..next.len() {
        next[node] += next[node - 1];
    }
    let mut sorted = dirents.clone();
    for dirent in dirents {
        let at = &mut next[dirent.parent as usize];
        sorted[*at as usize] = dirent;
        *at += 1;
    }
    sorted
}

/// Which nodes are directories that can be reached from the root. A directory
/// has one name, and a lower number than anything in it.
fn live_directories(nodes: &[Record], dirents: &[Dirent]) -> Vec<bool> {
    let mut live = vec![false; nodes.len()];
    let mut named = vec![false; nodes.len()];
    for dirent in dirents {
        named[dirent.node as usize] = true;
    }
    live[ROOT as usize] = true;
    for (node, record) in nodes.iter().enumerate().skip(1) {
        live[node] =
            record.kind == format::DIRECTORY && named[node] && live[record.parent as usize];
    }
    live
}

/// Counts the entries of each directory and the links of each node, and marks nodes
/// without a name as dead. The dirents are sorted.
fn count_links(nodes: &mut [Record], dirents: &[Dirent], live: &[bool]) {
    for (record, live) in nodes.iter_mut().zip(live) {
        record.nlink = if *live { 2 } else { 0 };
        if record.kind == format::DIRECTORY {
            (record.location, record.children) = (0, 0);
        }
    }
    for (dirent, at) in dirents.iter().zip(0..) {
        let kind = nodes[dirent.node as usize].kind;
        let parent = &mut nodes[dirent.parent as usize];
        if parent.children == 0 {
            parent.location = at;
        }
        parent.children += 1;
        if kind == format::DIRECTORY {
            parent.nlink += 1;
            continue;
        }
        let record = &mut nodes[dirent.node as usize];
        // The parent in which it was first seen may be gone.
        if record.nlink == 0 && !live[record.parent as usize] {
            record.parent = dirent.parent;
        }
        record.nlink += 1;
    }
    for record in nodes.iter_mut().filter(|record| record.nlink == 0) {
        *record = Record {
            kind: format::DEAD,
            ..Record::default()
        };
    }
}

/// Gives directories without an entry of their own the newest time of their children.
fn set_implied_times(nodes: &mut [Record], dirents: &[Dirent], explicit: &[bool]) {
    // Their times so far may come from entries that were replaced since.
    for (record, explicit) in nodes.iter_mut().zip(explicit) {
        if record.kind == format::DIRECTORY && !explicit {
            record.mtime = (0, 0);
        }
    }
    // Directories have higher numbers than those they are in, so going
    // backwards meets each after all that is in it. By name, not by node: a
    // file is in every directory that has a name for it.
    for dirent in dirents.iter().rev() {
        let mtime = nodes[dirent.node as usize].mtime;
        if !explicit[dirent.parent as usize] {
            // (0, 0) stands for no time yet.
            let newest = &mut nodes[dirent.parent as usize].mtime;
            *newest = match *newest {
                (0, 0) => mtime,
                newest => newest.max(mtime),
            };
        }
    }
}
