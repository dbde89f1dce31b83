//! Content that comes in parts: once a version has been unpacked, a read of what was
//! evicted fetches what it needs of the archive.

mod room;

use crate::support::fake::{Kind, World};
use crate::{
    archives::shell,
    commands::until,
    crawlers::program,
    support::{Bench, Mount, Who, disk::Disk, noise, reason, store::PATIENCE},
};
use std::{fs, path::Path};
use vm0fs::demo::{File, VersionSpec};

/// Makes `src`: 2,000 small files, a database, a git repository, a large text and a
/// large file of noise; some 40 MB.
const MAKE: &str = r#"
mkdir -p src/small src/git && cd src
for i in $(seq 2000); do echo "file $i $(seq -s ' ' $((i % 97)))" > small/$i; done
sqlite3 data.db "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT);
  WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000)
  INSERT INTO t SELECT n, 'row ' || n || ' ' || hex(n * 7919) FROM c;"
seq -f 'line %.0f of a long text, which compresses well' 300000 > text
head -c 9000000 /dev/urandom > noise
git -c init.defaultBranch=main init -q git && cp small/1?? git && git -C git add -A &&
git -C git -c user.name=a -c user.email=a@b.c commit -qm one
"#;

/// An artifact `a` of [`MAKE`], packed by `command`; gives the bench and the archive's
/// size.
fn bench(folder: &Path, command: &str) -> (Bench, u64) {
    shell(folder, MAKE);
    shell(folder, command);
    let archive = fs::read(folder.join("a.tar.gz")).unwrap();
    let length = archive.len() as u64;
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    world.add_version(&id, VersionSpec::archive(archive).declared_size(60_000_000));
    (Bench::new(world), length)
}

/// A mount of a cache in which the artifact has been unpacked and its content evicted.
fn evicted(bench: &Bench, who: Who) -> Mount {
    let cache = bench.folder("cache", who);
    let cache = cache.to_str().unwrap();
    let first = bench.mount_as(who).with(["--cache-dir", cache]).start();
    first.run("cat artifacts/a/latest/small/1");
    until("all of it has come", || cached(&first) == "yes");
    first.unmount();
    clear(bench, who);
    let mount = bench.mount_as(who).with(["--cache-dir", cache]).start();
    mount.run("ls artifacts/a");
    bench.server.clear_requests();
    mount
}

/// Evicts the content of all versions.
fn clear(bench: &Bench, who: Who) {
    let cache = bench.folder("cache", who);
    // A process that has just closed a file holds its content for a moment.
    until("the content is evicted", || {
        vm0fs(
            bench,
            who,
            &["cache", "clear", "--cache-dir", cache.to_str().unwrap()],
        );
        let listed = vm0fs(
            bench,
            who,
            &["cache", "ls", "--cache-dir", cache.to_str().unwrap()],
        );
        listed.contains(" tree ")
    });
}

fn vm0fs(bench: &Bench, who: Who, arguments: &[&str]) -> String {
    let output = bench.command(who).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn cached(mount: &Mount) -> String {
    cached_of(mount, "a")
}

fn cached_of(mount: &Mount, name: &str) -> String {
    let ask = "getfattr --only-values -n user.vm0.cached";
    mount.run(&format!("{ask} artifacts/{name}/latest/"))
}

/// Bytes of the archive that have been sent since the last clearing.
fn sent(bench: &Bench) -> u64 {
    let downloads = bench.downloads();
    downloads.iter().map(|request| request.bytes_sent).sum()
}

const GNU: &str = "tar -C src -cf - --sort=name . | gzip -6 > a.tar.gz";
const PIGZ: &str = "tar -C src -cf - --sort=name . | pigz -p 2 > a.tar.gz";

#[test]
fn an_evicted_version_is_listed_for_nothing_and_a_file_costs_what_it_needs() {
    for (who, command) in Who::all().into_iter().zip([GNU, PIGZ]) {
        let folder = tempfile::tempdir().unwrap();
        let (bench, _) = bench(folder.path(), command);
        let mount = evicted(&bench, who);
        let all = mount.run("cd artifacts/a/latest/; find . -type f -printf '%p %s\\n' | sort");
        let expected = shell(
            &folder.path().join("src"),
            "find . -type f -printf '%p %s\\n' | sort",
        );
        assert!(all == expected);
        assert_eq!(bench.downloads().len(), 0);
        for (read, of) in [
            ("cat $a/small/1234", "cat small/1234"),
            ("tail -c 1000 $a/text", "tail -c 1000 text"),
            (
                "dd if=$a/noise bs=4k skip=1000 count=1 status=none",
                "dd if=noise bs=4k skip=1000 count=1 status=none",
            ),
        ] {
            bench.server.clear_requests();
            let found = mount.run(&format!("a=artifacts/a/latest; {read} | sha256sum"));
            let expected = shell(&folder.path().join("src"), &format!("{of} | sha256sum"));
            assert_eq!(found, expected, "{read}");
            let (requests, sent) = (bench.downloads().len(), sent(&bench));
            assert!(
                requests <= 3 && sent <= 1 << 20,
                "{read}: {requests} requests, {sent} bytes"
            );
        }
        assert_eq!(cached(&mount), "partly");
        let listed = mount.cat(".vm0fs/transfers");
        for path in ["small/1234", "text", "noise"] {
            let mut lines = listed.lines();
            let line = lines.find(|line| line.contains(&format!("/{path} ")));
            let is_whole = |line: &str| line.starts_with("artifacts/a/") && line.contains(" part");
            assert!(line.is_some_and(is_whole), "{path}: {listed}");
        }
        bench.server.clear_requests();
        mount.run("cat artifacts/a/latest/small/1234; tail -c 1000 artifacts/a/latest/text");
        assert_eq!(sent(&bench), 0, "what has come is there");
    }
}

#[test]
fn real_programs_read_an_evicted_version_and_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    let source = folder.path().join("src");
    let mount = evicted(&bench, Who::Myself);
    for (program, expected) in [
        (
            "sqlite3 'file:data.db?immutable=1' 'SELECT s FROM t WHERE n = 77777; SELECT count(*) FROM t'",
            "sqlite3 data.db 'SELECT s FROM t WHERE n = 77777; SELECT count(*) FROM t'",
        ),
        (
            "git -c safe.directory='*' -C git log --format=%s; git -c safe.directory='*' -C git status --short",
            "echo one",
        ),
        ("grep -rl 'file 77 ' small", "grep -rl 'file 77 ' small"),
        (
            "python3 -c \"import mmap; f = open('text', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1); print(m[5000000:5000040], m[-20:], len(m))\"",
            "python3 -c \"import mmap; f = open('text', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1); print(m[5000000:5000040], m[-20:], len(m))\"",
        ),
        (
            "node -e \"const f = require('fs'); const d = f.openSync('noise'); const b = Buffer.alloc(100000); f.readSync(d, b, 0, 100000, 4000000); console.log(require('crypto').createHash('md5').update(b).digest('hex'))\"",
            "node -e \"const f = require('fs'); const d = f.openSync('noise'); const b = Buffer.alloc(100000); f.readSync(d, b, 0, 100000, 4000000); console.log(require('crypto').createHash('md5').update(b).digest('hex'))\"",
        ),
    ] {
        let found = mount.run(&format!("cd artifacts/a/latest/; {program}"));
        assert_eq!(found, shell(&source, expected), "{program}");
    }
    let copy = folder.path().join("copy");
    mount.run(&format!("rsync -r artifacts/a/latest/ {}", copy.display()));
    shell(folder.path(), "diff -r src copy");
}

#[test]
fn much_random_reading_fetches_the_archive_about_once() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, archive) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    read_at_random(&mount, &folder.path().join("src"));
    let sent = sent(&bench);
    assert!(
        sent <= archive + archive / 5 + (2 << 20),
        "{sent} bytes of {archive}"
    );
}

/// Reads 600 blocks of the large files; each is as it was packed.
fn read_at_random(mount: &Mount, source: &Path) {
    let script = "import os, random, sys; random.seed(1)
for name in ('text', 'noise', 'data.db') * 200:
    file = os.open(name, os.O_RDONLY); size = os.fstat(file).st_size
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    at = random.randrange(size); got = os.pread(file, 4096, at); os.close(file)
    with open(sys.argv[1] + '/' + name, 'rb') as own:
        own.seek(at); assert own.read(4096) == got, (name, at)";
    mount.run(&format!(
        "cd artifacts/a/latest/; python3 -c \"{script}\" {}",
        source.display()
    ));
}

#[test]
fn a_version_larger_than_the_cache_is_read_at_random() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    evicted(&bench, Who::Myself).unmount();
    let cache = bench.folder("cache", Who::Myself);
    let arguments = [
        "--cache-dir",
        cache.to_str().unwrap(),
        "--cache-size",
        "32MB",
    ];
    let mount = bench.mount().with(arguments).start();
    read_at_random(&mount, &folder.path().join("src"));
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}

#[test]
fn a_version_that_comes_again_costs_one_link_and_its_bytes_once() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, archive) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    let path = mount.path().join("artifacts/a/latest");
    vm0fs(&bench, Who::Myself, &["prefetch", path.to_str().unwrap()]);
    assert_eq!(cached(&mount), "yes");
    let (requests, sent) = (bench.downloads().len() as u64, sent(&bench));
    assert!(requests >= archive.div_ceil(4 << 20), "{requests} of 4 MiB");
    assert!(sent <= archive + archive / 20, "{sent} bytes of {archive}");
    assert_eq!(bench.links(), 1, "all threads fetch by the same link");
}

#[test]
fn commands_know_content_that_is_partly_there() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, archive) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    mount.run("cat artifacts/a/latest/small/999");
    let cache = bench.folder("cache", Who::Myself);
    let cache = ["--cache-dir", cache.to_str().unwrap()];
    let run = |arguments: &[&str]| vm0fs(&bench, Who::Myself, &[arguments, &cache].concat());
    let listed = run(&["cache", "ls"]);
    assert!(listed.contains(" partly "), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&run(&["cache", "ls", "--json"])).unwrap();
    assert_eq!(
        (&json[0]["content"], &json[0]["partly"]),
        (&false.into(), &true.into())
    );
    let verified = run(&["cache", "verify"]);
    assert!(verified.contains("as far as it has come"), "{verified}");
    let taken: serde_json::Value = serde_json::from_str(&run(&["cache", "du", "--json"])).unwrap();
    let content = taken["content"].as_u64().unwrap();
    assert!(content > 0 && content < 4 << 20, "{taken}");
    let status: serde_json::Value = serde_json::from_str(&mount.cat(".vm0fs/status.json")).unwrap();
    for counts in [&taken, &status["cache"]] {
        assert_eq!(counts["versions_partly"], 1, "{counts}");
        assert_eq!(counts["versions_with_content"], 0, "{counts}");
    }
    // Fetched whole, by several requests, and no byte of the archive twice but those that were there.
    bench.server.clear_requests();
    let path = mount.path().join("artifacts/a/latest");
    let fetched = vm0fs(&bench, Who::Myself, &["prefetch", path.to_str().unwrap()]);
    assert!(fetched.contains(" in "), "{fetched}");
    assert_eq!(cached(&mount), "yes");
    let sent = sent(&bench);
    assert!(
        sent <= archive + archive / 20 + (1 << 20),
        "{sent} bytes of {archive}"
    );
    let verified = run(&["cache", "verify"]);
    assert!(!verified.contains("as far"), "{verified}");
    bench.server.clear_requests();
    mount.run("cd artifacts/a/latest/; cat text noise data.db small/* | sha256sum");
    assert_eq!(bench.downloads().len(), 0);
}

#[test]
fn offline_what_has_come_is_read_and_the_rest_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    let known = mount.cat("artifacts/a/latest/small/1500");
    mount.unmount();
    let cache = bench.folder("cache", Who::Myself);
    let arguments = ["--cache-dir", cache.to_str().unwrap(), "--offline"];
    let mount = bench.mount().with(arguments).start();
    assert_eq!(mount.cat("artifacts/a/latest/small/1500"), known);
    mount.fails("cat artifacts/a/latest/noise", reason::UNREACHABLE);
}

#[test]
fn an_indexer_reads_what_has_come_and_fetches_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    let known = mount.cat("artifacts/a/latest/small/1500");
    bench.server.clear_requests();
    let indexer = program(&bench, "cat", "tumblerd");
    let read = |path: &str| format!("{indexer} artifacts/a/latest/{path}");
    assert_eq!(mount.run(&read("small/1500")), known);
    mount.fails(&read("noise"), reason::DENIED);
    assert_eq!(bench.downloads().len(), 0);
}

#[test]
fn a_process_that_reads_many_parts_has_one_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    let mount = evicted(&bench, Who::Myself);
    mount.run("cat artifacts/a/latest/noise artifacts/a/latest/text > /dev/null");
    assert!(bench.downloads().len() > 2, "several parts");
    let log = mount.unmount().join("\n");
    let lines = log.matches(" asks for files of ").count();
    assert_eq!(lines, 1, "{log}");
}

fn machine(bench: &Bench, name: &str, shared: &str) -> Mount {
    let cache = bench.folder(name, Who::Myself);
    let cache = cache.to_str().unwrap();
    let arguments = ["--shared-cache", shared, "--cache-dir", cache];
    let mount = bench.mount().with(arguments);
    mount.env(PATIENCE, "10000").start()
}

/// Has a machine fetch all of the artifact, and share what it knows then.
fn share(first: Mount) {
    first.run("cat artifacts/a/latest/small/1");
    until("all of it has come", || cached(&first) == "yes");
    // It writes what is left when it ends.
    first.unmount();
}

/// The attribute of a file is the hash of the one that was packed.
#[track_caller]
fn has_hash(mount: &Mount, source: &Path, path: &str) {
    let ask = format!("getfattr --only-values -n user.vm0.sha256 artifacts/a/latest/{path}");
    let hash = shell(source, &format!("sha256sum < {path}"));
    let hash = hash.split_whitespace().next();
    assert_eq!(Some(&*mount.run(&ask)), hash, "{path}");
}

#[test]
fn a_second_machine_lists_a_version_for_nothing_and_reads_a_file_for_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, archive) = bench(folder.path(), GNU);
    let shared = bench.folder("shared", Who::Myself);
    let url = format!("file://{}", shared.display());
    let machine = |name: &str| machine(&bench, name, &url);
    share(machine("cache-1"));
    bench.server.clear_requests();
    let second = machine("cache-2");
    let listed = second.run("cd artifacts/a/latest/; find . -type f -printf '%p %s\\n' | sort");
    let source = folder.path().join("src");
    assert!(listed == shell(&source, "find . -type f -printf '%p %s\\n' | sort"));
    assert_eq!(bench.downloads().len(), 0);
    for path in ["small/1234", "text"] {
        let found = second.run(&format!(
            "tail -c 500 artifacts/a/latest/{path} | sha256sum"
        ));
        assert_eq!(
            found,
            shell(&source, &format!("tail -c 500 {path} | sha256sum"))
        );
    }
    let sent = sent(&bench);
    assert!(sent < archive / 8, "{sent} bytes of {archive}");
    assert_eq!(bench.links(), 1);
    assert_eq!(cached(&second), "partly");
    let verified = second.run("getfattr --only-values -n user.vm0.verified artifacts/a/latest/");
    assert_eq!(verified, "no", "the archive's id is not that of its files");
    // Hashes come when a process asks for one, all of a version at once.
    let cache = bench.folder("cache-2", Who::Myself);
    let tree = || -> u64 {
        let length = shell(&cache, "stat -c %s v1/versions/*/tree");
        length.trim().parse().unwrap()
    };
    let known = tree();
    let listed = || second.run("cd artifacts/a/latest/; getfattr -m - small/1234 | grep vm0");
    assert_eq!(listed(), "user.vm0.version\n", "a copy waits for none");
    let folder = "getfattr --only-values -n user.vm0.sha256 artifacts/a/latest/small";
    second.fails(folder, "No such attribute");
    assert_eq!(tree(), known, "a folder has none");
    for path in ["small/1234", "text", "small/7"] {
        has_hash(&second, &source, path);
    }
    assert!(tree() >= known + 2000 * 32);
    assert_eq!(listed(), "user.vm0.sha256\nuser.vm0.version\n");
    assert_eq!(self::sent(&bench), sent);
    until("two objects have come, index and hashes", || {
        let status: serde_json::Value =
            serde_json::from_str(&second.cat(".vm0fs/status.json")).unwrap();
        status["shared_cache"]["hits"] == 2
    });
    // What is no index of the fleet's is a miss: the archive is fetched whole.
    second.unmount();
    let spoil = "find . -type f -exec sh -c 'echo of another program > {}' ';'";
    shell(&shared, spoil);
    let third = machine("cache-3");
    assert_eq!(third.run("ls artifacts/a/latest/small | wc -l"), "2000\n");
    until("all of it has come", || cached(&third) == "yes");
}

/// As where the fleet has lost them.
#[test]
fn hashes_that_an_index_lacks_are_made_of_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, archive) = bench(folder.path(), GNU);
    let source = folder.path().join("src");
    evicted(&bench, Who::Myself).unmount();
    let cache = bench.folder("cache", Who::Myself);
    // The header has the number of digests, 32 bytes each at the end of the file.
    let cut = "tree=$(ls v1/versions/*/tree)
        count=$(od -An -tu4 -j88 -N4 $tree)
        truncate -s -$((count * 32)) $tree; echo $count";
    let count: u64 = shell(&cache, cut).trim().parse().unwrap();
    assert!(count > 2000, "{count}");
    let cache = ["--cache-dir", cache.to_str().unwrap()];
    let mount = bench.mount().with(cache).start();
    bench.server.clear_requests();
    mount.run("cd artifacts/a/latest/; getfattr -m - small/1234 text");
    assert_eq!(bench.downloads().len(), 0);
    for path in ["small/1234", "text"] {
        has_hash(&mount, &source, path);
    }
    let sent = sent(&bench);
    assert!(sent <= archive + archive / 20, "{sent} bytes of {archive}");
    assert_eq!(cached(&mount), "yes");
}

/// Whether the fleet has them is not known then.
#[test]
fn hashes_cost_no_download_while_the_fleet_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, _) = bench(folder.path(), GNU);
    let shared = bench.folder("shared", Who::Myself);
    let url = format!("file://{}", shared.display());
    share(machine(&bench, "cache-1", &url));
    let second = machine(&bench, "cache-2", &url);
    second.run("ls artifacts/a/latest/");
    fs::rename(&shared, shared.with_extension("away")).unwrap();
    bench.server.clear_requests();
    let ask = "getfattr --only-values -n user.vm0.sha256 artifacts/a/latest/small/1234";
    second.fails(ask, reason::IO);
    assert_eq!(bench.downloads().len(), 0);
    let told = second.cat(".vm0fs/errors");
    assert!(told.contains("shared"), "{told}");
    // A read is none of its business.
    second.run("cat artifacts/a/latest/small/1234");
    vm0fs(
        &bench,
        Who::Myself,
        &["prefetch", second.join("artifacts/a").to_str().unwrap()],
    );
    has_hash(&second, &folder.path().join("src"), "small/1234");
}

// Only root can make a disk that is small.
#[test]
#[ignore = "needs root"]
fn a_full_disk_makes_room_for_what_the_fleet_knows() {
    // The index of so many files takes 2.7 MB.
    const MANY: usize = 40_000;
    let mut world = World::empty();
    let mut add = |name: &str, files: Vec<File>| {
        let id = world.add_storage(Kind::Artifact, name);
        world.add_version(&id, VersionSpec::files(files));
    };
    let small = |number| File::new(format!("small/{number}"), format!("{number}\n"));
    add("a", (0..MANY).map(small).collect());
    add("b", vec![File::new("f", noise(6_000_000))]);
    let bench = Bench::new(world);
    let shared = bench.folder("shared", Who::Myself);
    let url = format!("file://{}", shared.display());
    share(machine(&bench, "cache-1", &url));
    // The cache may have far more than this.
    let disk = Disk::new(&bench.folder("cache-2", Who::Myself), Who::Myself, "8m");
    let cache = disk.0.to_str().unwrap();
    let arguments = ["--cache-dir", cache, "--cache-size", "1GiB"];
    let other = bench.mount().with(arguments).start();
    other.run("cat artifacts/b/latest/f > /dev/null");
    assert_eq!(cached_of(&other, "b"), "yes");
    other.unmount();
    let second = bench.mount().with(arguments).with(["--shared-cache", &url]);
    let second = second.env(PATIENCE, "10000").start();
    let files = second.run("ls artifacts/a/latest/small | wc -l");
    assert_eq!(files.trim(), MANY.to_string());
    assert_eq!(cached_of(&second, "b"), "tree", "it has made way");
    second.unmount();
}
