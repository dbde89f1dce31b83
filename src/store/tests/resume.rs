//! Fetches that are left and gone on with.

mod damage;
mod room;

use super::{seek, server::*, *};
use crate::store::{checksums::checksum, fetch::download::Sizes};
use std::{
    net::TcpStream,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};

const MIB: usize = 1 << 20;

/// Small parts: what is under way when a fetch ends is lost.
const SIZES: Sizes = Sizes {
    first: 256 << 10,
    part: 64 << 10,
    connections: 3,
    window: 256 << 10,
    opening: 256 << 10,
    patience: Duration::ZERO,
    chunk: 16 << 10,
};

/// Of all that an archive can hold something: 17 MiB of small files and large ones, holes,
/// links, names of all kinds, entries that are left out, and a header for all that follow.
static TAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let long = "long".repeat(30);
    let own = [("path", long.as_bytes()), ("mtime", b"1234567.25")];
    let sparse: [(&str, &[u8]); 5] = [
        ("GNU.sparse.major", b"0"),
        ("GNU.sparse.minor", b"1"),
        ("GNU.sparse.name", b"holes"),
        ("GNU.sparse.size", b"9000000"),
        ("GNU.sparse.map", b"0,1572864,8000000,512"),
    ];
    let mut tar = Tar::default().dir("d").pax(
        b'g',
        &[("mtime", b"1111111.5"), ("comment", &[b'c'; 70_000])],
    );
    for file in 0..600 {
        tar = tar.file(format!("d/{file}"), seek::words(file * 7, file as u32));
    }
    tar = tar
        .file("../out", seek::noise(2 * MIB + 77))
        .file("text", seek::words(5 * MIB, 7))
        .pax(b'x', &own)
        .file("short", "of a long name")
        .hard("again", "text")
        .file("noise", seek::noise(4 * MIB + 1))
        .file("d/7", "another seventh file")
        .pax(b'x', &sparse)
        .file("GNUSparseFile.1/holes", seek::noise(1_572_864 + 512))
        .file("x".repeat(300).get(..99).unwrap(), "")
        .symlink("link", "d/8")
        .file("zeros", vec![0; 3 * MIB]);
    for file in 0..300 {
        tar = tar.file(format!("e{file}"), seek::words(file * 11, file as u32));
    }
    tar.raw(&[0; 1024]).0
});

static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| seek::made_at(6, &TAR));

/// An object store that fails when it has sent so much, and a cache.
struct Bench {
    folder: TempDir,
    server: Server,
    state: Arc<State>,
}

struct State {
    archive: Mutex<(Vec<u8>, String)>,
    /// Bytes that it sends before it fails.
    budget: AtomicUsize,
    sent: AtomicUsize,
    /// The first link of the last fetch: requests of the ones before can be answered when
    /// that one has begun, and are not to take of its budget.
    first_link: AtomicU32,
    lacks_ranges: AtomicBool,
}

impl State {
    fn answer(&self, asked: &Asked, stream: &mut TcpStream) {
        if self.budget.load(Ordering::SeqCst) == 0 || self.is_late(asked) {
            return head(stream, "404 Not Found", &[]);
        }
        let (archive, etag) = self.archive.lock().clone();
        let (start, end) = match self.lacks_ranges.load(Ordering::SeqCst) {
            false => head_of(stream, asked, &archive, &etag),
            true => {
                let headers = [
                    ("ETag", etag),
                    ("Content-Length", archive.len().to_string()),
                ];
                head(stream, "200 OK", &headers);
                (0, archive.len())
            }
        };
        for piece in archive[start..end].chunks(8 << 10) {
            if self.is_late(asked) {
                return;
            }
            let taken = self
                .budget
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    Some(left.saturating_sub(piece.len()))
                });
            if taken.unwrap() == 0 {
                return;
            }
            // First: the fetch may end as soon as it has the last bytes.
            self.sent.fetch_add(piece.len(), Ordering::SeqCst);
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    }

    /// Whether an earlier fetch than the last one has asked.
    fn is_late(&self, asked: &Asked) -> bool {
        asked.link() < self.first_link.load(Ordering::SeqCst)
    }
}

impl Bench {
    fn new(archive: &[u8]) -> Self {
        let state = Arc::new(State {
            archive: Mutex::new((archive.to_vec(), "\"1\"".into())),
            budget: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            first_link: AtomicU32::new(0),
            lacks_ranges: AtomicBool::new(false),
        });
        let serves = Arc::clone(&state);
        Self {
            folder: TempDir::new().unwrap(),
            server: Server::new(move |_, asked, stream| serves.answer(asked, stream)),
            state,
        }
    }

    fn store(&self) -> Store {
        self.store_of(1 << 30)
    }

    fn store_of(&self, ceiling: u64) -> Store {
        let config = StoreConfig {
            ceiling,
            ..config(self.folder.path())
        };
        let mut store = Store::open(config).unwrap();
        store.fetcher.downloader().sizes = SIZES;
        store
    }

    /// Fetches by a store that is new, while so many bytes are sent.
    fn fetch(&self, bytes: usize) -> Result<Arc<Version>> {
        self.fetch_by(&self.store(), bytes)
    }

    fn fetch_by(&self, store: &Store, bytes: usize) -> Result<Arc<Version>> {
        let links = self.server.links.load(Ordering::SeqCst);
        self.state.first_link.store(links, Ordering::SeqCst);
        self.state.budget.store(bytes, Ordering::SeqCst);
        let link = || self.server.link();
        let request = FetchRequest {
            url: &link,
            ..request(&id())
        };
        store.fetch(&request, &Progress::new())
    }

    fn sent(&self) -> usize {
        self.state.sent.swap(0, Ordering::SeqCst)
    }

    /// The directory of the fetch that was left.
    fn left(&self) -> Option<PathBuf> {
        let staging = self.folder.path().join("v1/staging");
        let mut all = fs::read_dir(staging).unwrap().flatten();
        all.find(|entry| entry.path().is_dir())
            .map(|entry| entry.path())
    }

    #[track_caller]
    fn fails(&self, bytes: usize) -> PathBuf {
        let error = self.fetch(bytes).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("HTTP 404"), "{error}");
        self.left().expect("it is left")
    }
}

/// One that content is hashed for.
fn id() -> String {
    "0".repeat(64)
}

/// Names and bytes of files.
type Files = Vec<(String, Vec<u8>)>;

/// All files of a version that do not depend on when what came.
fn files_of(folder: &Path) -> Files {
    let path = folder.join("v1/versions").join(key(&id()).directory());
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !["meta.json", "seek", "synced"].contains(&&**name))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// What [`ARCHIVE`] is, fetched at once.
static EXPECTED: LazyLock<(Files, Meta)> = LazyLock::new(|| {
    let fixture = Fixture::new();
    let version = fixture.put(&id(), &ARCHIVE).unwrap();
    (files_of(fixture.folder.path()), version.meta().clone())
});

/// Holds a version that came in pieces against one that came at once.
#[track_caller]
fn is_right(bench: &Bench, version: &Version) {
    let (files, meta) = &*EXPECTED;
    let found = files_of(bench.folder.path());
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(files));
    for (found, expected) in found.iter().zip(files) {
        assert!(found == expected, "{} is another one", found.0);
    }
    let same = |meta: &Meta| Meta {
        sealed_at: jiff::Timestamp::UNIX_EPOCH,
        seek_bytes: 0,
        ..meta.clone()
    };
    assert_eq!(same(version.meta()), same(meta));
    assert_eq!(version.meta().skipped, 1);
    assert_eq!(bench.left(), None, "nothing is left");
}

/// Its archive can be read in parts, as if it had come at once.
fn is_entered(bench: &Bench, archive: &[u8]) {
    let entered = entered::Entered::of(bench.folder.path(), &id(), archive);
    entered.spans_are(archive, &TAR);
    entered.extents_are(&TAR);
}

#[test]
fn many_fetches_bring_little_more_than_one() {
    let bench = Bench::new(&ARCHIVE);
    let mut rounds = 0;
    let version = loop {
        rounds += 1;
        assert!(rounds < 20, "it goes on");
        match bench.fetch(3 * MIB / 2) {
            Ok(version) => break version,
            Err(error) => assert!(error.to_string().contains("HTTP 404"), "{error}"),
        }
    };
    assert!(rounds > 5, "{rounds}");
    is_right(&bench, &version);
    is_entered(&bench, &ARCHIVE);
    // A round loses what was not read, and what comes before the next point.
    let (sent, most) = (bench.sent(), ARCHIVE.len() + rounds * MIB);
    assert!(
        sent < most,
        "{sent} of {} in {rounds} rounds",
        ARCHIVE.len()
    );
    let asked = bench.server.asked();
    let starts = asked.iter().filter(|asked| asked.start() == 0).count();
    assert_eq!(starts, 1, "the beginning is asked for once: {asked:?}");
    let conditions = asked.iter().filter(|asked| asked.start() > 0);
    assert!(conditions.clone().count() > rounds);
    for asked in conditions {
        assert_eq!(asked.header("if-range"), Some("\"1\""));
    }
}

#[test]
fn what_was_read_before_a_download_failed_is_kept() {
    // Less than what one record of the journal is about, and more than a point is apart.
    let content = seek::noise(4 * MIB);
    let archive = seek::made_at(
        6,
        &Tar::default().file("f", content.clone()).raw(&[0; 1024]).0,
    );
    let bench = Bench::new(&archive);
    bench.fails(MIB);
    let before = bench.server.asked().len();
    let version = bench.fetch(usize::MAX).unwrap();
    assert!(read(&version, "f").unwrap() == content);
    let asked = bench.server.asked();
    let first = asked[before..].iter().map(Asked::start).min();
    assert!(first > Some(MIB / 4), "it goes on from {first:?}");
    // A beginning that is fetched again at once is no use to keep.
    let bench = Bench::new(&archive);
    bench.fetch(MIB / 3).map(|_| ()).unwrap_err();
    assert_eq!(bench.left(), None);
}

#[test]
fn a_fetch_that_ends_anywhere_is_gone_on_with() {
    // The points are where the archive has them: each of these ends before or behind others.
    for bytes in (0..12).map(|step| step * ARCHIVE.len() / 12 + 300_000) {
        let bench = Bench::new(&ARCHIVE);
        let first = bench.fetch(bytes);
        let version = first.or_else(|_| bench.fetch(usize::MAX)).unwrap();
        is_right(&bench, &version);
        is_entered(&bench, &ARCHIVE);
    }
}

#[test]
fn a_whole_fetch_leaves_no_journal() {
    let bench = Bench::new(&ARCHIVE);
    let version = bench.fetch(usize::MAX).unwrap();
    is_right(&bench, &version);
    assert_eq!(bench.sent(), ARCHIVE.len());
}

#[test]
fn an_archive_that_is_not_compressed_is_gone_on_with() {
    let bench = Bench::new(&TAR);
    bench.fails(7 * MIB);
    bench.fails(4 * MIB);
    let version = bench.fetch(usize::MAX).unwrap();
    let expected = &EXPECTED.0;
    assert!(files_of(bench.folder.path()) == *expected);
    assert_eq!(version.meta().archive_bytes, TAR.len() as u64);
    assert!(bench.sent() < TAR.len() + 4 * MIB);
    is_entered(&bench, &TAR);
}

#[test]
fn archives_of_several_members_are_gone_on_with() {
    for size in [65_280, 5 * MIB] {
        let archive: Vec<u8> = TAR
            .chunks(size)
            .flat_map(|part| seek::made_at(6, part))
            .collect();
        let bench = Bench::new(&archive);
        bench.fails(archive.len() / 3);
        bench.fails(archive.len() / 3);
        let version = bench.fetch(usize::MAX).unwrap();
        assert!(files_of(bench.folder.path()) == EXPECTED.0);
        assert_eq!(version.meta().archive_bytes, archive.len() as u64);
        assert!(bench.sent() < archive.len() + 4 * MIB);
        is_entered(&bench, &archive);
    }
}

#[test]
fn a_damaged_archive_is_noticed_behind_the_point_where_it_is_entered() {
    // Only the checksum at the end of the member tells, which is of all of it.
    let mut archive = ARCHIVE.clone();
    let at = archive.len() - 7;
    archive[at] ^= 1;
    let bench = Bench::new(&archive);
    bench.fails(5 * MIB);
    let error = bench.fetch(usize::MAX).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    assert_eq!(bench.left(), None);
}

#[test]
fn another_object_is_fetched_from_the_start() {
    let bench = Bench::new(&ARCHIVE);
    bench.fails(5 * MIB);
    let other = Tar::default().file("f", seek::noise(3 * MIB)).gz();
    *bench.state.archive.lock() = (other.clone(), "\"2\"".into());
    bench.sent();
    let version = bench.fetch(usize::MAX).unwrap();
    assert_eq!(read(&version, "f").unwrap(), seek::noise(3 * MIB));
    assert_eq!(listing(&version), ["f"]);
    assert_eq!(bench.left(), None);
    // Of the same length, too.
    let bench = Bench::new(&ARCHIVE);
    bench.fails(5 * MIB);
    bench.state.archive.lock().1 = "\"2\"".into();
    let version = bench.fetch(usize::MAX).unwrap();
    is_right(&bench, &version);
}

#[test]
fn without_ranges_or_a_strong_etag_all_of_it_is_fetched() {
    let bench = Bench::new(&ARCHIVE);
    bench.fails(5 * MIB);
    bench.state.lacks_ranges.store(true, Ordering::SeqCst);
    let version = bench.fetch(usize::MAX).unwrap();
    is_right(&bench, &version);
    for etag in ["W/\"1\"", ""] {
        let bench = Bench::new(&ARCHIVE);
        bench.state.archive.lock().1 = etag.into();
        bench.fetch(5 * MIB).map(|_| ()).unwrap_err();
        assert_eq!(bench.left(), None, "{etag}");
        bench.sent();
        let version = bench.fetch(usize::MAX).unwrap();
        is_right(&bench, &version);
        assert_eq!(bench.sent(), ARCHIVE.len());
    }
}

#[test]
fn what_cannot_be_gone_on_with_is_given_up() {
    let bench = Bench::new(&ARCHIVE);
    let first = bench.fails(5 * MIB);
    // Where it is the download that fails, all that is there stays.
    for _ in 0..5 {
        assert_eq!(bench.fails(0), first);
    }
    // Three processes in a row have gone on and were ended by something else.
    let record = [checksum(&[4]).to_le_bytes(), [4, 0, 0, 0]].concat();
    let record = [&[1, 0, 0, 0], &record[..5]].concat();
    let journal = fs::OpenOptions::new()
        .append(true)
        .open(first.join("journal"));
    journal.unwrap().write_all(&record.repeat(3)).unwrap();
    bench.sent();
    let version = bench.fetch(usize::MAX).unwrap();
    is_right(&bench, &version);
    assert_eq!(bench.sent(), ARCHIVE.len());
}

#[test]
fn a_fetch_at_work_is_not_taken_over() {
    let bench = Bench::new(&ARCHIVE);
    let left = bench.fails(5 * MIB);
    let lock = fs::File::open(left.with_extension("lock")).unwrap();
    let held = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusiveNonblock);
    let _held = held.map_err(|(_, error)| error).unwrap();
    bench.sent();
    let version = bench.fetch(usize::MAX).unwrap();
    assert_eq!(read(&version, "d/7").unwrap(), b"another seventh file");
    assert_eq!(bench.sent(), ARCHIVE.len());
    assert_eq!(bench.left(), Some(left), "that of the other");
}
