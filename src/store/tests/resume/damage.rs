//! What was left, damaged: it is noticed, and nothing of it is shown.

use super::*;
use std::os::unix::fs::FileExt;

#[test]
fn what_is_wrong_on_disk_is_fetched_again() {
    let bench = Bench::new(&ARCHIVE);
    let left = bench.fails(5 * MIB);
    let copy = TempDir::new().unwrap();
    let names = ["journal", "pack", "blob-0"];
    for name in names {
        fs::copy(left.join(name), copy.path().join(name)).unwrap();
    }
    let journal = fs::read(copy.path().join("journal")).unwrap();
    let cuts = (0..=8).map(|cut| (journal.len() * cut / 8) as u64);
    let mut damages: Vec<(&str, Damage)> = cuts.map(|at| ("journal", Damage::Cut(at))).collect();
    let flips = (0..12).map(|flip| (journal.len() - 1) as u64 * flip * flip / 121);
    damages.extend(flips.map(|at| ("journal", Damage::Flip(at))));
    for name in ["pack", "blob-0"] {
        damages.extend([Damage::Cut(0), Damage::Cut(9000), Damage::Gone].map(|it| (name, it)));
        damages.extend([0, 9999, 300_000].map(|at| (name, Damage::Flip(at))));
    }
    for (name, damage) in damages {
        let bench = Bench::new(&ARCHIVE);
        let left = bench.folder.path().join("v1/staging/1-a");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.with_extension("lock"), "").unwrap();
        for name in names {
            fs::copy(copy.path().join(name), left.join(name)).unwrap();
        }
        damage.inflict(&left.join(name));
        let version = bench.fetch(usize::MAX).unwrap();
        is_right(&bench, &version);
        assert!(bench.sent() <= 2 * ARCHIVE.len(), "{name} {damage:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Cut(u64),
    Flip(u64),
    Gone,
}

impl Damage {
    fn inflict(self, path: &Path) {
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        let file = file.unwrap();
        match self {
            Self::Cut(at) => file.set_len(at).unwrap(),
            Self::Gone => fs::remove_file(path).unwrap(),
            Self::Flip(at) => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                byte[0] ^= 0x10;
                file.write_all_at(&byte, at).unwrap();
            }
        }
    }
}

#[test]
fn no_reader_sees_content_that_is_damaged() {
    let bench = Bench::new(&ARCHIVE);
    let left = bench.fails(5 * MIB);
    Damage::Flip(2 * MIB as u64).inflict(&left.join("blob-0"));
    let store = bench.store();
    let seen = Mutex::new(0);
    let link = || bench.server.link();
    // Whenever more has come, all that can be read of it.
    let look = || {
        let Some(partial) = store.partial(&key(&id())) else {
            return;
        };
        let Some(file) = partial.child(0, b"text").and_then(|it| partial.open(it)) else {
            return;
        };
        let mut bytes = vec![0; 5 * MIB];
        let mut at = 0;
        while let Ok(PartialRead::Read(n)) = file.read_at(at as u64, &mut bytes[at..]) {
            at += n;
            if n == 0 {
                break;
            }
        }
        assert!(bytes[..at] == seek::words(5 * MIB, 7)[..at]);
        let mut seen = seen.lock();
        *seen = at.max(*seen);
    };
    let request = FetchRequest {
        url: &link,
        on_partial: &look,
        ..request(&id())
    };
    bench.state.budget.store(usize::MAX, Ordering::SeqCst);
    let version = store.fetch(&request, &Progress::new()).unwrap();
    is_right(&bench, &version);
    assert!(*seen.lock() > MIB, "it was looked at");
}
