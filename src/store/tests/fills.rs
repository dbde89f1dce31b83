//! Content that comes in parts, where the cache or the network is in its way.

use super::parts::{Evicted, range_of};
use super::server::*;
use super::*;
use crate::store::cache::{OVERHEAD, Partly};
use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    thread,
};

/// A store over the same folder, with room for a share of the content of the version, in
/// tenths.
fn small(evicted: &Evicted, tenths: u64) -> Store {
    let version = evicted.version();
    let (meta, content) = (version.meta(), version.meta().content_bytes);
    let rest = meta.tree_bytes + meta.seek_bytes + OVERHEAD;
    let store = Store::open(StoreConfig {
        ceiling: rest + content / 10 * tenths,
        ..config(evicted.fixture.folder.path())
    });
    evicted.fixture.store.cache.release();
    store.unwrap()
}

#[test]
fn a_version_larger_than_the_cache_is_read_block_by_block() {
    let evicted = Evicted::new();
    let store = small(&evicted, 7);
    let mut blocks = Vec::new();
    for (number, (_, content)) in evicted.files.iter().enumerate() {
        blocks.extend((0..content.len()).step_by(BLOCK).map(|at| (number, at)));
    }
    let count = blocks.len();
    for at in (0..count).step_by(2).map(|at| at * 7919 % count) {
        let (number, offset) = blocks[at];
        let (name, content) = &evicted.files[number];
        let found = range_of(&store, &evicted.server, name, offset as u64, BLOCK);
        let found = found.unwrap_or_else(|error| panic!("{name} at {offset}: {error}"));
        let expected = &content[offset..content.len().min(offset + BLOCK)];
        assert!(found == expected, "{name} at {offset}");
        assert!(!store.is_worth_all(&evicted.version()));
    }
    let usage = store.usage();
    assert!(usage.bytes <= usage.ceiling, "{usage:?}");
    // All fit into the room that one has left.
    thread::scope(|scope| {
        for first in 0..4 {
            let (store, evicted, blocks) = (&store, &evicted, &blocks);
            scope.spawn(move || {
                for (number, offset) in blocks.iter().skip(first).step_by(9) {
                    let name = &evicted.files[*number].0;
                    range_of(store, &evicted.server, name, *offset as u64, BLOCK).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_file_that_is_open_does_not_keep_the_room_that_its_next_part_needs() {
    let evicted = Evicted::new();
    let store = small(&evicted, 2);
    let version = store.version(&key("v")).unwrap();
    let request = FetchRequest {
        url: &|| evicted.server.link(),
        ..request("v")
    };
    let open = |name: &str| {
        store.open_files(&request, &Progress::new()).unwrap();
        version
            .open(walk(version.index(), name).unwrap())
            .unwrap()
            .unwrap()
    };
    // Read once, and left open.
    let mut kept = Vec::new();
    for (name, content) in evicted.files.iter().step_by(3) {
        let length = content.len().min(4 * BLOCK);
        let found = range_of(&store, &evicted.server, name, 0, length).unwrap();
        assert!(found == content[..length], "{name}");
        kept.push(open(name));
    }
    let on_disk = |kept: &Vec<Content>| {
        let mut first = vec![0; 1];
        kept.iter()
            .filter(|content| content.read_at(0, &mut first).is_some())
            .count()
    };
    assert!(on_disk(&kept) < kept.len(), "some were emptied");
}

#[test]
fn a_version_whose_rest_has_failed_to_come_is_not_tried_again_soon() {
    let fails = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&fails);
    let evicted = Evicted::served_by(move |_, asked, stream, archive, _| {
        match switch.load(Ordering::Relaxed) {
            true => head(stream, "418 I'm a teapot", &[]),
            false => serve(stream, asked, archive, "\"1\"", usize::MAX),
        }
    });
    for number in (0..evicted.files.len()).rev().step_by(3) {
        evicted.reads(number);
    }
    let store = &evicted.fixture.store;
    assert!(store.is_worth_all(&evicted.version()));
    fails.store(true, Ordering::Relaxed);
    let failed = evicted.server.fetch(&evicted.fixture, &Progress::new());
    assert!(failed.is_err());
    assert!(!store.is_worth_all(&evicted.version()));
}

/// Where a reader has paused in a later span than the one that a read ahead begins with.
#[test]
fn a_read_ahead_begins_with_what_is_wanted() {
    let evicted = Evicted::new();
    let (name, content) = &evicted.files[119];
    let seek = evicted.version().seek().unwrap();
    let extent = seek.extents_of_part(3, 0..u64::MAX).next().unwrap();
    assert_eq!(extent.length, content.len() as u64);
    let first = seek.span_at(extent.tar);
    let starts = |span: usize| seek.output(span).start - extent.tar;
    assert!(
        starts(first + 2) + 4 * (BLOCK as u64) < extent.length,
        "three spans"
    );
    let block = BLOCK as u64;
    let inside = |span: usize| (starts(span) / block + 2) * block;
    let reads = |offset: u64| {
        let (sent, asked) = (evicted.sent(), evicted.server.asked().len());
        let found = evicted.range(name, offset, 100).unwrap();
        assert_eq!(found, content[offset as usize..][..100]);
        (evicted.sent() - sent, evicted.server.asked().len() - asked)
    };
    // One pauses in the third span, and one ends the first.
    reads(inside(first + 2));
    reads((starts(first + 1) / block - 1) * block);
    let (sent, asked) = reads(inside(first + 1));
    let last = first + 2;
    let all = seek.input(last, seek.output(last).end).end - seek.input(first + 1, 0).start;
    assert_eq!(asked, 1);
    assert!(sent <= all, "{sent} of {all}");
}

#[test]
fn a_read_that_fails_beside_a_whole_fetch_costs_no_seek_index() {
    // Requests for bytes before the border wait for the first gate and fail; the others wait
    // for the second.
    let border = Arc::new(AtomicUsize::new(usize::MAX));
    let go = [(); 2].map(|()| Arc::new(AtomicBool::new(true)));
    let (place, gates) = (Arc::clone(&border), go.clone());
    let evicted = Evicted::served_by(move |_, asked, stream, archive, _| {
        let is_later = asked.start() >= place.load(Ordering::Relaxed);
        let gate = &gates[usize::from(is_later)];
        let fails = !is_later && !gate.load(Ordering::Relaxed);
        while !gate.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        match fails {
            true => head(stream, "418 I'm a teapot", &[]),
            false => serve(stream, asked, archive, "\"1\"", usize::MAX),
        }
    });
    let version = evicted
        .server
        .fetch(&evicted.fixture, &Progress::new())
        .unwrap();
    evicted.fixture.store.cache.release();
    let seek = version.seek().unwrap();
    let extent = seek.extents_of_part(3, 0..u64::MAX).next().unwrap();
    let first = seek.span_at(extent.tar);
    let block = |span: usize| (seek.output(span).start - extent.tar) / BLOCK as u64 + 2;
    let sum = |span: usize| (version.index().blocks_of(3).unwrap().start + block(span)) as usize;
    // As where all has come but a block of each of two spans.
    let path = evicted.fixture.path("v").join("present");
    let mut present = vec![1; 8 + version.index().header().sums as usize];
    present[..8].copy_from_slice(&version.meta().content_bytes.to_le_bytes());
    present[8 + sum(first + 1)] = 0;
    present[8 + sum(first + 2)] = 0;
    fs::write(&path, &present).unwrap();
    let later = seek.input(first + 2, seek.output(first + 2).end).start;
    border.store(later as usize, Ordering::Relaxed);
    go.iter()
        .for_each(|gate| gate.store(false, Ordering::Relaxed));
    let asked = evicted.server.asked().len();
    let comes = |count: usize| {
        while evicted.server.asked().len() < asked + count {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let offset = block(first + 1) * BLOCK as u64;
    thread::scope(|scope| {
        let read = scope.spawn(|| evicted.range("d/119", offset, 100));
        comes(1);
        let whole = scope.spawn(|| evicted.server.fetch(&evicted.fixture, &Progress::new()));
        comes(2);
        go[0].store(true, Ordering::Relaxed);
        assert!(read.join().unwrap().is_err());
        // Another process has found one damaged meanwhile: as many are missing as before.
        present[8] = 0;
        fs::write(&path, &present).unwrap();
        go[1].store(true, Ordering::Relaxed);
        whole.join().unwrap().unwrap();
    });
    assert!(version.can_seek());
    assert_eq!(version.present(), Present::Whole);
}

#[test]
fn a_link_that_leads_nowhere_is_not_kept() {
    for (status, fails) in [("404 Not Found", 0), ("410 Gone", 0), ("301 Moved", 1)] {
        let moved = Arc::new(AtomicU32::new(0));
        let place = Arc::clone(&moved);
        let evicted = Evicted::served_by(move |_, asked, stream, archive, _| {
            match asked.link() < place.load(Ordering::Relaxed) {
                true => head(stream, status, &[]),
                false => serve(stream, asked, archive, "\"1\"", usize::MAX),
            }
        });
        let links = || evicted.server.links.load(Ordering::Relaxed);
        evicted.reads(100);
        let before = links();
        evicted.reads(10);
        assert_eq!(links(), before, "{status}: it serves all reads");
        moved.store(before, Ordering::Relaxed);
        for _ in 0..fails {
            assert!(evicted.range("d/60", 0, 10).is_err(), "{status}");
        }
        evicted.reads(60);
        assert_eq!(links() - before, 1, "{status}");
        // Where another one leads nowhere too, that is final.
        moved.store(u32::MAX, Ordering::Relaxed);
        assert!(evicted.range("d/30", 0, 10).is_err(), "{status}");
        assert!(links() - before <= 2, "{status}");
    }
}

/// The server of a version whose content is removed, and made ready to come in parts again,
/// while each of the next requests waits for its bytes.
struct Removing {
    evicted: Evicted,
    next: Arc<Mutex<Option<Removal>>>,
}

/// For how many requests, of which version, by which store; and what is noted in its
/// `present` first.
type Removal = (u32, Arc<Version>, Store, Vec<u8>);

impl Removing {
    fn new() -> Self {
        let next = Arc::new(Mutex::new(None::<Removal>));
        let place = Arc::clone(&next);
        let evicted = Evicted::served_by(move |_, asked, stream, archive, _| {
            if let Some((left @ 1.., version, store, present)) = &mut *place.lock() {
                *left -= 1;
                let path = store
                    .dir()
                    .join("v1/versions")
                    .join(version.key().directory());
                let file = fs::File::options().write(true).open(path.join("present"));
                file.unwrap().write_all(present).unwrap();
                version.give_up("as a read does that finds it damaged");
                store.cache.prepare(version, &Progress::new()).unwrap();
            }
            serve(stream, asked, archive, "\"1\"", usize::MAX);
        });
        Self { evicted, next }
    }

    fn removes(&self, times: u32, present: Vec<u8>) {
        let store = Store::open(config(self.evicted.fixture.folder.path())).unwrap();
        *self.next.lock() = Some((times, self.evicted.version(), store, present));
    }
}

#[test]
fn a_part_whose_content_is_removed_while_it_comes_costs_no_seek_index() {
    let removing = Removing::new();
    let (evicted, times) = (&removing.evicted, 4);
    removing.removes(times, Vec::new());
    let asked = evicted.server.asked().len();
    evicted.reads(60);
    assert_eq!(evicted.server.asked().len() - asked, times as usize + 1);
    assert!(evicted.version().can_seek());
    assert_eq!(evicted.version().present(), Present::Partly);
}

#[test]
fn a_whole_fetch_whose_content_is_removed_meanwhile_costs_no_seek_index() {
    // Once another process has found as much damaged as comes, and once not.
    for is_damaged in [true, false] {
        let removing = Removing::new();
        let evicted = &removing.evicted;
        let fetch = || evicted.server.fetch(&evicted.fixture, &Progress::new());
        let version = fetch().unwrap();
        evicted.fixture.store.cache.release();
        // As where all has come but one block.
        let mut present = vec![1; 8 + version.index().header().sums as usize];
        present[..8].copy_from_slice(&version.meta().content_bytes.to_le_bytes());
        present[8] = 0;
        fs::write(evicted.fixture.path("v").join("present"), &present).unwrap();
        present[9] = u8::from(!is_damaged);
        removing.removes(1, present);
        fetch().unwrap();
        assert!(version.can_seek());
        assert_eq!(version.present(), Present::Whole);
        let asked = evicted.server.asked().len();
        evicted.reads(60);
        assert_eq!(evicted.server.asked().len(), asked, "it has come");
    }
}

#[test]
fn content_that_is_removed_at_this_moment_is_no_failure() {
    let evicted = Evicted::new();
    let (cache, version) = (&evicted.fixture.store.cache, evicted.version());
    cache.prepare(&version, &Progress::new()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                cache.start_over(&version, &Progress::new()).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            Partly::of(cache, &version).unwrap();
        }
    });
}

#[test]
fn readers_whose_parts_do_not_fit_at_the_same_time_take_turns() {
    let evicted = Evicted::served_by(|_, asked, stream, archive, _| {
        // The others ask meanwhile.
        thread::sleep(std::time::Duration::from_millis(30));
        serve(stream, asked, archive, "\"1\"", usize::MAX);
    });
    let store = small(&evicted, 2);
    let length = 8 * BLOCK;
    thread::scope(|scope| {
        for first in 0..8 {
            let (store, evicted) = (&store, &evicted);
            scope.spawn(move || {
                let all = (0..3).map(|at| (first * 37 + at * 7919) % evicted.files.len());
                for number in all {
                    let (name, content) = &evicted.files[number];
                    let offset = (number * 245_489) % content.len();
                    let found = range_of(store, &evicted.server, name, offset as u64, length);
                    let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
                    let expected = &content[offset..content.len().min(offset + length)];
                    assert!(found == expected, "{name} at {offset}");
                }
            });
        }
    });
    assert!(evicted.version().can_seek());
    let usage = store.usage();
    assert!(usage.bytes <= usage.ceiling, "{usage:?}");
}

#[test]
fn a_version_that_only_readers_have_open_makes_room_for_its_next_part() {
    let evicted = Evicted::new();
    let store = small(&evicted, 2);
    let version = store.version(&key("v")).unwrap();
    let mut kept = Vec::new();
    for (name, content) in evicted.files.iter().step_by(3) {
        let length = content.len().min(4 * BLOCK);
        let found = range_of(&store, &evicted.server, name, 0, length).unwrap();
        assert!(found == content[..length], "{name}");
        kept.push(version.open(walk(version.index(), name).unwrap()).unwrap());
        // As where many others are used meanwhile.
        store.cache.forget(&key("v"));
        let again = store.version(&key("v")).unwrap();
        assert!(Arc::ptr_eq(&version, &again), "two locks on one content");
    }
}

#[test]
fn single_reads_of_content_that_has_gone_since_count_for_nothing() {
    let evicted = Evicted::new();
    let store = &evicted.fixture.store;
    let mut sent = 0;
    for number in 0..40 {
        let (name, content) = &evicted.files[number % 38];
        assert_eq!(evicted.range(name, 0, 10).unwrap(), content[..10]);
        assert!(!store.is_worth_all(&evicted.version()), "{number}");
        sent += evicted.sent();
        evicted.evict();
    }
    let archive = evicted.version().seek().unwrap().archive().length;
    assert!(sent > archive / 8 + (1 << 20), "{sent} of {archive}");
}

#[test]
fn what_has_only_been_opened_is_shown_as_evicted() {
    let evicted = Evicted::new();
    let store = &evicted.fixture.store;
    let inventory = Inventory::open(evicted.fixture.folder.path(), 1 << 30);
    let inventory = inventory.unwrap().unwrap();
    let shown = || {
        (
            evicted.version().shown(),
            inventory.list().unwrap()[0].present,
        )
    };
    assert_eq!(shown(), (Present::None, Present::None));
    store.open_files(&request("v"), &Progress::new()).unwrap();
    assert_eq!(evicted.version().present(), Present::Partly);
    assert_eq!(shown(), (Present::None, Present::None));
    assert_eq!(inventory.clear(false, false).unwrap(), Cleared::default());
    evicted.reads(60);
    assert_eq!(shown(), (Present::Partly, Present::Partly));
}
