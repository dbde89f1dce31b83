//! What is there before the end is.

use super::server::*;
use super::*;
use crate::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Longer than anything here takes, shorter than a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts and lets others wait for a number.
#[derive(Default)]
struct Gate {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, count: usize) {
        *self.count.lock() = count;
        self.changed.notify_all();
    }

    fn add(&self) {
        *self.count.lock() += 1;
        self.changed.notify_all();
    }

    fn wait(&self, least: usize) {
        let end = Instant::now() + PATIENCE;
        let mut count = self.count.lock();
        while *count < least {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {least}, got {count}");
            (count, _) = self.changed.wait_timeout(count, left);
        }
    }
}

/// Serves an archive up to the byte that a test allows.
struct Held {
    server: Server,
    allowed: Arc<Gate>,
    arrived: Gate,
}

impl Held {
    fn new(archive: Vec<u8>) -> Self {
        let allowed = Arc::new(Gate::default());
        let gate = Arc::clone(&allowed);
        let server = Server::new(move |_, asked, stream| {
            let mut at = asked.start();
            head_of(stream, asked, &archive, "\"1\"");
            let end = asked.range().1.min(archive.len());
            while at < end {
                gate.wait(at + 1);
                let to = end.min(*gate.count.lock());
                if stream.write_all(&archive[at..to]).is_err() {
                    return;
                }
                at = to;
            }
        });
        Self {
            server,
            allowed,
            arrived: Gate::default(),
        }
    }

    fn fetch(&self, fixture: &Fixture) -> Result<Arc<Version>> {
        let link = || self.server.link();
        let request = FetchRequest {
            url: &link,
            on_partial: &|| self.arrived.add(),
            ..request("v")
        };
        fixture.store.fetch(&request, &Progress::new())
    }

    /// Runs `test` when something has arrived, again and again until it gives something.
    fn until<T>(&self, mut test: impl FnMut() -> Option<T>) -> T {
        for round in 1.. {
            if let Some(found) = test() {
                return found;
            }
            self.arrived.wait(round);
        }
        unreachable!()
    }
}

fn partial(fixture: &Fixture) -> Option<Arc<PartialVersion>> {
    fixture.store.partial(&key("v"))
}

fn find(partial: &PartialVersion, path: &str) -> Option<u32> {
    path.split('/')
        .try_fold(0, |dir, name| partial.child(dir, name.as_bytes()))
}

/// The whole content, where that has come.
fn all(content: &PartialFile) -> Option<Vec<u8>> {
    let mut bytes = vec![0; content.size() as usize];
    let mut at = 0;
    while at < bytes.len() {
        match content.read_at(at as u64, &mut bytes[at..]).unwrap() {
            PartialRead::Read(n) => at += n,
            PartialRead::NotYet => return None,
        }
    }
    assert_eq!(
        content.read_at(at as u64, &mut [0; 5]).unwrap(),
        PartialRead::Read(0)
    );
    Some(bytes)
}

/// Bytes that do not compress, so that gzip cannot hold much back.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// Members of a gzip file that end where an entry does: so each entry can be
/// had from the bytes up to its own end.
fn pieces(tars: &[Tar]) -> (Vec<u8>, Vec<usize>) {
    let (mut archive, mut ends) = (Vec::new(), Vec::new());
    for tar in tars {
        archive.extend(gzip(&tar.0));
        ends.push(archive.len());
    }
    archive.extend(gzip(&[0; 1024]));
    (archive, ends)
}

#[test]
fn every_entry_before_the_next_is_sent() {
    let names = ["a", "d/b", "d/e/c", "big", "z"];
    let contents: Vec<_> = (0..names.len())
        .map(|at| match names[at] {
            "big" => noise(9, (BLOB_SIZE + 5000) as usize),
            _ => noise(at as u64, 700 + at * 3000),
        })
        .collect();
    let mut tars: Vec<_> = names
        .iter()
        .zip(&contents)
        .map(|(name, content)| Tar::default().file(name, content))
        .collect();
    tars.push(Tar::default().hard("linked", "a").symlink("s", "a"));
    let (archive, ends) = pieces(&tars);
    let (held, fixture) = (Held::new(archive), Fixture::new());
    let version = std::thread::scope(|scope| {
        let fetch = scope.spawn(|| held.fetch(&fixture));
        let mut numbers = Vec::new();
        for (at, content) in contents.iter().enumerate() {
            held.allowed.set(ends[at]);
            let (node, bytes) = held.until(|| {
                let partial = partial(&fixture)?;
                let node = find(&partial, names[at])?;
                assert_eq!(partial.node(node).unwrap().size, content.len() as u64);
                Some((node, all(&partial.open(node)?)?))
            });
            assert!(bytes == *content, "{}", names[at]);
            numbers.push(node);
            // What is not there yet is not said to be absent, and nothing is sealed.
            let partial = partial(&fixture).unwrap();
            assert!(
                names
                    .get(at + 1)
                    .is_none_or(|next| find(&partial, next).is_none())
            );
            assert!(fixture.store.version(&key("v")).is_none());
        }
        held.allowed.set(ends[names.len()]);
        let link = held.until(|| find(&*partial(&fixture)?, "linked"));
        let grown = partial(&fixture).unwrap();
        assert_eq!(link, numbers[0]);
        assert_eq!(grown.node(link).unwrap().nlink, 2);
        let symlink = held.until(|| find(&*partial(&fixture)?, "s"));
        assert_eq!(grown.node(symlink), None);
        assert_eq!(grown.node(0).unwrap().kind, NodeKind::Directory);
        assert_eq!(grown.node(0).unwrap().nlink, 3);
        assert!(grown.open(symlink).is_none() && grown.open(0).is_none());
        let content = grown.open(numbers[0]).unwrap();
        let blob = grown.open(numbers[3]).unwrap();
        held.allowed.set(usize::MAX);
        let version = fetch.join().unwrap().unwrap();
        // Sealed: the same numbers, and a handle of before goes on.
        for (name, node) in names.iter().zip(&numbers) {
            assert_eq!(walk(version.index(), name), Some(*node));
        }
        assert!(partial(&fixture).is_none());
        assert!(all(&content).unwrap() == contents[0]);
        // It keeps the content from being evicted, and outlives a deletion.
        let other = Store::open(StoreConfig {
            ceiling: 3 << 20,
            ..config(fixture.folder.path())
        })
        .unwrap();
        let new = Tar::default().file("f", vec![b'x'; 2 << 20]).gz();
        let full = take_in(&other, &super::request("w"), &new[..], None);
        assert_eq!(full.unwrap_err().errno(), libc::ENOSPC);
        assert!(version.has_content());
        fs::remove_dir_all(fixture.path("v")).unwrap();
        assert!(all(&content).unwrap() == contents[0]);
        assert!(all(&blob).unwrap() == contents[3]);
        version
    });
    assert_eq!(read(&version, "a"), None);
}

#[test]
fn a_file_is_read_while_it_arrives() {
    for length in [300_000, (BLOB_SIZE + 300_000) as usize] {
        let content = noise(1, length);
        let archive = Tar::default()
            .file("f", &content)
            .file("g", "after it")
            .gz();
        let (held, fixture) = (Held::new(archive.clone()), Fixture::new());
        std::thread::scope(|scope| {
            let fetch = scope.spawn(|| held.fetch(&fixture));
            held.allowed.set(10_000);
            let open = held.until(|| {
                let partial = partial(&fixture)?;
                partial.open(find(&partial, "f")?)
            });
            assert_eq!(open.size(), length as u64);
            let mut read = Vec::new();
            for allowed in (20_000..archive.len()).step_by(10_007) {
                // All that was allowed so far comes, but for what gzip holds back.
                let before = read.len();
                held.until(|| {
                    let mut buf = [0; 7_001];
                    match open.read_at(read.len() as u64, &mut buf).unwrap() {
                        PartialRead::Read(n) => {
                            read.extend_from_slice(&buf[..n]);
                            (read.len() + 600 >= length || read.len() > before + 3_000)
                                .then_some(())
                        }
                        PartialRead::NotYet => None,
                    }
                });
                held.allowed.set(allowed);
            }
            assert!(read.len() * 10 > length, "{} of {length}", read.len());
            assert!(read == content[..read.len()]);
            let far = open.read_at(length as u64 - 1, &mut [0; 1]).unwrap();
            held.allowed.set(usize::MAX);
            fetch.join().unwrap().unwrap();
            assert!(all(&open).unwrap() == content);
            // The last byte was not there before it was sent.
            assert_eq!(far, PartialRead::NotYet);
        });
    }
}

#[test]
fn a_later_entry_takes_the_place() {
    let tars = [
        Tar::default().file("a", noise(1, 5000)),
        Tar::default().file("a", noise(2, 6000)).file("d", "x"),
        // A directory in the place of a file.
        Tar::default().file("d/f", "y"),
    ];
    let (archive, ends) = pieces(&tars);
    let (held, fixture) = (Held::new(archive), Fixture::new());
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| held.fetch(&fixture));
        held.allowed.set(ends[0]);
        let (first, old) = held.until(|| {
            let partial = partial(&fixture)?;
            let node = find(&partial, "a")?;
            Some((node, partial.open(node)?))
        });
        held.allowed.set(ends[1]);
        let second = held.until(|| {
            let partial = partial(&fixture)?;
            find(&partial, "d")?;
            find(&partial, "a").filter(|node| *node != first)
        });
        let grown = partial(&fixture).unwrap();
        assert_eq!(grown.node(first).unwrap().nlink, 0);
        assert!(all(&old).unwrap() == noise(1, 5000));
        assert!(all(&grown.open(second).unwrap()).unwrap() == noise(2, 6000));
        held.allowed.set(ends[2]);
        held.until(|| find(&*partial(&fixture)?, "d/f"));
        held.allowed.set(usize::MAX);
        let version = fetch.join().unwrap().unwrap();
        assert_eq!(walk(version.index(), "a"), Some(second));
    });
}

#[test]
fn a_directory_that_is_implied_is_as_new_as_what_has_come_into_it() {
    let times = [(3, "d/e/a"), (9, "d/e/b"), (5, "d/c"), (4, "d/e/b")];
    let tars = times.map(|(seconds, path)| {
        let mut tar = Tar::default().file(path, noise(1, 3000));
        tar.0[136..147].copy_from_slice(format!("{seconds:011o}").as_bytes());
        Tar::checksum(&mut tar.0[..512]);
        tar
    });
    let (archive, ends) = pieces(&tars);
    let held = Held::new(archive);
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| held.fetch(&fixture));
        for (at, (d, e)) in [(3, 3), (9, 9), (9, 9)].into_iter().enumerate() {
            held.allowed.set(ends[at]);
            held.until(|| find(&*partial(&fixture)?, times[at].1));
            let grown = partial(&fixture).unwrap();
            let time = |path| grown.node(find(&grown, path).unwrap()).unwrap().mtime.0;
            assert_eq!((time("d"), time("d/e")), (d, e), "after {at}");
        }
        held.allowed.set(usize::MAX);
        let version = fetch.join().unwrap().unwrap();
        let time = |path: &str| {
            let node = walk(version.index(), path).unwrap();
            version.index().node(node).unwrap().mtime.0
        };
        // The file of 9 was replaced.
        assert_eq!((time("d"), time("d/e")), (5, 4));
    });
}

#[test]
fn a_corrupt_end_takes_back_what_was_there() {
    let mut archive = Tar::default()
        .file("a", noise(1, 50_000))
        .file("b", noise(2, 50_000))
        .gz();
    // The checksum at the very end.
    let at = archive.len() - 6;
    archive[at] ^= 1;
    let (held, fixture) = (Held::new(archive), Fixture::new());
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| held.fetch(&fixture));
        held.allowed.set(90_000);
        let content = held.until(|| {
            let partial = partial(&fixture)?;
            let content = partial.open(find(&partial, "a")?)?;
            all(&content)?;
            Some(content)
        });
        let grown = partial(&fixture).unwrap();
        let told = *held.arrived.count.lock();
        held.allowed.set(usize::MAX);
        let error = fetch.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::BadArchive { .. }), "{error}");
        held.arrived.wait(told + 1);
        let after = content.read_at(0, &mut [0; 10]).unwrap_err();
        assert!(matches!(after, Error::BadArchive { .. }), "{after}");
        assert!(find(&grown, "a").is_none() && grown.node(1).is_none());
        assert!(grown.open(1).is_none() && partial(&fixture).is_none());
    });
    assert_eq!(fixture.on_disk(), (0, 0));
}

#[test]
fn a_changed_object_begins_anew() {
    let old = Tar::default().file("old", noise(1, 50_000)).gz();
    let new = Tar::default().file("new", noise(2, 50_000)).gz();
    let (go, arrived) = (Arc::new(Gate::default()), Gate::default());
    let gate = Arc::clone(&go);
    let server = Server::new(move |number, asked, stream| match number {
        0 => {
            head_of(stream, asked, &old, "\"old\"");
            let _ = stream.write_all(&old[..30_000]);
            gate.wait(1);
        }
        _ => serve(stream, asked, &new, "\"new\"", usize::MAX),
    });
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        let fetch = scope.spawn(|| {
            let link = || server.link();
            let request = FetchRequest {
                url: &link,
                on_partial: &|| arrived.add(),
                ..request("v")
            };
            fixture.store.fetch(&request, &Progress::new())
        });
        let content = loop {
            if let Some(partial) = partial(&fixture)
                && let Some(node) = find(&partial, "old")
            {
                break partial.open(node).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(content.size(), 50_000);
        go.set(1);
        let version = fetch.join().unwrap().unwrap();
        assert_eq!(listing(&version), ["new"]);
        let error = content.read_at(0, &mut [0; 1]).unwrap_err();
        assert!(error.to_string().contains("changed"), "{error}");
    });
}

#[test]
fn told_at_once_and_then_not_too_often() {
    let archive = Tar::default().file("f", noise(1, 400_000)).gz();
    let (sent, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Gate::default()));
    let (pieces, calls) = (Arc::clone(&sent), Arc::clone(&told));
    let server = Server::new(move |_, asked, stream| {
        head_of(stream, asked, &archive, "\"1\"");
        for (number, piece) in archive.chunks(archive.len() / 200).enumerate() {
            // However slow the reader is, the first half is enough to tell of.
            if number == 100 {
                calls.wait(1);
            }
            pieces.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(piece);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let fixture = Fixture::with(|config| config.timeout = 3 * PATIENCE);
    let (started, first) = (Instant::now(), AtomicUsize::new(usize::MAX));
    let link = || server.link();
    let request = FetchRequest {
        url: &link,
        on_partial: &|| {
            first.fetch_min(sent.load(Ordering::SeqCst), Ordering::SeqCst);
            told.add();
        },
        ..request("v")
    };
    fixture.store.fetch(&request, &Progress::new()).unwrap();
    let (took, calls) = (started.elapsed().as_millis(), *told.count.lock());
    assert!(calls >= 10, "{calls} in {took} ms");
    assert!(calls as u128 <= took / 4 + 3, "{calls} in {took} ms");
    assert!(first.into_inner() <= 100, "told by the first half");
}

#[test]
fn verify_is_strict_warns_or_is_off() {
    let archive = Tar::default().file("a", "b").gz();
    let with = |id: &str, verify| {
        let fixture = Fixture::with(|config| config.verify = verify);
        fixture.take_in(&request(id), &archive)?;
        Ok::<_, Error>(fixture.store.version(&key(id)).unwrap().meta().verified)
    };
    let wrong = "0".repeat(64);
    assert_eq!(with(&wrong, Verify::Warn).unwrap(), Verified::No);
    assert_eq!(with(&wrong, Verify::Off).unwrap(), Verified::NotApplicable);
    let error = with(&wrong, Verify::Strict).unwrap_err();
    assert!(matches!(&error, Error::BadArchive { .. }), "{error}");
    assert!(error.to_string().contains("--verify"), "{error}");
    // What cannot be told is no mismatch.
    assert_eq!(
        with("ver_1", Verify::Strict).unwrap(),
        Verified::NotApplicable
    );
    let right = {
        use sha2::{Digest, Sha256};
        let content = hex(&Sha256::digest(b"b"));
        hex(&Sha256::digest(format!("storage:storage\na:{content}")))
    };
    assert_eq!(with(&right, Verify::Strict).unwrap(), Verified::Yes);
}
