//! What the machines of a fleet make of the indexes that they share.

use super::parts::{archive_of, range_of, text};
use super::server::*;
use super::*;
use crate::shared::{MOST, Name, SharedCache, tests::open};
use std::{
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
};

const LONG: Duration = Duration::from_secs(30);

/// A bucket with an archive whose ETag has a number, and the shared cache of a fleet.
struct Fleet {
    archive: Arc<Vec<u8>>,
    content: Vec<u8>,
    server: Server,
    etag: Arc<AtomicU32>,
    sent: Arc<AtomicUsize>,
    shared: TempDir,
}

impl Fleet {
    fn new() -> Self {
        let content = text(7, 12 << 20);
        let archive = Arc::new(archive_of(&[("f".into(), content.clone())]));
        let (etag, sent) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicUsize::new(0)));
        let (served, number, count) = (archive.clone(), etag.clone(), sent.clone());
        let server = Server::new(move |_, asked, stream| {
            let etag = format!("\"{}\"", number.load(Ordering::Relaxed));
            let (start, end) = head_of(stream, asked, &served, &etag);
            count.fetch_add(end - start, Ordering::Relaxed);
            let _ = stream.write_all(&served[start..end]);
        });
        Self {
            archive,
            content,
            server,
            etag,
            sent,
            shared: TempDir::new().unwrap(),
        }
    }

    fn shared(&self) -> SharedCache {
        open(self.shared.path(), 1)
    }

    /// A machine with an empty cache reads a few bytes, and writes what it shares: whether
    /// it needed no more than a part of the archive; and the counts of what it wrote, and of
    /// what was there.
    fn machine(&self) -> (bool, (u64, u64)) {
        let folder = TempDir::new().unwrap();
        let shared = Arc::new(self.shared());
        let store = Store::open(config(folder.path())).unwrap();
        let store = store.sharing(Some(Arc::clone(&shared)));
        let before = self.sent.load(Ordering::Relaxed);
        store.known(&key("v"), &Progress::new()).unwrap();
        let found = range_of(&store, &self.server, "f", 6 << 20, 100).unwrap();
        assert_eq!(found, self.content[6 << 20..][..100]);
        assert!(shared.flush(LONG));
        // What a stream had in flight is sent still.
        thread::sleep(Duration::from_millis(100));
        let sent = self.sent.load(Ordering::Relaxed) - before;
        let status = shared.status();
        assert_eq!(status.hits + status.misses, 1, "one lookup");
        let is_part = sent < self.archive.len() / 2;
        (is_part, (status.puts, status.already_there))
    }
}

#[test]
fn an_index_of_an_archive_that_has_changed_is_replaced_by_the_first_that_finds_it() {
    let fleet = Fleet::new();
    assert_eq!(fleet.machine(), (false, (1, 0)));
    assert_eq!(fleet.machine(), (true, (0, 0)));
    fleet.etag.store(2, Ordering::Relaxed);
    assert_eq!(fleet.machine(), (false, (1, 0)));
    assert_eq!(fleet.machine(), (true, (0, 0)));
}

#[test]
fn an_object_that_is_no_index_is_replaced() {
    let fleet = Fleet::new();
    let key = key("v");
    let parts = [&*key.origin, key.kind, &key.storage_id, &key.version_id];
    let name = || Name::new("version index 5", &parts);
    let shared = fleet.shared();
    assert!(shared.put_later(name(), b"of no use".to_vec()) && shared.flush(LONG));
    assert_eq!(fleet.machine(), (false, (1, 0)));
    assert_ne!(shared.get(&name(), MOST).unwrap(), b"of no use");
    assert_eq!(fleet.machine(), (true, (0, 0)));
}

#[test]
fn an_object_that_another_machine_has_written_first_is_not_counted_as_written() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.shared(), fleet.shared());
    for (cache, counts) in [(&first, (1, 0)), (&second, (0, 1))] {
        cache.put_later(Name::new("test", &["x"]), b"content".to_vec());
        assert!(cache.flush(LONG));
        let status = cache.status();
        assert_eq!((status.puts, status.already_there), counts);
    }
}
