//! What the machines of a fleet make of the indexes that they share.

use super::parts::{archive_of, range_of};
use super::seeds::text;
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
        Self::of(0)
    }

    /// With so many small files beside the large one.
    fn of(small: usize) -> Self {
        let content = text(7, 12 << 20);
        let mut files = vec![("f".into(), content.clone())];
        files.extend((0..small).map(|number| (number.to_string(), text(number as u64, 9))));
        let archive = Arc::new(archive_of(&files));
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

    /// A machine with an empty cache, which knows the version if another has shared it.
    fn new_machine(&self) -> (TempDir, Store, Arc<SharedCache>) {
        let folder = TempDir::new().unwrap();
        let shared = Arc::new(self.shared());
        let store = Store::open(config(folder.path())).unwrap();
        let store = store.sharing(Some(Arc::clone(&shared)));
        store.known(&key("v"), &Progress::new()).unwrap();
        (folder, store, shared)
    }

    /// The hashes of files as one machine after another asks for them.
    fn hashes(&self, store: &Store) -> Result<Arc<Version>> {
        let link = || self.server.link();
        let request = FetchRequest {
            url: &link,
            ..request("v")
        };
        store.fetch_digests(&request, &Progress::new())
    }

    /// The file of the object of hashes.
    fn hashes_object(&self, version: &Version) -> PathBuf {
        let (key, table) = (version.key(), hex(&version.index().header().table));
        let parts = [&*key.origin, key.kind, &key.storage_id, &key.version_id];
        let name = Name::new("version digests 1", &[&parts[..], &[&*table]].concat());
        let shared = self.shared();
        let is_it = |path: &PathBuf| {
            let aside = path.with_extension("aside");
            fs::rename(path, &aside).unwrap();
            let is_it = shared.find(&name, MOST).unwrap().is_none();
            fs::rename(&aside, path).unwrap();
            is_it
        };
        let folders = files::list(&self.shared.path().join("v1")).unwrap();
        let mut all = folders
            .iter()
            .flat_map(|folder| files::list(folder).unwrap());
        all.find(is_it).unwrap()
    }

    /// A machine with an empty cache reads a few bytes, and writes what it shares: whether
    /// it needed no more than a part of the archive; and the counts of what it wrote, and of
    /// what was there.
    fn machine(&self) -> (bool, (u64, u64)) {
        let before = self.sent.load(Ordering::Relaxed);
        let (_folder, store, shared) = self.new_machine();
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

/// While the reader of a part keeps it open, which knows it as one that has come in parts.
#[test]
fn hashes_that_the_fleet_has_lost_are_made_of_the_content_and_shared_again() {
    let fleet = Fleet::of(600);
    let (_folder, store, shared) = fleet.new_machine();
    let version = fleet.hashes(&store).unwrap();
    assert!(shared.flush(LONG));
    assert_eq!(shared.status().puts, 2, "the index, and the hashes");
    let object = fleet.hashes_object(&version);
    let loses: [&dyn Fn(); 2] = [&|| fs::remove_file(&object).unwrap(), &|| {
        let mut bytes = fs::read(&object).unwrap();
        bytes[100..108].fill(0);
        fs::write(&object, bytes).unwrap();
    }];
    for lose in loses {
        lose();
        let (_folder, store, shared) = fleet.new_machine();
        range_of(&store, &fleet.server, "f", 6 << 20, 100).unwrap();
        let known = store.version(&key("v")).unwrap();
        let _held = known.hold().unwrap();
        assert!(known.index().lacks_digests() && !known.has_content());
        let made = fleet.hashes(&store).unwrap();
        let node = walk(made.index(), "f").unwrap();
        assert!(made.index().digest(node).is_some());
        assert_eq!(made.index().digest(node), version.index().digest(node));
        assert!(shared.flush(LONG));
        assert_eq!(shared.status().puts, 1, "the hashes");
        // So no other machine needs the content for them.
        let (_folder, store, _shared) = fleet.new_machine();
        assert!(!fleet.hashes(&store).unwrap().has_content());
    }
}
