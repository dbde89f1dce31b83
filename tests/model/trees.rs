//! Random trees: as the model has them, and as an archive.

use super::large;
use crate::support::{archive::Tar, noise_of, seeds::Random};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use vm0fs::demo::{File, Maker, VersionSpec};

/// What a path of a version is.
pub(super) enum Entry {
    /// With the names in it.
    Directory(Vec<Vec<u8>>),
    File {
        content: Arc<Vec<u8>>,
        executable: bool,
        /// Names that lead to it, by which hard links are told.
        names: u32,
    },
    Link {
        target: Vec<u8>,
        /// The path of what it leads to, where that is a file.
        file: Option<Vec<u8>>,
        /// It leads out of the version.
        leaves: bool,
    },
}

/// All of a version, by path; the root's is empty.
pub(super) struct Tree {
    pub(super) entries: BTreeMap<Vec<u8>, Entry>,
    files: Vec<Vec<u8>>,
    pub(super) paths: Vec<Vec<u8>>,
    /// When the archive says that all of it was written.
    pub(super) modified: u64,
}

impl Tree {
    /// Any path.
    pub(super) fn pick(&self, random: &mut Random) -> (&Vec<u8>, &Entry) {
        let path = random.pick(&self.paths);
        (path, &self.entries[path])
    }

    /// Any file, where there is one.
    pub(super) fn pick_file(&self, random: &mut Random) -> Option<(&Vec<u8>, &Arc<Vec<u8>>)> {
        if self.files.is_empty() {
            return None;
        }
        let path = random.pick(&self.files);
        Some((path, self.content(path)))
    }

    /// As a rule a file of several blocks of checksums, where there is one.
    pub(super) fn pick_long_file(&self, random: &mut Random) -> Option<(&Vec<u8>, &Arc<Vec<u8>>)> {
        let long = self.files.iter().map(|path| (path, self.content(path)));
        let long: Vec<_> = long.filter(|file| file.1.len() > LONG).collect();
        match long.is_empty() || random.one_in(4) {
            true => self.pick_file(random),
            false => Some(*random.pick(&long)),
        }
    }

    pub(super) fn content(&self, path: &[u8]) -> &Arc<Vec<u8>> {
        match &self.entries[path] {
            Entry::File { content, .. } => content,
            _ => panic!("no file"),
        }
    }
}

/// Names that mean something to a program, or are hard to write.
const NAMES: [&[u8]; 30] = [
    b"a",
    b"file.txt",
    b"Makefile",
    b"makefile",
    b"two words",
    b" ",
    b"-n",
    b"...",
    b"..a",
    b"*",
    b"%2F",
    b"100%",
    b"back\\slash",
    b"new\nline",
    b"\x1b[31m",
    b"\x7f",
    b"\xff\xfe",
    b"caf\xe9",
    "caf\u{e9}".as_bytes(),
    "cafe\u{301}".as_bytes(),
    "\u{65e5}\u{672c}".as_bytes(),
    "\u{1f600}".as_bytes(),
    b"latest",
    b".versions.json",
    b".git",
    b".vm0fs",
    b"Thumbs.db",
    b"name~",
    b"CON",
    b"0123456789abcdef",
];

/// Names that the service's producers leave out, each at some place.
const LEFT_OUT: [&[u8]; 2] = [b".git", b".vm0fs"];

/// The longest path that is made: far below what one call may name.
const LONGEST: usize = 2_000;

/// Sizes around which something begins: a page, a block of checksums, the most
/// that the kernel asks for, what gets a blob of its own.
const EDGES: [u64; 4] = [4 << 10, 64 << 10, 128 << 10, 1 << 20];

/// A file of more bytes has several blocks of checksums.
const LONG: usize = 200 << 10;

/// A tree in the making.
struct Making<'a> {
    random: &'a mut Random,
    entries: BTreeMap<Vec<u8>, Entry>,
    directories: Vec<Vec<u8>>,
    /// Only what the service's own producers write.
    is_honest: bool,
    /// Bytes of content that may still come.
    room: u64,
    groups: HashMap<Vec<u8>, u32>,
}

fn depth(path: &[u8]) -> usize {
    match path {
        [] => 0,
        _ => 1 + path.iter().filter(|&&byte| byte == b'/').count(),
    }
}

pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        [] => name.to_vec(),
        _ => [parent, b"/", name].concat(),
    }
}

fn parent_of(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    &path[..slash.unwrap_or(0)]
}

impl Making<'_> {
    fn name(&mut self) -> Vec<u8> {
        let mut name = match self.random.below(8) {
            0 => vec![b'n'; 255],
            1 => format!("{}{}", "long-".repeat(30), self.random.below(1_000)).into_bytes(),
            2..5 => format!("f{}", self.random.below(1_000)).into_bytes(),
            _ => self.random.pick(&NAMES).to_vec(),
        };
        if self.is_honest && str::from_utf8(&name).is_err() {
            name = b"utf-8".to_vec();
        }
        if self.is_honest && LEFT_OUT.contains(&&name[..]) {
            name = b"kept".to_vec();
        }
        name
    }

    /// A path that is not taken, in any directory.
    fn path(&mut self) -> Option<Vec<u8>> {
        let parent = self.random.pick(&self.directories).clone();
        let path = join(&parent, &self.name());
        (path.len() <= LONGEST && !self.entries.contains_key(&path)).then_some(path)
    }

    fn put(&mut self, path: Vec<u8>, entry: Entry) {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap().to_vec();
        let Some(Entry::Directory(names)) = self.entries.get_mut(parent_of(&path)) else {
            panic!("no directory")
        };
        names.push(name);
        self.entries.insert(path, entry);
    }

    fn directory(&mut self) {
        let Some(path) = self.path() else { return };
        self.put(path.clone(), Entry::Directory(Vec::new()));
        self.directories.push(path);
    }

    fn size(&mut self) -> u64 {
        let size = match self.random.below(10) {
            0 | 1 => 0,
            2..6 => self.random.below(3_000),
            6 | 7 => *self.random.pick(&EDGES) - 2 + self.random.below(5),
            _ => self.random.below(200_000),
        };
        if size > self.room {
            return self.random.below(100);
        }
        size
    }

    fn content(&mut self, size: u64) -> Vec<u8> {
        self.room = self.room.saturating_sub(size);
        let seed = self.random.next();
        if self.random.one_in(2) {
            return noise_of(seed, size as usize);
        }
        // It says where it is from: bytes of another place are seen at once.
        large::text(seed, size as usize)
    }

    fn file(&mut self, size: u64) {
        let Some(path) = self.path() else { return };
        let content = Arc::new(self.content(size));
        let executable = self.random.one_in(4);
        self.put(
            path,
            Entry::File {
                content,
                executable,
                names: 1,
            },
        );
    }

    /// One more name for a file.
    fn hard_link(&mut self) {
        let files = self.entries.iter().filter(|(path, entry)| {
            matches!(entry, Entry::File { .. }) && !self.groups.contains_key(*path)
        });
        let files: Vec<_> = files.map(|(path, _)| path.clone()).collect();
        let (false, Some(path)) = (files.is_empty(), self.path()) else {
            return;
        };
        let first = self.random.pick(&files).clone();
        let Entry::File {
            content,
            executable,
            ..
        } = &self.entries[&first]
        else {
            return;
        };
        let entry = Entry::File {
            content: content.clone(),
            executable: *executable,
            names: 2,
        };
        if let Some(Entry::File { names, .. }) = self.entries.get_mut(&first) {
            *names = 2;
        }
        let group = self.groups.len() as u32;
        self.groups.insert(first, group);
        self.groups.insert(path.clone(), group);
        self.put(path, entry);
    }

    fn link(&mut self) {
        let Some(path) = self.path() else { return };
        let up = "../".repeat(depth(parent_of(&path))).into_bytes();
        let others = self
            .entries
            .iter()
            .filter(|(path, entry)| !path.is_empty() && !matches!(entry, Entry::Link { .. }));
        let others: Vec<_> = others.map(|(path, _)| path.clone()).collect();
        let (target, leaves) = match self.random.below(8) {
            0 => (b"/etc/passwd".to_vec(), true),
            1 => ([&up[..], b"../x"].concat(), true),
            2 => ([&up[..], b"../../../../../etc/passwd"].concat(), true),
            3 => (b"missing".to_vec(), false),
            4 => (b".".to_vec(), false),
            _ if others.is_empty() => (b"./missing/too".to_vec(), false),
            _ => (
                [up.clone(), self.random.pick(&others).clone()].concat(),
                false,
            ),
        };
        let file = target
            .strip_prefix(&up[..])
            .filter(|path| !leaves && matches!(self.entries.get(*path), Some(Entry::File { .. })));
        let file = file.map(<[u8]>::to_vec);
        self.put(
            path,
            Entry::Link {
                target,
                file,
                leaves,
            },
        );
    }
}

/// A tree of a few entries, and what the service makes of it.
pub(super) fn random(random: &mut Random) -> (Tree, VersionSpec, bool) {
    let is_honest = random.one_in(3);
    let is_large = random.one_in(4);
    let mut maker = Making {
        is_honest,
        room: 700_000,
        entries: BTreeMap::from([(Vec::new(), Entry::Directory(Vec::new()))]),
        directories: vec![Vec::new()],
        groups: HashMap::new(),
        random,
    };
    if maker.random.one_in(15) {
        let spec = VersionSpec::files(Vec::new());
        return (finished(maker.entries, 0), spec, true);
    }
    if maker.random.one_in(3) {
        for level in 0..10 + maker.random.below(40) {
            let parent = maker.directories.last().unwrap().clone();
            let path = join(&parent, format!("level{level}").as_bytes());
            maker.put(path.clone(), Entry::Directory(Vec::new()));
            maker.directories.push(path);
        }
    }
    if maker.random.one_in(6) {
        // More names than one answer to the kernel holds.
        let parent = maker.random.pick(&maker.directories.clone()).clone();
        for number in 0..300 {
            let name = format!("many-{number}-{}", "x".repeat(40));
            let entry = Entry::File {
                content: Arc::new(name.clone().into_bytes()),
                executable: number % 2 == 0,
                names: 1,
            };
            maker.put(join(&parent, name.as_bytes()), entry);
        }
    }
    for _ in 0..2 + maker.random.below(30) {
        match maker.random.below(10) {
            0 | 1 => maker.directory(),
            2 if !is_honest => maker.hard_link(),
            3 | 4 if !is_honest => maker.link(),
            _ => {
                let size = maker.size();
                maker.file(size);
            }
        }
    }
    if is_large {
        maker.room = u64::MAX;
        let size = (1 << 20) - 1 + maker.random.below(600_000);
        maker.file(size);
    }
    // An archive of files alone has no empty directories.
    for path in maker.directories.clone() {
        let is_empty = matches!(&maker.entries[&path], Entry::Directory(names) if names.is_empty());
        if is_empty && is_honest {
            let entry = Entry::File {
                content: Arc::default(),
                executable: false,
                names: 1,
            };
            maker.put(join(&path, b"keep"), entry);
        }
    }
    let Making {
        entries,
        groups,
        random,
        ..
    } = maker;
    if is_honest {
        return honest(random, entries);
    }
    packed(random, entries, &groups)
}

/// Entries in an archive that none of the service's producers writes.
pub(super) fn packed(
    random: &mut Random,
    entries: BTreeMap<Vec<u8>, Entry>,
    groups: &HashMap<Vec<u8>, u32>,
) -> (Tree, VersionSpec, bool) {
    let spec = archived(random, &entries, groups);
    let tree = finished(entries, crate::support::archive::MODIFIED);
    (tree, spec, false)
}

fn finished(entries: BTreeMap<Vec<u8>, Entry>, modified: u64) -> Tree {
    let files = entries
        .iter()
        .filter(|(_, entry)| matches!(entry, Entry::File { .. }));
    Tree {
        files: files.map(|(path, _)| path.clone()).collect(),
        paths: entries.keys().cloned().collect(),
        modified,
        entries,
    }
}

/// As one of the service's producers packs it, with the id that belongs to it.
fn honest(random: &mut Random, entries: BTreeMap<Vec<u8>, Entry>) -> (Tree, VersionSpec, bool) {
    let modified = 1_600_000_000 + random.below(100_000_000);
    let mut files = Vec::new();
    for (path, entry) in &entries {
        let Entry::File {
            content,
            executable,
            ..
        } = entry
        else {
            continue;
        };
        let path = String::from_utf8(path.clone()).unwrap();
        let file = File::new(path, content.to_vec()).modified(modified);
        files.push(match executable {
            true => file.executable(),
            false => file,
        });
    }
    shuffle(random, &mut files);
    let maker = *random.pick(&[Maker::NodeTar, Maker::Sandbox]);
    let spec = VersionSpec::files(files).maker(maker);
    (finished(entries, modified), spec, true)
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for end in (1..items.len()).rev() {
        items.swap(end, random.below(end as u64 + 1) as usize);
    }
}

/// An archive made entry by entry, in any order.
fn archived(
    random: &mut Random,
    entries: &BTreeMap<Vec<u8>, Entry>,
    groups: &HashMap<Vec<u8>, u32>,
) -> VersionSpec {
    let mut tar = Tar::default();
    let mut order: Vec<_> = entries
        .iter()
        .filter(|(path, _)| !path.is_empty())
        .collect();
    shuffle(random, &mut order);
    let mut first: HashMap<u32, &[u8]> = HashMap::new();
    let (mut size, mut count) = (0, 0);
    for (path, entry) in order {
        // Directories that hold something need no entry of their own.
        if matches!(entry, Entry::Directory(names) if !names.is_empty()) && random.one_in(2) {
            continue;
        }
        let earlier = groups.get(path).and_then(|group| {
            let earlier = first.get(group).copied();
            first.entry(*group).or_insert(path);
            earlier
        });
        let mut link: &[u8] = match entry {
            Entry::Link { target, .. } => target,
            _ => earlier.unwrap_or_default(),
        };
        if link.len() > 100 {
            tar = tar.special(b'K', "././@LongLink", link);
            link = b"cut";
        }
        let mut name: &[u8] = path;
        if name.len() > 100 {
            tar = match random.one_in(2) {
                true => tar.special(b'L', "././@LongLink", name),
                false => tar.pax(b'x', &[("path", name)]),
            };
            name = b"cut";
        }
        tar = match entry {
            Entry::Directory(_) => tar.directory(name),
            Entry::Link { .. } => tar.symlink(name, link),
            Entry::File { .. } if earlier.is_some() => {
                count += 1;
                tar.hard_link(name, link)
            }
            Entry::File {
                content,
                executable,
                ..
            } => {
                size += content.len() as u64;
                count += 1;
                let mode = match executable {
                    true => *random.pick(&[0o755, 0o4711, 0o100]),
                    false => *random.pick(&[0o644, 0o600, 0]),
                };
                tar.header(b'0', name, b"", mode, content.len() as u64)
                    .body(&**content)
            }
        };
    }
    // Some archives can be entered at their start only.
    let archive = match entries.len() % 4 {
        0 => tar.gz(),
        _ => tar.gz_in_blocks(),
    };
    VersionSpec::archive(archive)
        .declared_size(size)
        .declared_file_count(count.max(1))
}
