//! With `--verify strict`, what was sealed without it is proven before it is shown.

use super::server::*;
use super::*;
use crate::store::fetch::exchange;

fn strict(folder: &Path) -> Store {
    let verify = Verify::Strict;
    Store::open(StoreConfig {
        verify,
        ..config(folder)
    })
    .unwrap()
}

/// More files than have their digests in the object of an index.
fn many() -> (Tar, String) {
    let names: Vec<_> = (1000..1600).map(|number| number.to_string()).collect();
    let tar = names
        .iter()
        .fold(Tar::default(), |tar, name| tar.file(name, name));
    let files: Vec<(&str, &[u8])> = names.iter().map(|it| (&**it, it.as_bytes())).collect();
    (tar, proof::id_of(&files))
}

/// An id that is no hash of anything here.
fn wrong() -> String {
    "0".repeat(64)
}

/// Fetches an archive as a version of this id.
fn fetch(store: &Store, id: &str, archive: &[u8]) -> Result<Arc<Version>> {
    let archive = archive.to_vec();
    let server = Server::new(move |_, asked, stream| {
        serve(stream, asked, &archive, "\"1\"", usize::MAX);
    });
    let link = || server.link();
    let request = FetchRequest {
        url: &link,
        ..request(id)
    };
    store.fetch(&request, &Progress::new())
}

#[track_caller]
fn is_refused(store: &Store, id: &str, archive: &[u8]) {
    assert!(store.version(&key(id)).is_none());
    let known = store.known(&key(id), &Progress::new()).unwrap();
    assert!(known.is_none());
    let error = fetch(store, id, archive).unwrap_err();
    assert!(matches!(&error, Error::BadArchive { .. }), "{error}");
    assert!(store.version(&key(id)).is_none());
}

#[test]
fn what_was_sealed_without_it_is_proven_in_the_same_cache() {
    let (tar, right) = many();
    let archive = tar.gz();
    for verify in [Verify::Warn, Verify::Off] {
        for evicted in [false, true] {
            let fixture = Fixture::with(|config| config.verify = verify);
            for id in [&wrong(), &right, "ver_1"] {
                fixture.put(id, &archive).unwrap();
            }
            fixture.store.cache.release();
            if evicted {
                entries::remove_content(&fixture.path(&wrong()));
                entries::remove_content(&fixture.path(&right));
            }
            let store = strict(fixture.folder.path());
            is_refused(&store, &wrong(), &archive);
            // An operation of the kernel proves nothing: a fetch does.
            let is_proven = verify == Verify::Warn;
            assert_eq!(store.version(&key(&right)).is_some(), is_proven);
            assert_eq!(store.awaits_proof(&key(&right)), !is_proven);
            let known = store.known(&key(&right), &Progress::new()).unwrap();
            assert!(known.is_some() && !store.awaits_proof(&key(&right)));
            // No other mount has to do that again.
            for store in [store, strict(fixture.folder.path())] {
                for id in [&*right, "ver_1"] {
                    let version = store.version(&key(id)).unwrap();
                    assert_eq!(listing(&version).len(), 600, "{id}");
                }
                assert!(!store.awaits_proof(&key(&wrong())), "looked at");
            }
            // Other mounts go on to show it.
            assert!(fixture.store.version(&key(&wrong())).is_some());
        }
    }
}

#[test]
fn a_right_archive_takes_the_place_of_a_wrong_one() {
    let (tar, id) = many();
    let fixture = Fixture::new();
    fixture
        .put(&id, &Tar::default().file("a", "b").gz())
        .unwrap();
    fixture.store.cache.release();
    let store = strict(fixture.folder.path());
    let version = fetch(&store, &id, &tar.gz()).unwrap();
    assert_eq!(version.meta().verified, Verified::Yes);
    assert_eq!(listing(&version).len(), 600);
}

/// The index that a machine shares of an archive.
fn shared(verify: Verify, id: &str, archive: &[u8]) -> Vec<u8> {
    let first = Fixture::with(|config| config.verify = verify);
    let version = first.put(id, archive).unwrap();
    exchange::object_of(&version).unwrap().unwrap()
}

#[test]
fn what_another_machine_has_sealed_without_it_is_proven() {
    let (tar, right) = many();
    let (small, many) = (Tar::default().file("a", "b").gz(), tar.gz());
    for (verify, archive) in [
        (Verify::Warn, &small),
        (Verify::Warn, &many),
        (Verify::Off, &small),
        (Verify::Off, &many),
    ] {
        let object = shared(verify, &wrong(), archive);
        let folder = TempDir::new().unwrap();
        let store = strict(folder.path());
        let progress = Progress::new();
        let _ = exchange::take_in(&object[..], &store.cache, &key(&wrong()), &progress).unwrap();
        is_refused(&store, &wrong(), archive);
    }
    // One whose digests do not come is shown once it has been fetched whole.
    let object = shared(Verify::Off, &right, &many);
    let folder = TempDir::new().unwrap();
    let store = strict(folder.path());
    let taken = exchange::take_in(&object[..], &store.cache, &key(&right), &Progress::new());
    assert!(taken.unwrap());
    assert!(store.version(&key(&right)).is_none());
    let version = fetch(&store, &right, &many).unwrap();
    assert_eq!(version.meta().verified, Verified::Yes);
}
