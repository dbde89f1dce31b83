//! The store as a whole, over archives made in memory.
#![allow(clippy::unwrap_used)]

mod archives;
mod cache;
mod crashes;
mod damage;
mod digests;
mod distrust;
mod downloads;
mod entered;
mod eviction;
mod fills;
mod fleet;
mod holes;
mod index_bytes;
mod inventory;
mod limits;
mod links;
mod numbers;
mod odd_servers;
mod parallel;
mod parts;
mod proof;
mod resume;
mod seeds;
mod seek;
mod sent;
mod server;
mod speed;
mod streaming;
mod strict;

use super::*;
use crate::{
    error::Error,
    store::{
        cache::{Keepalive, audit, entries},
        checksums::BLOCK,
        fetch::{Incoming, staging::Staging},
        files::BLOB_SIZE,
        index::format,
    },
    sync::Mutex,
    text::hex,
};
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
};
use tempfile::TempDir;
use url::Url;

/// A tar made by hand, so that it can be as wrong as a test wants.
#[derive(Default, Clone)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(mut self, kind: u8, path: &[u8], link: &[u8], size: u64, mode: u32) -> Self {
        let mut block = [0_u8; 512];
        block[..path.len()].copy_from_slice(path);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(format!("{:011o}", 1_700_000_000).as_bytes());
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self::checksum(&mut block);
        self.0.extend_from_slice(&block);
        self
    }

    fn checksum(block: &mut [u8]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn body(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn entry(self, kind: u8, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.header(kind, path.as_ref(), b"", content.len() as u64, 0o644)
            .body(content)
    }

    fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(b'0', path, content)
    }

    fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(b'5', path, b"")
    }

    fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(b'2', path.as_ref(), target.as_ref(), 0, 0o777)
    }

    fn hard(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.header(b'1', path.as_ref(), target.as_ref(), 0, 0o644)
    }

    fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(kind, "pax", content)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// With the end mark, compressed.
    fn gz(self) -> Vec<u8> {
        gzip(&self.raw(&[0; 1024]).0)
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(dir: &Path) -> StoreConfig {
    StoreConfig {
        dir: dir.to_path_buf(),
        ceiling: 1 << 30,
        limits: Limits::default(),
        timeout: Duration::from_secs(2),
        user_agent: "vm0fs/test".into(),
        allow_http: true,
        verify: Verify::Warn,
    }
}

fn key(version: &str) -> VersionKey {
    VersionKey {
        origin: "https://api.example".into(),
        kind: "artifacts",
        storage_id: "storage".into(),
        version_id: version.into(),
    }
}

fn no_link() -> Result<Url> {
    panic!("no link is to be asked for")
}

fn request(version: &str) -> FetchRequest<'static> {
    FetchRequest {
        key: key(version),
        declared_size: None,
        declared_files: None,
        url: &no_link,
        on_partial: &|| (),
    }
}

/// Takes an archive in as a download would be.
fn take_in(
    store: &Store,
    request: &FetchRequest<'_>,
    archive: &[u8],
    length: Option<u64>,
) -> Result<()> {
    let (cache, progress) = (&store.cache, Progress::new());
    let archive = Incoming {
        source: archive,
        length,
        etag: None,
    };
    let taken = store.fetcher.take_in(cache, request, archive, &progress);
    taken.map(drop)
}

/// A store over a temporary folder.
struct Fixture {
    folder: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StoreConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        let store = Store::open(config).unwrap();
        Self { folder, store }
    }

    fn put(&self, version: &str, archive: &[u8]) -> Result<Arc<Version>> {
        self.take_in(&request(version), archive)?;
        Ok(self.store.version(&key(version)).unwrap())
    }

    fn take_in(&self, request: &FetchRequest<'_>, archive: &[u8]) -> Result<()> {
        let length = Some(archive.len() as u64);
        // As every fetch does.
        self.store.cache.release();
        take_in(&self.store, request, archive, length)
    }

    /// What is in `versions` and `staging`.
    fn on_disk(&self) -> (usize, usize) {
        let count = |dir: &str| {
            fs::read_dir(self.folder.path().join("v1").join(dir))
                .unwrap()
                .count()
        };
        (count("versions"), count("staging"))
    }

    fn path(&self, version: &str) -> PathBuf {
        let versions = self.folder.path().join("v1/versions");
        versions.join(key(version).directory())
    }
}

fn walk(index: &Index, path: &str) -> Option<u32> {
    path.split('/')
        .filter(|name| !name.is_empty())
        .try_fold(0, |dir, name| index.child(dir, name.as_bytes()))
}

fn read(version: &Arc<Version>, path: &str) -> Option<Vec<u8>> {
    let node = walk(version.index(), path)?;
    let content = version.open(node).ok()??;
    let mut bytes = vec![0; content.size() as usize + 10];
    let n = content.read_at(0, &mut bytes)?;
    bytes.truncate(n);
    Some(bytes)
}

/// Every path of a version in the index's order, directories with a slash.
fn listing(version: &Version) -> Vec<String> {
    fn visit(index: &Index, dir: u32, path: &str, all: &mut Vec<String>) {
        for position in 0..index.child_count(dir) {
            let (name, node) = index.child_at(dir, position).unwrap();
            assert_eq!(index.child(dir, name), Some(node));
            let path = format!("{path}{}", name.escape_ascii());
            match index.node(node).unwrap().kind {
                NodeKind::Directory => {
                    all.push(format!("{path}/"));
                    visit(index, node, &format!("{path}/"), all);
                }
                _ => all.push(path),
            }
        }
    }
    let mut all = Vec::new();
    visit(version.index(), 0, "", &mut all);
    all
}
