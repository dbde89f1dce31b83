//! Archives that become far more than they are: gigabytes of nothing, and
//! millions of entries.

use super::{cache, disk, peak};
use crate::support::{
    Bench, Mount, Who,
    archive::{BLOCK, Tar, base256, gzip, gzip_small},
};
use vm0fs::demo::{Kind, VersionSpec, World};

const MIB: usize = 1 << 20;

/// What each bomb would be unpacked.
const BOMB: u64 = 10 << 30;
/// What it is packed, at most.
const PACKED: usize = 32 * MIB;

/// A bomb, what is declared of its size, and what is said of it.
struct Bomb(&'static str, Vec<u8>, u64, &'static str);

/// `first`, then `piece` over and over until there are 10 GiB: members of
/// gzip, each compressed once.
fn endless(first: Tar, piece: &[u8]) -> Vec<u8> {
    let mut archive = gzip(&first.bytes());
    let member = gzip_small(piece);
    for _ in 0..BOMB / piece.len() as u64 {
        archive.extend_from_slice(&member);
    }
    archive
}

fn bombs() -> Vec<Bomb> {
    let tar = Tar::default;
    let zeros = vec![0; MIB];
    // With its header, a mebibyte.
    let body = &zeros[BLOCK..];
    let large = tar()
        .header(b'0', "zeros", "", 0o644, 0)
        .edit(|block| block[124..136].copy_from_slice(&base256(BOMB as i64)));
    let large = endless(large, &zeros);
    let headers = (0..16).fold(tar(), |tar, _| {
        tar.pax(b'x', &[("comment", &vec![b'x'; MIB - 100])])
    });
    // A map of pieces that says nothing and goes on.
    let mut map = [0; BLOCK];
    map[BLOCK - 8] = 1;
    let sparse = tar().header(b'S', "sparse", "", 0o644, 0).edit(|block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        block[482] = 1;
    });
    let behind = "more than 67108864 bytes after the end of the archive";
    vec![
        Bomb(
            "honest",
            large.clone(),
            BOMB,
            "no space in the cache: this version needs 10 GiB or more",
        ),
        Bomb(
            "lying",
            large,
            1,
            "it unpacks to at least 10737418240 bytes, while 1 were declared",
        ),
        Bomb(
            "many-files",
            endless(tar(), &tar().file("zeros", body).bytes()),
            1,
            "while 1 were declared (67108880 are allowed)",
        ),
        Bomb(
            "skipped",
            endless(tar(), &tar().special(b'M', "continued", body).bytes()),
            1,
            "while 1 were declared (67108880 are allowed)",
        ),
        Bomb("behind", endless(tar().file("f", "x"), &zeros), 1, behind),
        Bomb("nothing-else", endless(tar(), &zeros), 1, behind),
        Bomb(
            "headers",
            endless(tar(), &headers.file("f", "").bytes()),
            1,
            "headers of more than",
        ),
        Bomb(
            "sparse-map",
            endless(sparse, &map.repeat(MIB / BLOCK)),
            1,
            "malformed sparse file",
        ),
    ]
}

#[test]
fn ten_gigabytes_cost_neither_memory_nor_disk() {
    /// MiB: what a mount has for itself, and some blocks on their way.
    const MEMORY: u64 = 64;
    let bombs = bombs();
    let mut world = World::empty();
    for Bomb(name, archive, declared, _) in &bombs {
        assert!(archive.len() < PACKED, "{name}: {}", archive.len());
        let id = world.add_storage(Kind::Artifact, name);
        let spec = VersionSpec::archive(archive.clone());
        world.add_version(&id, spec.declared_size(*declared));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--cache-size", "256MiB"]).start();
    for Bomb(name, _, declared, _) in &bombs {
        let reason = match *name {
            _ if *declared == BOMB => "No space left on device",
            "sparse-map" => "Input/output error",
            _ => "File too large",
        };
        mount.fails(&format!("cat artifacts/{name}/latest/missing"), reason);
    }
    let errors = mount.cat(".vm0fs/errors");
    assert_eq!(errors.lines().count(), bombs.len(), "{errors}");
    for (line, Bomb(name, _, _, said)) in errors.lines().zip(&bombs) {
        assert!(line.contains(said), "{name}: {line}");
    }
    let (memory, disk) = (peak(&mount), disk(&cache(&bench, Who::Myself)));
    assert!(memory <= MEMORY, "{memory} MiB of memory");
    assert!(disk <= 1, "{disk} MiB of disk are left behind");
    assert_eq!(mount.list("artifacts").len(), bombs.len());
}

#[test]
fn five_million_empty_entries_are_refused_in_bounded_memory() {
    /// MiB: what two million entries, the limit, may take while unpacking.
    const MEMORY: u64 = 400;
    const MEMBERS: u32 = 5000;
    // Names are distinct up to beyond the limit; who got there has seen enough.
    const DISTINCT: u32 = 2100;
    let template = Tar::default().file("0000000", "").bytes().repeat(1000);
    let mut archive = Vec::new();
    let mut member = Vec::new();
    for number in 0..MEMBERS {
        if number < DISTINCT {
            let mut tar = template.clone();
            for (at, block) in tar.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                rename(block, number * 1000 + at as u32);
            }
            member = gzip(&tar);
        }
        archive.extend_from_slice(&member);
    }
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    world.add_version(
        &id,
        VersionSpec::archive(archive).declared_file_count(5_000_000),
    );
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.fails("cat artifacts/a/latest/missing", "File too large");
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("more than 2000000 entries"), "{errors}");
    let (memory, disk) = (peak(&mount), disk(&cache(&bench, Who::Myself)));
    assert!(memory <= MEMORY, "{memory} MiB of memory");
    assert!(disk <= 1, "{disk} MiB of disk are left behind");
    assert_eq!(mount.list("artifacts"), ["a"]);
}

/// The processor time that a mount has taken, in hundredths of a second.
fn ticks(mount: &Mount) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", mount.pid())).unwrap();
    // Fields 14 and 15, in hundredths (proc_pid_stat(5)), behind the name in brackets.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let [user, system] = [11, 12].map(|at: usize| fields[at].parse::<u64>().unwrap());
    user + system
}

#[test]
fn what_one_header_says_of_all_entries_costs_each_of_them_little() {
    const ENTRIES: usize = 400_000;
    /// How many times the processor time of the entries alone; copied for each entry,
    /// either takes some hundred times as much.
    const TIMES: u64 = 5;
    let some = Tar::default().file("f", "").bytes().repeat(1000);
    let entries = gzip(&some).repeat(ENTRIES / 1000);
    // As long and as deep as a path may be, and the longest target that a header holds.
    let path = format!("{}/", "p".repeat(63)).repeat(1023) + "f";
    let link = vec![b'l'; MIB - 100];
    let global = |key: &str, value: &[u8]| {
        let first = gzip(&Tar::default().pax(b'g', &[(key, value)]).bytes());
        [first, entries.clone()].concat()
    };
    let mut world = World::empty();
    for (name, archive) in [
        ("plain", entries.clone()),
        ("path", global("path", path.as_bytes())),
        ("nul", global("path", &[path.as_bytes(), b"\0"].concat())),
        ("link", global("linkpath", &link)),
    ] {
        let id = world.add_storage(Kind::Artifact, name);
        world.add_version(&id, VersionSpec::archive(archive));
    }
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let before = ticks(&mount);
    assert_eq!(mount.list("artifacts/plain/latest/"), ["f"]);
    let plain = ticks(&mount) - before;
    for name in ["path", "nul"] {
        mount.fails(
            &format!("cat artifacts/{name}/latest/missing"),
            "File too large",
        );
    }
    let errors = mount.cat(".vm0fs/errors");
    assert_eq!(errors.matches("paths of more than").count(), 2, "{errors}");
    // Where a file leads is of no interest.
    assert_eq!(mount.list("artifacts/link/latest/"), ["f"]);
    let took = ticks(&mount) - before - plain;
    assert!(
        took <= 3 * TIMES * plain,
        "{took} for three, {plain} for the entries alone"
    );
}

/// Gives the entry of a header the name of seven digits.
fn rename(block: &mut [u8; BLOCK], mut number: u32) {
    // The sum of the block while its name is all zeros.
    let digits = &block[148..154];
    let mut sum = digits
        .iter()
        .fold(0, |sum, digit| sum * 8 + u32::from(digit - b'0'));
    for place in block[..7].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        sum += number % 10;
        number /= 10;
    }
    for place in block[148..154].iter_mut().rev() {
        *place = b'0' + (sum % 8) as u8;
        sum /= 8;
    }
}
