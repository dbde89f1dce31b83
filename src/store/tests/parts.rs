//! Content that comes in parts: of versions whose seek index is known.

use super::seeds::text;
use super::server::*;
use super::*;
use crate::store::Present;
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

const MIB: usize = 1 << 20;

/// Names and contents: small files, large ones between them, one of each length around
/// that of a block.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for number in 0..120_u64 {
        let length = match number % 40 {
            39 => (3 + number as usize / 40) * MIB + 17,
            38 => BLOCK - 1,
            37 => BLOCK,
            36 => BLOCK + 1,
            _ => 100 + (number as usize * 7919) % 150_000,
        };
        files.push((format!("d/{number}"), text(number, length)));
    }
    files
}

pub(super) fn archive_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let tar = files.iter().fold(Tar::default(), |tar, (name, content)| {
        tar.file(name, content)
    });
    // At its lowest levels zlib-rs makes one block of all, which has no place to enter.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&tar.raw(&[0; 1024]).0).unwrap();
    encoder.finish().unwrap()
}

/// A version that has been unpacked and evicted, and the server of its archive.
pub(super) struct Evicted {
    pub(super) fixture: Fixture,
    pub(super) server: Arc<Server>,
    pub(super) files: Vec<(String, Vec<u8>)>,
    archive: Arc<Vec<u8>>,
    sent: Arc<AtomicU64>,
}

impl Evicted {
    pub(super) fn new() -> Self {
        Self::served_by(|_, asked, stream, archive, sent| {
            let (start, end) = head_of(stream, asked, archive, "\"1\"");
            sent.fetch_add((end - start) as u64, Ordering::Relaxed);
            let _ = stream.write_all(&archive[start..end]);
        })
    }

    /// By an answer that counts the bytes it sends.
    pub(super) fn served_by(
        answer: impl Fn(usize, &Asked, &mut std::net::TcpStream, &[u8], &AtomicU64)
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let files = files();
        let archive = Arc::new(archive_of(&files));
        let sent = Arc::new(AtomicU64::new(0));
        let (kept, count) = (Arc::clone(&archive), Arc::clone(&sent));
        let server = Server::new(move |number, asked, stream| {
            answer(number, asked, stream, &kept, &count);
        });
        let fixture = Fixture::with(|config| config.timeout = Duration::from_secs(30));
        server.fetch(&fixture, &Progress::new()).unwrap();
        let evicted = Self {
            fixture,
            server: Arc::new(server),
            files,
            archive,
            sent,
        };
        evicted.evict();
        evicted
    }

    pub(super) fn evict(&self) {
        self.fixture.store.cache.release();
        entries::remove_content(&self.fixture.path("v"));
        self.sent.store(0, Ordering::Relaxed);
        assert_eq!(self.version().present(), Present::None);
    }

    pub(super) fn version(&self) -> Arc<Version> {
        self.fixture.store.version(&key("v")).unwrap()
    }

    fn read(&self, number: usize) -> Result<Vec<u8>> {
        let (name, content) = &self.files[number];
        self.range(name, 0, content.len() + 1)
    }

    pub(super) fn range(&self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        range_of(&self.fixture.store, &self.server, name, offset, length)
    }

    #[track_caller]
    pub(super) fn reads(&self, number: usize) {
        let found = self.read(number).unwrap();
        assert!(found == self.files[number].1, "file {number} is another");
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Reads as a mount does: what is missing is fetched, and held until the read is tried again.
pub(super) fn range_of(
    store: &Store,
    server: &Server,
    name: &str,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>> {
    let (link, progress) = (|| server.link(), Progress::new());
    let request = FetchRequest {
        url: &link,
        ..request("v")
    };
    let mut hold = None;
    for _ in 0..10 {
        let version = match store.version(&key("v")) {
            Some(version) => version,
            None => store.fetch(&request, &progress)?,
        };
        let node = walk(version.index(), name).unwrap();
        let Some(content) = version.open(node)? else {
            drop(hold.take());
            hold = store.open_files(&request, &progress)?.hold();
            continue;
        };
        let mut bytes = vec![0; length];
        if let Some(n) = content.read_at(offset, &mut bytes) {
            bytes.truncate(n);
            return Ok(bytes);
        }
        drop(hold.take());
        let part = match content.missing(offset, length) {
            Some(missing) => store.fetch_part(&request, &missing, &progress)?,
            // Removed meanwhile, to make room.
            None if version.can_seek() => continue,
            None => None,
        };
        hold = part
            .map_or_else(|| store.fetch(&request, &progress), Ok)?
            .hold();
    }
    panic!("{name} is lost as soon as it is fetched");
}

#[test]
fn a_read_fetches_what_it_needs_and_no_more() {
    let evicted = Evicted::new();
    assert!(evicted.archive.len() > 4 * MIB);
    // The tree needs nothing.
    assert_eq!(listing(&evicted.version()).len(), 121);
    assert_eq!(evicted.sent(), 0);
    for number in [60, 119] {
        let before = evicted.sent();
        let (name, content) = &evicted.files[number];
        let found = evicted.range(name, content.len() as u64 / 2, 10).unwrap();
        assert_eq!(found, content[content.len() / 2..][..10]);
        let fetched = evicted.sent() - before;
        assert!(
            fetched > 0 && fetched <= 1 << 20,
            "{fetched} of file {number}"
        );
    }
    assert_eq!(evicted.version().present(), Present::Partly);
    // What has come is there, also for another mount.
    let before = evicted.sent();
    evicted.reads(60);
    let after = evicted.sent();
    evicted.reads(60);
    assert_eq!(evicted.sent(), after);
    let other = Store::open(config(evicted.fixture.folder.path())).unwrap();
    let (name, content) = &evicted.files[60];
    let found = range_of(&other, &evicted.server, name, 0, content.len()).unwrap();
    assert!(found == *content);
    assert_eq!(evicted.sent(), after, "before: {before}");
}

#[test]
fn every_file_is_right_in_whatever_order_it_is_read() {
    let evicted = Evicted::new();
    for step in [7, 11, 119] {
        for at in 0..evicted.files.len() {
            evicted.reads((at * step) % evicted.files.len());
        }
        let (sent, all) = (evicted.sent(), evicted.archive.len() as u64);
        assert!(sent < 2 * all, "{sent} of {all} by steps of {step}");
        evicted.evict();
    }
}

#[test]
fn a_whole_fetch_brings_each_byte_about_once() {
    let evicted = Evicted::new();
    evicted.reads(60);
    let (before, progress) = (evicted.sent(), Progress::new());
    let version = evicted.server.fetch(&evicted.fixture, &progress).unwrap();
    assert_eq!(version.present(), Present::Whole);
    // Where two requests meet, one byte can be of both.
    let (sent, all) = (evicted.sent() - before, evicted.archive.len() as u64);
    assert!(sent < all + 100, "{sent} of {all}");
    let before = evicted.sent();
    for number in 0..evicted.files.len() {
        evicted.reads(number);
    }
    assert_eq!(evicted.sent(), before);
    assert!(!evicted.fixture.path("v").join("present").exists());
}

#[test]
fn once_much_of_it_is_read_the_rest_is_worth_fetching() {
    let evicted = Evicted::new();
    evicted.reads(3);
    let store = &evicted.fixture.store;
    assert!(!store.is_worth_all(&evicted.version()));
    for number in (0..evicted.files.len()).rev().step_by(3) {
        evicted.reads(number);
    }
    assert!(store.is_worth_all(&evicted.version()));
    evicted
        .server
        .fetch(&evicted.fixture, &Progress::new())
        .unwrap();
    assert!(!store.is_worth_all(&evicted.version()));
}

#[test]
fn readers_of_one_span_share_its_fetch() {
    let evicted = Evicted::new();
    let before = evicted.server.asked().len();
    let (name, content) = &evicted.files[60];
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let found = evicted.range(name, 0, content.len()).unwrap();
                assert!(found == *content);
            });
        }
    });
    assert_eq!(evicted.server.asked().len() - before, 1);
}

#[test]
fn a_sequential_reader_is_read_ahead_of() {
    let evicted = Evicted::new();
    let before = evicted.server.asked().len();
    let (name, content) = &evicted.files[119];
    let mut found = Vec::new();
    while found.len() < content.len() {
        let part = evicted.range(name, found.len() as u64, 128 << 10).unwrap();
        found.extend_from_slice(&part);
    }
    assert!(found == *content);
    let asked = evicted.server.asked().len() - before;
    assert!(asked <= 5, "{asked} requests for {} bytes", content.len());
}

/// Bytes of the archive that all of a large file takes, from the place before it where the
/// archive is entered up to the first way-point behind it.
fn taken_by(evicted: &Evicted, blob: usize) -> u64 {
    let seek = evicted.version().seek().unwrap();
    let extent = seek.extents_of_part(blob + 1, 0..u64::MAX).next().unwrap();
    let end = extent.tar + extent.length;
    let (first, last) = (seek.span_at(extent.tar), seek.span_at(end - 1));
    assert!(last > first, "of several spans");
    seek.input(last, end).end - seek.input(first, end).start
}

#[test]
fn a_reader_of_a_whole_file_fetches_each_byte_of_it_once() {
    let evicted = Evicted::new();
    for (blob, number) in [(1, 79), (2, 119)] {
        let (name, content) = &evicted.files[number];
        let (before, asked) = (evicted.sent(), evicted.server.asked().len());
        let mut found = Vec::new();
        while found.len() < content.len() {
            let part = evicted.range(name, found.len() as u64, 40_000).unwrap();
            found.extend_from_slice(&part);
        }
        assert!(found == *content);
        // Where two requests meet, one byte can be of both.
        let asked = (evicted.server.asked().len() - asked) as u64;
        let (sent, most) = (evicted.sent() - before, taken_by(&evicted, blob) + asked);
        assert!(sent <= most, "{sent} of {most} for {number}");
    }
}

#[test]
fn readers_of_neighbouring_bytes_fetch_none_twice() {
    let evicted = Evicted::served_by(|_, asked, stream, archive, sent| {
        // The others ask meanwhile.
        thread::sleep(Duration::from_millis(30));
        let (start, end) = head_of(stream, asked, archive, "\"1\"");
        sent.fetch_add((end - start) as u64, Ordering::Relaxed);
        let _ = stream.write_all(&archive[start..end]);
    });
    let (name, content) = &evicted.files[119];
    let asked = evicted.server.asked().len();
    for first in (0..content.len()).step_by(4 * BLOCK) {
        // As the kernel asks: for what a process waits for, and for more.
        thread::scope(|scope| {
            for at in (0..4).rev().map(|at| first + at * BLOCK) {
                let evicted = &evicted;
                scope.spawn(move || evicted.range(name, at as u64, BLOCK).unwrap());
            }
        });
    }
    let asked = (evicted.server.asked().len() - asked) as u64;
    let (sent, most) = (evicted.sent(), taken_by(&evicted, 2) + asked);
    assert!(sent <= most, "{sent} of {most}");
}

#[test]
fn an_archive_that_is_another_by_now_is_fetched_whole() {
    let changed = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&changed);
    let new = archive_of(&[("d/60".into(), b"new".to_vec())]);
    let evicted = Evicted::served_by(move |_, asked, stream, archive, _| {
        match switch.load(Ordering::Relaxed) {
            false => serve(stream, asked, archive, "\"1\"", usize::MAX),
            true => serve(stream, asked, &new, "\"2\"", usize::MAX),
        }
    });
    changed.store(true, Ordering::Relaxed);
    assert_eq!(evicted.range("d/60", 0, 10).unwrap(), b"new");
    assert_eq!(listing(&evicted.version()), ["d/", "d/60"]);
}

#[test]
fn a_store_without_ranges_sends_all_of_it() {
    let evicted = Evicted::served_by(|_, _, stream, archive, _| {
        let length = ("Content-Length", archive.len().to_string());
        head(stream, "200 OK", &[length, ("ETag", "\"1\"".into())]);
        let _ = stream.write_all(archive);
    });
    for number in [60, 3, 119] {
        evicted.reads(number);
    }
    assert_eq!(evicted.version().present(), Present::Whole);
}

#[test]
fn an_expired_link_is_renewed() {
    let evicted =
        Evicted::served_by(
            |_, asked, stream, archive, _| match asked.path.contains("secret1") {
                true => head(stream, "403 Forbidden", &[]),
                false => serve(stream, asked, archive, "\"1\"", usize::MAX),
            },
        );
    let before = evicted.server.links.load(Ordering::Relaxed);
    evicted.reads(100);
    evicted.reads(10);
    // One is refused, and the next serves all reads.
    assert_eq!(evicted.server.links.load(Ordering::Relaxed) - before, 2);
}

#[test]
fn a_broken_connection_is_resumed() {
    let evicted = Evicted::served_by(|number, asked, stream, archive, _| {
        let most = if number % 3 == 1 { 50_000 } else { usize::MAX };
        serve(stream, asked, archive, "\"1\"", most);
    });
    for number in 0..evicted.files.len() {
        evicted.reads(number);
    }
}

#[test]
fn a_seek_index_that_is_damaged_costs_one_whole_download() {
    let evicted = Evicted::new();
    let path = evicted.fixture.path("v").join("seek");
    let good = fs::read(&path).unwrap();
    for at in [0, 9, good.len() / 3, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&path, bad).unwrap();
        // As another mount finds it.
        let store = Store::open(config(evicted.fixture.folder.path())).unwrap();
        let (name, content) = &evicted.files[60];
        let found = range_of(&store, &evicted.server, name, 0, content.len()).unwrap();
        assert!(found == *content, "byte {at}");
        assert_eq!(store.version(&key("v")).unwrap().present(), Present::Whole);
        store.cache.release();
        entries::remove_content(&evicted.fixture.path("v"));
    }
}

#[test]
fn a_block_that_is_damaged_on_disk_is_fetched_again() {
    let evicted = Evicted::new();
    evicted.reads(60);
    let pack = evicted.fixture.path("v").join("pack");
    let length = fs::metadata(&pack).unwrap().len();
    fs::write(&pack, vec![7; length as usize]).unwrap();
    evicted.reads(60);
    evicted.reads(119);
}

#[test]
fn parts_count_against_the_maximum_size_and_are_evicted() {
    let evicted = Evicted::new();
    let content = evicted.version().meta().content_bytes;
    evicted.reads(60);
    let usage = evicted.fixture.store.usage();
    let trees = evicted.version().meta().tree_bytes;
    assert!(
        usage.bytes > trees && usage.bytes < content / 2 + trees,
        "{usage:?} of {content}"
    );
    evicted.reads(100);
    assert!(evicted.fixture.store.usage().bytes > usage.bytes);
    // Another version needs the room.
    let ceiling = content / 4 + 3 * trees + (1 << 20);
    let store = Store::open(StoreConfig {
        ceiling,
        ..config(evicted.fixture.folder.path())
    })
    .unwrap();
    evicted.fixture.store.cache.release();
    let noise = archive_of(&[("f".into(), text(1, content as usize / 4))]);
    take_in(&store, &request("w"), &noise, None).unwrap();
    let usage = store.usage();
    assert!(usage.bytes <= usage.ceiling, "{usage:?}");
    assert_eq!(evicted.version().present(), Present::None);
    assert!(!evicted.fixture.path("v").join("present").exists());
}

#[test]
fn a_part_that_does_not_fit_is_an_error_that_says_so() {
    let evicted = Evicted::new();
    let store = Store::open(StoreConfig {
        ceiling: evicted.version().meta().tree_bytes + (300 << 10),
        ..config(evicted.fixture.folder.path())
    })
    .unwrap();
    let (name, content) = &evicted.files[119];
    let error = range_of(&store, &evicted.server, name, 0, content.len()).unwrap_err();
    assert_eq!(error.errno(), libc::ENOSPC, "{error}");
}

#[test]
fn old_and_new_content_that_are_read_at_once_are_verified_each_by_itself() {
    let evicted = Evicted::new();
    evicted.reads(100);
    let version = evicted.version();
    let open = |version: &Arc<Version>, number: usize| {
        let node = walk(version.index(), &evicted.files[number].0).unwrap();
        version.open(node).unwrap().unwrap()
    };
    let old = open(&version, 100);
    // A process removes the content under it, and another part of it comes.
    evicted.evict();
    evicted.reads(0);
    let new = open(&version, 100);
    let expected = &evicted.files[100].1;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = vec![0; expected.len()];
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(old.read_at(0, &mut bytes), Some(expected.len()));
                assert!(bytes == *expected);
            }
        });
        let mut bytes = vec![0; expected.len()];
        let given = (0..20_000)
            .filter(|_| new.read_at(0, &mut bytes).is_some())
            .count();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(given, 0, "bytes that have not come");
    });
}
