//! Reading hard: large files, many readers, large directories, eviction.

use super::artifact;
use crate::support::{Bench, Who, noise};
use std::{
    collections::HashSet,
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    thread,
};
use vm0fs::demo::{File, Kind, VersionSpec, World};

#[test]
fn a_large_file_is_read_byte_for_byte() {
    const BLOCK: usize = 1 << 20;
    // 64 MiB of 16 different blocks in an order of their own, and a tail.
    let blocks: Vec<Vec<u8>> = noise(16 * BLOCK)
        .chunks(BLOCK)
        .map(<[u8]>::to_vec)
        .collect();
    let order: Vec<u32> = (0..64_u32).map(|n| (n * n + n / 7) % 16).collect();
    let distinct = blocks.iter().map(|block| block.clone().into()).collect();
    let bench = Bench::new(artifact(vec![File::blocks(
        "large",
        distinct,
        order.clone(),
        None,
    )]));
    let archive = {
        let world = bench.server.world();
        let version = world
            .storage(Kind::Artifact, "a")
            .unwrap()
            .current()
            .unwrap();
        version.archive_bytes().len() as u64
    };
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a/latest/large");
    assert_eq!(fs::metadata(&path).unwrap().len(), 64 << 20);
    let mut file = fs::File::open(&path).unwrap();
    let mut block = vec![0; BLOCK];
    for (number, &index) in order.iter().enumerate() {
        file.read_exact(&mut block).unwrap();
        assert!(block == blocks[index as usize], "block {number}");
    }
    assert_eq!(file.read(&mut block).unwrap(), 0);
    let mut state = 12_345_u64;
    let mut random = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for _ in 0..500 {
        let offset = random(64 << 20);
        let length = random(300_000).min((64 << 20) - offset) as usize;
        let mut read = vec![0; length];
        file.read_exact_at(&mut read, offset).unwrap();
        for (n, byte) in read.iter().enumerate().step_by(97) {
            let at = offset as usize + n;
            let expected = blocks[order[at / BLOCK] as usize][at % BLOCK];
            assert_eq!(*byte, expected, "offset {at}");
        }
    }
    assert_eq!(file.seek(SeekFrom::End(-10)).unwrap(), (64 << 20) - 10);
    assert_eq!(file.read(&mut block).unwrap(), 10);
    assert_eq!(file.read_at(&mut block, 64 << 20).unwrap(), 0, "at the end");
    assert_eq!(file.read_at(&mut block, 1 << 40).unwrap(), 0, "far past it");
    // In several parts, perhaps, but no byte of it twice.
    let sent: u64 = bench
        .downloads()
        .iter()
        .map(|request| request.bytes_sent)
        .sum();
    assert_eq!(sent, archive);
}

#[test]
fn forty_parallel_readers_see_the_same() {
    let content = noise(700_000);
    let files = (0..8).map(|n| File::new(format!("f{n}"), content[n * 1_000..].to_vec()));
    let bench = Bench::new(artifact(files.collect()));
    let mount = bench.mount().start();
    thread::scope(|scope| {
        for reader in 0..40 {
            let (mount, content) = (&mount, &content);
            scope.spawn(move || {
                let n = reader % 8;
                let read = fs::read(mount.join(&format!("artifacts/a/latest/f{n}"))).unwrap();
                assert!(read == content[n * 1_000..], "reader {reader}");
            });
        }
    });
    assert_eq!(bench.downloads().len(), 1);
}

#[test]
fn an_open_file_outlives_the_eviction_of_its_version() {
    for who in Who::all() {
        let mut world = World::empty();
        for name in ["a", "b", "c", "d"] {
            let id = world.add_storage(Kind::Artifact, name);
            let mut content = noise(400_000);
            content.extend_from_slice(name.as_bytes());
            let files = vec![File::new("f", content), File::new("small", name)];
            world.add_version(&id, VersionSpec::files(files));
        }
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["--cache-size", "1MiB"]).start();
        // The file is opened, then others push its version out, then it is read.
        let script = "exec 3< artifacts/a/latest/f
             for name in b c d b c d; do tail -c 1 artifacts/$name/latest/f; done
             head -c 100000 <&3 | sha256sum; tail -c 1 <&3
             cat artifacts/a/latest/small";
        let expected = {
            let sum = super::prepare(bench.dir(), "true");
            let file = bench.dir().join("noise");
            fs::write(&file, &noise(400_000)[..100_000]).unwrap();
            sum + &super::prepare(bench.dir(), "sha256sum < noise")
        };
        assert_eq!(mount.run(script), format!("bcdbcd{expected}aa"), "{who:?}");
        let used = mount.run("stat -f -c '%b %f %S' .");
        let numbers: Vec<u64> = used
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        assert!(
            (numbers[0] - numbers[1]) * numbers[2] <= 1 << 20,
            "a ceiling: {used}"
        );
    }
}

#[test]
fn a_version_larger_than_the_cache_is_enospc() {
    let bench = Bench::new(artifact(vec![
        File::new("f", noise(3 << 20)),
        File::new("g", ""),
    ]));
    let mount = bench.mount().with(["--cache-size", "1MiB"]).start();
    mount.fails("cat artifacts/a/latest/f", "No space left on device");
    let errors = mount.cat(".vm0fs/errors");
    assert!(errors.contains("--cache-size"), "{errors}");
}

#[test]
fn a_directory_of_five_thousand_is_complete_and_unique() {
    let name = |n: usize| format!("file-{n:05}-{}", "x".repeat(n % 90));
    let files = (0..5_000).map(|n| File::new(format!("many/{}", name(n)), format!("{n}")));
    let bench = Bench::new(artifact(files.collect()));
    let mount = bench.mount().start();
    let path = mount.join("artifacts/a/latest/many");
    let expected: HashSet<String> = (0..5_000).map(name).collect();
    let check = || {
        let names: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 5_000);
        let names: HashSet<String> = names.into_iter().collect();
        assert_eq!(names, expected);
    };
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(check);
        }
        scope.spawn(|| {
            for n in (0..5_000).step_by(17) {
                let file = path.join(name(n));
                assert_eq!(
                    fs::metadata(&file).unwrap().len(),
                    n.to_string().len() as u64
                );
                assert_eq!(fs::read_to_string(&file).unwrap(), n.to_string());
            }
        });
    });
    check();
    let listed = mount.run("ls -l artifacts/a/latest/many | grep -c ^-");
    assert_eq!(listed.trim(), "5000");
}

#[test]
fn a_directory_that_changes_while_it_is_read_gives_each_name_once() {
    let mut world = World::empty();
    for n in 0..300 {
        let at = world.ago(1_000 + n);
        world.add_agent(vm0fs::demo::Agent::new(
            format!("agent-{n:03}-{}", "x".repeat(80)),
            at,
        ));
    }
    world.quirks.cursor_by_id = false;
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    let mut entries = fs::read_dir(mount.join("agents")).unwrap();
    let mut names = vec![entries.next().unwrap().unwrap().file_name()];
    // The kernel has asked for a first page by now; the next must fit to it.
    bench
        .server
        .world()
        .agents
        .retain(|agent| !agent.name.starts_with("agent-1"));
    mount.run("ls agents > /dev/null");
    names.extend(entries.map(|entry| entry.unwrap().file_name()));
    assert_eq!(names.len(), 300);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 300);
    assert_eq!(mount.list("agents").len(), 200);
}
