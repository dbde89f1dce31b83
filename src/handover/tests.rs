//! What one worker leaves, and what the next reads of it.

use super::*;
use std::{fs::File, os::unix::fs::FileExt};

/// The handover of the next worker.
fn next(handover: Handover) -> Handover {
    let fd = handover.fd().try_clone_to_owned().unwrap();
    drop(handover);
    Handover::take_over(fd).unwrap()
}

fn file(handover: &Handover) -> File {
    handover.fd().try_clone_to_owned().unwrap().into()
}

fn numbers(handover: &Handover, owner: Owner) -> Vec<u64> {
    let mut numbers = Vec::new();
    handover.records(owner, |record| numbers.push(record.number().unwrap()));
    numbers
}

#[test]
fn the_journal_is_read_by_owner_and_goes_on_in_the_next_worker() {
    let mut handover = Handover::new().unwrap();
    let mut written = Vec::new();
    for worker in 0..3 {
        // More than is mapped at a time.
        for n in 0..20_000 {
            let number = worker * 1_000_000 + n;
            let record = Fields::new()
                .number(number)
                .text(&"x".repeat(n as usize % 40));
            assert!(handover.add(Owner::Inodes, record));
            written.push(number);
        }
        assert!(handover.add(Owner::Fs, Fields::new().number(worker)));
        handover = next(handover);
        assert!(!handover.is_damaged());
    }
    assert!(numbers(&handover, Owner::Inodes) == written);
    assert_eq!(numbers(&handover, Owner::Fs), [0, 1, 2]);
    assert_eq!(numbers(&handover, Owner::Orders), [0_u64; 0]);
}

#[test]
fn a_record_that_was_not_finished_is_dropped_with_what_it_was_to_hold() {
    let handover = Handover::new().unwrap();
    for n in 0..10 {
        handover.add(Owner::Fs, Fields::new().number(n));
    }
    // Without its first word: a kill before the last store.
    let mut torn = frames::frame(&[7; 100]);
    torn[..8].fill(0);
    let end = layout::JOURNAL + 10 * frames::framed(9) as u64;
    // In it, where the next record will end, is what looks like a record.
    let fake = frames::frame(&[[9; 8].as_slice(), &[Owner::Fs as u8]].concat());
    torn[24..24 + fake.len()].copy_from_slice(&fake);
    file(&handover).write_all_at(&torn, end).unwrap();
    let handover = next(handover);
    assert!(!handover.is_damaged());
    handover.add(Owner::Fs, Fields::new().number(10));
    let handover = next(handover);
    assert_eq!(numbers(&handover, Owner::Fs), Vec::from_iter(0..=10));
}

#[test]
fn damage_is_told_and_what_comes_before_it_is_kept() {
    let handover = Handover::new().unwrap();
    for n in 0..10 {
        handover.add(Owner::Fs, Fields::new().number(n));
    }
    let place = layout::JOURNAL + 5 * frames::framed(9) as u64 + 9;
    file(&handover).write_all_at(&[0xff], place).unwrap();
    let handover = next(handover);
    assert!(handover.is_damaged());
    assert_eq!(numbers(&handover, Owner::Fs), [0, 1, 2, 3, 4]);
    handover.add(Owner::Fs, Fields::new().number(77));
    assert_eq!(numbers(&next(handover), Owner::Fs), [0, 1, 2, 3, 4, 77]);
}

fn handle(handover: &Handover, ino: u64) -> (LeftHandle, u32) {
    let handle = LeftHandle {
        number: handover.new_handle(),
        ino,
        kind: 3,
        opener: u32::MAX,
        size: ino * 2,
        extent: 0,
    };
    (handle, handover.add_handle(&handle).unwrap())
}

#[test]
fn handles_are_left_until_they_are_freed_and_numbers_are_not_reused() {
    let handover = Handover::new().unwrap();
    // More than are mapped at a time.
    let made: Vec<_> = (1..=10_000).map(|ino| handle(&handover, ino)).collect();
    for (_, slot) in made.iter().step_by(2) {
        handover.free_handle(*slot);
    }
    let handover = next(handover);
    let left = handover.left_handles();
    let kept: Vec<_> = made.iter().skip(1).step_by(2).copied().collect();
    assert!(left == kept && handover.left_handles().is_empty());
    let (newer, slot) = handle(&handover, 5);
    assert!(newer.number > 10_000 && slot < 10_000, "in a free slot");
    // Also where the header is damaged.
    let word = (layout::WORD_HANDLE * 8) as u64;
    file(&handover).write_all_at(&[0; 8], word).unwrap();
    let handover = next(handover);
    assert!(handover.new_handle() > newer.number);
}

#[test]
fn bytes_are_kept_once_until_their_last_holder_lets_go() {
    let handover = Handover::new().unwrap();
    for size in [1, 100, 65_000, 65_536, 3_000_000] {
        let bytes: Arc<[u8]> = (0..size).map(|n: u32| n as u8).collect();
        let number = handover.keep(&bytes).unwrap();
        assert_eq!(handover.keep(&bytes.clone()), Some(number));
        let other: Arc<[u8]> = bytes.to_vec().into();
        assert_ne!(handover.keep(&other), Some(number));
        handover.let_go(number);
        assert!(handover.kept(number).is_some_and(|kept| kept == bytes));
        handover.let_go(number);
        assert!(handover.kept(number).is_none(), "{size}");
    }
}

/// The bytes of memory that a handover takes.
fn taken(handover: &Handover) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file(handover).metadata().unwrap().blocks() * 512
}

#[test]
fn two_handles_of_one_file_share_its_bytes_in_the_next_worker_too() {
    let handover = Handover::new().unwrap();
    let bytes: Arc<[u8]> = vec![7; 1_000_000].into();
    let held = |handover: &Handover| {
        let extent = handover.keep(&bytes).unwrap();
        let number = handover.new_handle();
        let handle = LeftHandle {
            number,
            extent,
            size: bytes.len() as u64,
            ..LeftHandle::default()
        };
        handover.add_handle(&handle).unwrap();
    };
    held(&handover);
    held(&handover);
    // No handle holds these: the worker ended before it had one.
    handover.keep(&vec![8; 2_000_000].into()).unwrap();
    let before = taken(&handover);
    assert!(before > 3_000_000, "{before}");
    let handover = next(handover);
    handover.free_all_but(std::iter::empty());
    assert!(taken(&handover) < before - 1_900_000);
    let left = handover.left_handles();
    assert_eq!(left.len(), 2);
    let kept = |(handle, _): &(LeftHandle, u32)| handover.kept(handle.extent);
    let first = kept(&left[0]).unwrap();
    assert!(first == bytes && Arc::ptr_eq(&first, &kept(&left[1]).unwrap()));
    handover.let_go(left[0].0.extent);
    assert!(kept(&left[1]).is_some_and(|kept| kept == bytes));
    handover.let_go(left[1].0.extent);
    assert!(taken(&handover) < 1_000_000);
    assert_ne!(
        handover.keep(&bytes),
        Some(left[0].0.extent),
        "never the same place"
    );
}

#[test]
fn bytes_that_are_damaged_are_not_given() {
    let handover = Handover::new().unwrap();
    let bytes: Arc<[u8]> = vec![7; 100_000].into();
    let extent = handover.keep(&bytes).unwrap();
    let handle = LeftHandle {
        number: handover.new_handle(),
        extent,
        ..LeftHandle::default()
    };
    handover.add_handle(&handle).unwrap();
    let place = extent / layout::PAGE * layout::PAGE + 70_000;
    file(&handover).write_all_at(&[0], place).unwrap();
    let handover = next(handover);
    assert!(handover.kept(extent).is_none());
    for wrong in [0, 1, 12, layout::EXTENTS, layout::END | 12, u64::MAX] {
        assert!(handover.kept(wrong).is_none(), "{wrong:x}");
    }
}

#[test]
fn a_stream_goes_on_in_the_next_worker() {
    let mut handover = Handover::new().unwrap();
    let mut stream = handover.stream().unwrap();
    let mut written = Vec::new();
    for worker in 0..4_u64 {
        for n in 0..200 {
            let text = "x".repeat((n * 997) % 9_000);
            assert!(handover.add_to(&stream, &Fields::new().text(&text)));
            written.push(text);
        }
        let large = worker.to_string().repeat(300_000);
        assert!(handover.add_to(&stream, &Fields::new().text(&large)));
        written.push(large);
        let number = stream.number();
        handover = next(handover);
        handover.free_all_but([number].into_iter());
        let mut read = Vec::new();
        let left = handover.left_stream(number, |record| {
            read.push(record.text().unwrap().to_owned())
        });
        stream = left.unwrap();
        assert!(read == written, "worker {worker}");
    }
    handover.free_stream(&stream);
    assert!(!handover.add_to(&stream, &Fields::new().number(1)));
    assert!(taken(&handover) < 1_000_000);
}

#[test]
fn what_is_no_handover_or_of_another_format_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let other = File::create(folder.path().join("other")).unwrap();
    assert!(Handover::take_over(other.into()).is_err());
    for word in [layout::WORD_MAGIC, layout::WORD_FORMAT] {
        let handover = Handover::new().unwrap();
        file(&handover)
            .write_all_at(&[77], word as u64 * 8)
            .unwrap();
        let fd = handover.fd().try_clone_to_owned().unwrap();
        let Err(error) = Handover::take_over(fd) else {
            panic!("word {word} was believed");
        };
        let told = error.to_string();
        assert!(told.contains("format"), "{told}");
    }
}

#[test]
fn any_bytes_at_all_can_be_taken_over() {
    let mut random = 7_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        };
        (0..length).map(|_| next()).collect()
    };
    for _ in 0..50 {
        let handover = Handover::new().unwrap();
        let (_, slot) = handle(&handover, 5);
        let stream = handover.stream().unwrap();
        handover.add_to(&stream, &Fields::new().text("stream"));
        let memory = file(&handover);
        memory.write_all_at(&noise(60_000), 16).unwrap();
        memory
            .write_all_at(&noise(100_000), layout::SLOTS + u64::from(slot))
            .unwrap();
        memory.write_all_at(&noise(5_000), layout::JOURNAL).unwrap();
        memory.write_all_at(&noise(5_000), layout::EXTENTS).unwrap();
        memory
            .write_all_at(&Handover::FORMAT.to_le_bytes(), 8)
            .unwrap();
        memory.write_all_at(&[0; 4], 12).unwrap();
        let handover = next(handover);
        for (handle, slot) in handover.left_handles() {
            assert!(handover.kept(handle.extent).is_none());
            handover.free_handle(slot);
        }
        let number = stream.number();
        let left = handover.left_stream(number, |_| panic!("noise was believed"));
        assert!(left.is_some());
        handover.records(Owner::Inodes, |_| panic!("noise was believed"));
        handover.free_all_but([number, 77].into_iter());
        handle(&handover, 6);
    }
}

#[test]
fn a_closed_handover_writes_and_frees_nothing() {
    let handover = Handover::new().unwrap();
    let bytes: Arc<[u8]> = vec![7; 5_000].into();
    let extent = handover.keep(&bytes).unwrap();
    let (left, slot) = handle(&handover, 5);
    handover.change_handle(slot, 5_000, extent);
    let stream = handover.stream().unwrap();
    handover.add(Owner::Fs, Fields::new().number(1));
    assert!(handover.is_kept());
    handover.close();
    assert!(!handover.is_kept());
    handover.let_go(extent);
    handover.free_handle(slot);
    assert!(!handover.add(Owner::Fs, Fields::new().number(2)));
    assert!(!handover.add_to(&stream, &Fields::new().number(2)));
    assert!(handover.keep(&vec![1; 10].into()).is_none());
    let other = handover.new_handle();
    assert!(other > left.number, "and yet serves");
    let handover = next(handover);
    assert_eq!(numbers(&handover, Owner::Fs), [1]);
    let handles = handover.left_handles();
    assert_eq!(handles.len(), 1);
    let (handle, _) = handles[0];
    assert_eq!((handle.extent, handle.size), (extent, 5_000));
    assert!(handover.kept(extent).is_some_and(|kept| kept == bytes));
}

#[test]
fn the_format_is_the_one_that_was_pinned() {
    // To change any of these is to change the format.
    let layout = [
        layout::SLOTS,
        layout::JOURNAL,
        layout::EXTENTS,
        layout::END,
        layout::FIXED,
        layout::SLOT_CHUNK,
        layout::JOURNAL_CHUNK,
        layout::DEATHS.0 as u64,
    ];
    let pinned = [
        1 << 20,
        1 << 30,
        1 << 41,
        1 << 60,
        65_536,
        262_144,
        262_144,
        3_584,
    ];
    assert_eq!((Handover::FORMAT, layout), (2, pinned));
    let record = frames::frame(&[1, 2, 3]);
    let bytes = [3, 0, 0, 0, 0x1d, 0x80, 0xbc, 0x55, 1, 2, 3, 0, 0, 0, 0, 0];
    assert_eq!(record, bytes);
    let fields = Fields::new().byte(1).number(2).text("ab");
    let bytes = [&[1, 2][..], &[0; 7], &[2], &[0; 7], b"ab"].concat();
    assert_eq!(fields.as_bytes(), bytes);
}

const POISON: Work<'static> = Work {
    what: "lookup",
    ino: 7,
    at: 0,
    detail: b"bad name",
};

/// A worker that works on `work` and dies of it, or is killed meanwhile.
fn dies(handover: Handover, work: &Work<'_>, by_itself: bool) -> Handover {
    let guard = handover.working_on(work);
    if by_itself {
        handover.mark_guilty();
    }
    std::mem::forget(guard);
    // Other tests in this thread work on something too.
    suspects::forget_work();
    next(handover)
}

#[test]
fn work_that_has_killed_two_workers_is_refused_and_told_once() {
    let mut handover = Handover::new().unwrap();
    let other = Work::on("read", 9).at(4_096);
    for _ in 0..2 {
        assert_eq!(handover.refuse(&POISON), None);
        handover = dies(handover, &POISON, true);
        handover = dies(handover, &other, false);
    }
    let deadly = |is_news| Deadly {
        work: "lookup of inode 7 bad name".into(),
        deaths: 2,
        is_news,
    };
    assert_eq!(handover.refuse(&POISON), Some(deadly(true)));
    assert_eq!(handover.refuse(&POISON), Some(deadly(false)));
    assert_eq!(
        handover.refuse(&other),
        None,
        "a kill from outside is no death of it"
    );
    assert_eq!(handover.refuse(&Work::on("lookup", 7).named(b"bad")), None);
    let handover = next(handover);
    assert_eq!(handover.refuse(&POISON), Some(deadly(false)), "still");
}

#[test]
fn only_the_thread_that_dies_is_guilty() {
    let mut handover = Handover::new().unwrap();
    for _ in 0..2 {
        let (begun, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            let (begun, end, handover) = (&begun, &end, &handover);
            scope.spawn(move || {
                std::mem::forget(handover.working_on(&Work::on("read", 3)));
                begun.wait();
                end.wait();
            });
            begun.wait();
            std::mem::forget(handover.working_on(&POISON));
            handover.mark_guilty();
            suspects::forget_work();
            end.wait();
        });
        handover = next(handover);
    }
    assert!(handover.refuse(&POISON).is_some());
    assert_eq!(handover.refuse(&Work::on("read", 3)), None);
}

#[test]
fn work_that_has_ended_is_not_guilty_and_inner_work_counts_as_the_outer() {
    let handover = Handover::new().unwrap();
    let outer = handover.working_on(&POISON);
    drop(handover.working_on(&Work::on("inner", 1)));
    handover.mark_guilty();
    drop(outer);
    // A signal handler that comes back has killed nothing.
    handover.mark_guilty();
    let mut handover = next(handover);
    for _ in 0..2 {
        assert_eq!(handover.refuse(&POISON), None);
        handover = dies(handover, &POISON, true);
    }
    assert!(handover.refuse(&POISON).is_some());
}

#[test]
fn the_deadliest_work_stays_in_a_full_table() {
    let mut handover = Handover::new().unwrap();
    for _ in 0..2 {
        handover = dies(handover, &POISON, true);
    }
    for n in 0..200 {
        handover = dies(handover, &Work::on("read", n + 1), true);
    }
    assert!(handover.refuse(&POISON).is_some());
}
