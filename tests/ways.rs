//! Every kind of file gives the same bytes and the same end, by whichever way of
//! the kernel a program reads it.

mod mapped;
mod uring;

use crate::support::fake::{
    Action, Agent, Fault, File, Kind, LogRow, Run, Sample, VersionSpec, World,
};
use crate::support::{Bench, Mount, Who, noise};
use std::{
    fs::File as Opened,
    io::{Read, pipe},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    process::Command,
};

/// How much one read asks for: less than a page, a page, and more than one request
/// of the kernel to the mount is.
const SIZES: [usize; 3] = [1000, 4096, 300_000];

/// More than any file here has: a file that comes to no end is stopped there.
const ENDLESS: usize = 4 << 20;

/// Reads a file to its end, with reads of a size.
type Way = fn(&Path, usize) -> Vec<u8>;

const WAYS: [(&str, Way); 8] = [
    ("read", by_read),
    ("pread", by_pread),
    ("readv", by_readv),
    ("mmap", by_mmap),
    ("sendfile", by_sendfile),
    ("libaio", uring::by_libaio),
    ("io_uring at its position", uring::by_uring_at_position),
    ("io_uring", uring::by_uring),
];

/// Repeats a read until it gives nothing. The reader says from where.
fn until_end(size: usize, mut read: impl FnMut(u64, &mut [u8]) -> usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; size];
    while all.len() < ENDLESS {
        match read(all.len() as u64, &mut buffer) {
            0 => break,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
    all
}

fn by_read(path: &Path, size: usize) -> Vec<u8> {
    let mut file = Opened::open(path).unwrap();
    until_end(size, |_, buffer| file.read(buffer).unwrap())
}

fn by_pread(path: &Path, size: usize) -> Vec<u8> {
    let file = Opened::open(path).unwrap();
    until_end(size, |at, buffer| file.read_at(buffer, at).unwrap())
}

fn by_readv(path: &Path, size: usize) -> Vec<u8> {
    let mut file = Opened::open(path).unwrap();
    until_end(size, |_, buffer| {
        let (first, second) = buffer.split_at_mut(size / 3);
        let mut parts = [first, second].map(std::io::IoSliceMut::new);
        file.read_vectored(&mut parts).unwrap()
    })
}

#[allow(unsafe_code)]
fn by_mmap(path: &Path, _: usize) -> Vec<u8> {
    let file = Opened::open(path).unwrap();
    // SAFETY: the mount's own files are never truncated under a reader.
    let shared = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    // SAFETY: as before.
    let private = unsafe { memmap2::MmapOptions::new().map_copy(&file) }.unwrap();
    assert!(*shared == *private);
    shared.to_vec()
}

#[allow(unsafe_code)]
fn by_sendfile(path: &Path, size: usize) -> Vec<u8> {
    let file = Opened::open(path).unwrap();
    let (mut reader, writer) = pipe().unwrap();
    let mut all = Vec::new();
    // No more than a pipe takes at once.
    let size = size.min(32 << 10);
    while all.len() < ENDLESS {
        // SAFETY: both descriptors are open, and there is no offset to write to.
        let sent = unsafe {
            libc::sendfile(
                writer.as_raw_fd(),
                file.as_raw_fd(),
                std::ptr::null_mut(),
                size,
            )
        };
        assert!(sent >= 0, "{}", std::io::Error::last_os_error());
        if sent == 0 {
            break;
        }
        let start = all.len();
        all.resize(start + sent as usize, 0);
        reader.read_exact(&mut all[start..]).unwrap();
    }
    all
}

/// What Node.js reads of files when it uses io_uring, by its promises and by its
/// streams: length and sum of each.
fn by_node(mount: &Mount, paths: &[PathBuf]) -> Vec<String> {
    const SCRIPT: &str = "const fs = require('fs'), { createHash } = require('crypto');
        (async () => {
            for (const path of process.argv.slice(1)) {
                for (const bytes of [
                    await fs.promises.readFile(path),
                    await new Promise((done, fail) => {
                        const parts = [];
                        fs.createReadStream(path).on('data', part => parts.push(part))
                            .on('end', () => done(Buffer.concat(parts))).on('error', fail);
                    }),
                ]) {
                    const sum = createHash('sha256').update(bytes).digest('hex');
                    console.log(`${path} ${bytes.length} ${sum}`);
                }
            }
        })();";
    let mut command = Command::new("node");
    command
        .env("UV_USE_IO_URING", "1")
        .args(["-e", SCRIPT, "--"])
        .args(paths);
    if let Some((uid, gid)) = mount.who().ids() {
        use std::os::unix::process::CommandExt;
        command.uid(uid).gid(gid);
    }
    let output = crate::support::Running::of(&mut command).output();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A world with files of every kind: an agent, a run that has ended, one that goes
/// on, and an artifact. Gives the id of its version.
fn world() -> (World, String) {
    let mut world = World::empty();
    world.pace = None;
    let then = world.ago(9_000);
    let config = serde_json::json!({"text": "long ".repeat(3_000)});
    world.add_agent(Agent::new("writer", then).version(then, Some(config)));
    let id = world.add_storage(Kind::Artifact, "a");
    let files = vec![
        File::new("small", "small\n"),
        File::new("empty", ""),
        File::new("page", noise(4096)),
        File::new("large", noise(1_500_007)),
    ];
    let version = world.add_version(&id, VersionSpec::files(files));
    for status in ["completed", "running"] {
        let at = world.ago(600);
        let mut run = Run::new("writer", at)
            .status(status)
            .prompt("Say it. ".repeat(700));
        for n in 0..200 {
            run.log(LogRow::new(
                at,
                "system",
                "info",
                format!("row {n} {}", "x".repeat(n)),
            ));
            run.metrics.push(Sample {
                at,
                cpu_percent: 12.5,
                memory_used_mb: 100 + n as u64,
                memory_total_mb: 2_048,
                disk_used_mb: 10,
                disk_total_mb: 100,
            });
        }
        world.add_run(run);
    }
    (world, version)
}

/// Every file of a mount that is not one of a version, after each has been read: what
/// was asked for stays as it is, but for the page that tells what the mount does.
fn ours(mount: &Mount) -> Vec<PathBuf> {
    mount.run("find . -type f -exec cat {} + > /dev/null");
    let found = mount.run(
        "find agents runs volumes artifacts .vm0fs -path 'artifacts/*/*/*' -prune -o -type f -print",
    );
    let found: Vec<PathBuf> = found.lines().map(|path| mount.join(path)).collect();
    assert!(found.len() > 30, "{found:?}");
    found
}

/// Each way, each size of reads, several times over: the page cache may hold some.
#[track_caller]
fn is_read_alike(path: &Path, expected: &[u8]) {
    for round in 0..2 {
        for (name, way) in WAYS {
            for size in SIZES {
                // An empty file cannot be mapped.
                if name == "mmap" && expected.is_empty() {
                    continue;
                }
                let bytes = way(path, size);
                assert!(
                    bytes == expected,
                    "{} by {name}, {size} bytes at once, round {round}: {} bytes instead of {}",
                    path.display(),
                    bytes.len(),
                    expected.len()
                );
            }
        }
    }
}

#[test]
fn files_of_ours_are_the_same_by_every_way_of_reading() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "1h"]).start();
    for path in ours(&mount) {
        match tells_of_the_present(&path) {
            true => changing_page(&path),
            false => is_read_alike(&path, &std::fs::read(&path).unwrap()),
        }
    }
}

#[test]
fn node_reads_every_file_to_its_end_by_io_uring() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        let files = ours(&mount);
        let is_steady = |path: &PathBuf| !tells_of_the_present(path);
        let mut files: Vec<PathBuf> = files.into_iter().filter(is_steady).collect();
        let of_version = ["small", "empty", "page", "large"];
        files.extend(of_version.map(|name| mount.join(&format!("artifacts/a/latest/{name}"))));
        let expected = files.iter().flat_map(|path| {
            let told = mount.run(&format!(
                "stat -L -c '%n %s' '{0}' | tr '\\n' ' ' && sha256sum < '{0}'",
                path.display()
            ));
            let line = told.trim_end().trim_end_matches(" -").to_owned();
            [line.trim_end().to_owned(), line.trim_end().to_owned()]
        });
        let expected: Vec<String> = expected.collect();
        assert_eq!(by_node(&mount, &files), expected);
    }
}

/// Whether a page tells how long something has taken so far, and the like.
fn tells_of_the_present(path: &Path) -> bool {
    let pages = ["status.json", "activity.json", "transfers"];
    pages
        .iter()
        .any(|page| path.ends_with(format!(".vm0fs/{page}")))
}

/// A page that tells of the present is whole by every way, and comes to its end.
fn changing_page(path: &Path) {
    for (name, way) in WAYS {
        for size in SIZES {
            let bytes = way(path, size);
            let text = String::from_utf8(bytes).unwrap();
            let is_whole = text.len() < ENDLESS && !text.contains('\0') && text.ends_with('\n');
            assert!(is_whole, "{name}, {size}: {text}");
            if path.extension() == Some("json".as_ref()) {
                let page: Result<serde_json::Value, _> = serde_json::from_str(&text);
                assert!(page.is_ok(), "{name}, {size}: {text}");
            }
        }
    }
}

#[test]
fn files_of_a_version_are_the_same_by_every_way_of_reading() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    for (name, expected) in [
        ("small", b"small\n".to_vec()),
        ("empty", Vec::new()),
        ("page", noise(4096)),
        ("large", noise(1_500_007)),
    ] {
        is_read_alike(
            &mount.join(&format!("artifacts/a/latest/{name}")),
            &expected,
        );
    }
}

#[test]
fn a_file_that_arrives_is_the_same_by_every_way_of_reading() {
    for (name, way) in WAYS {
        let (world, version) = world();
        let bench = Bench::new(world);
        let rate = Action::Rate {
            bytes_per_second: 2_000_000,
        };
        bench.server.fault(Fault::object(&version, rate));
        let mount = bench.mount().start();
        let bytes = way(&mount.join("artifacts/a/latest/large"), 100_000);
        assert!(bytes == noise(1_500_007), "{name}: {} bytes", bytes.len());
    }
}
