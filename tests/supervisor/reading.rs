//! What programs read while workers are replaced: each name, line and byte once.

use super::{
    stepped::{How, Stepped, replace},
    workers,
};
use crate::{
    commands::{Place, finish, kill, script, small_world, until},
    living::{difference, end_long_ago, in_order, log, rows, say},
    support::{
        Bench, Who,
        archive::Tar,
        fake::{Action, Fault, File, Kind, Run, VersionSpec, World, uuid},
        noise,
        watched::Watched,
    },
};
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSEGV, SIGSTOP};
use std::collections::BTreeSet;

/// The large file of [`world`].
const LARGE: usize = 8 << 20;

/// An artifact `a` with a large file, and many small ones in a folder.
fn world() -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let mut files = vec![File::new("large", noise(LARGE))];
    files.extend((0..200).map(|number| File::new(format!("many/{number:03}"), text(number))));
    world.add_version(&id, VersionSpec::files(files));
    world
}

fn text(number: usize) -> String {
    format!("text of {number}\n").repeat(1 + number % 7)
}

#[test]
fn a_log_that_is_followed_shows_each_line_once() {
    for who in Who::all() {
        let (world, run) = crate::living::world();
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        let tail = place.inside(&format!("exec tail -n +1 -f runs/{run}/logs"));
        let tail = Watched::start(&mut script(who, &tail));
        tail.expect("hello");
        let held = format!(
            "fd = os.open('runs/{run}/logs', os.O_RDONLY)
read = os.read(fd, 40)
pause(1)
while piece := os.read(fd, 100):
    read += piece
os.write(1, read)"
        );
        let mut held = Stepped::python(&bench, &place, "held", &held);
        held.wait(1);
        // So many deaths do not end the mount.
        for round in 1..=4 {
            say(&bench, &run, &format!("said #{round}1."));
            log(&bench, &run, &format!("row #{round}2."));
            // Some have been shown by then, some not.
            if round % 2 == 0 {
                tail.expect(&format!("#{round}1."));
            }
            replace(&place, How::Kill(SIGKILL));
            say(&bench, &run, &format!("said #{round}3."));
        }
        tail.expect("#43.");
        held.go_on(1);
        let held = held.printed();
        assert!(held.contains("#43."), "{held}");
        replace(&place, How::Reload);
        log(&bench, &run, "the last #51.");
        end_long_ago(&bench, &run);
        let rows = rows(&bench, &run);
        let tail_differs = || {
            let (text, rows) = in_order(&tail.text(), rows.clone());
            difference(&text, &rows)
        };
        until("tail has all of it", || tail_differs().is_none());
        until("the status is told", || {
            place.run(&format!("cat runs/{run}/status")) == "completed\n"
        });
        let cat = place.run(&format!("cat runs/{run}/logs"));
        assert_eq!(difference(&cat, &rows), None, "{cat}");
        assert_eq!(tail_differs(), None, "each row once");
        let tail = tail.text();
        assert!(tail.starts_with(&held), "{held}\nis not of\n{tail}");
    }
}

/// A world with so many ended runs.
fn runs(number: i64) -> World {
    let mut world = World::empty();
    world.pace = None;
    // Or the service leaves runs out whose ids are not in the order of their pages.
    world.quirks.cursor_by_id = false;
    let then = world.ago(9_000);
    world.add_agent(crate::support::fake::Agent::new("writer", then));
    for seconds in 0..number {
        let then = world.ago(8_000 - seconds);
        world.add_run(Run::new("writer", then).status("completed"));
    }
    world
}

/// Adds a run, and waits until the mount shows it.
#[track_caller]
fn add_run(bench: &Bench, place: &Place) {
    let mut world = bench.server.world();
    let now = world.ago(0);
    let id = uuid(&format!("added:{}", world.runs.len()));
    world.add_run(Run::new("writer", now).status("completed").id(&id));
    drop(world);
    let look = format!("grep -c {id} runs/.runs.jsonl; true");
    until("the run is shown", || place.run(&look) == "1\n");
}

#[track_caller]
fn mounted(bench: &Bench, who: Who) -> Place {
    let place = Place::new(bench, who, "mnt");
    finish(place.mount(bench).args(["--list-ttl", "100ms"])).succeeded();
    place
}

#[test]
fn a_table_read_in_small_pieces_is_that_of_one_moment() {
    for who in Who::all() {
        let bench = Bench::new(runs(1_000));
        let place = mounted(&bench, who);
        let before = place.run("cat runs/.runs.jsonl");
        assert_eq!(before.lines().count(), 1_000);
        let third = before.len() / 3;
        let text = format!(
            "fd = os.open('runs/.runs.jsonl', os.O_RDONLY)
read, steps = b'', [{third}, {0}]
while piece := os.read(fd, 512):
    read += piece
    if steps and len(read) > steps[0]:
        pause(3 - len(steps))
        steps.pop(0)
os.write(1, read)",
            2 * third
        );
        let mut reader = Stepped::python(&bench, &place, "reader", &text);
        for (step, how) in [(1, How::Kill(SIGKILL)), (2, How::Upgrade)] {
            reader.wait(step);
            add_run(&bench, &place);
            replace(&place, how);
            reader.go_on(step);
        }
        let read = reader.printed();
        assert!(read == before, "{} bytes of {}", read.len(), before.len());
        let after = place.run("cat runs/.runs.jsonl");
        assert_eq!(after.lines().count(), 1_002);
    }
}

/// Lists a folder in three parts.
fn scan(folder: &str) -> String {
    format!(
        "fd = os.open('{folder}', os.O_RDONLY)
with os.scandir(fd) as found:
    names = [next(found).name for _ in range(10)]
    pause(1)
    names += [next(found).name for _ in range(2500)]
    pause(2)
    names += [entry.name for entry in found]
print('\\n'.join(names))"
    )
}

#[test]
fn a_large_folder_that_is_being_listed_shows_each_name_once() {
    for who in Who::all() {
        let mut world = runs(5_000);
        let id = world.add_storage(Kind::Artifact, "many");
        let files = (0..5_000).map(|number| File::new(format!("file-{number:04}"), "text\n"));
        world.add_version(&id, VersionSpec::files(files.collect()));
        let ids: BTreeSet<String> = world.runs.iter().map(|run| run.id.clone()).collect();
        let bench = Bench::new(world);
        let place = mounted(&bench, who);
        place.run("test ! -e artifacts/many/latest/missing; ls -f runs > /dev/null");
        let files: BTreeSet<String> = (0..5_000)
            .map(|number| format!("file-{number:04}"))
            .collect();
        for (number, (folder, expected)) in [("runs", ids), ("artifacts/many/latest/", files)]
            .into_iter()
            .enumerate()
        {
            let name = format!("reader{number}");
            let mut reader = Stepped::python(&bench, &place, &name, &scan(folder));
            for (step, how) in [(1, How::Kill(SIGSEGV)), (2, How::Reload)] {
                reader.wait(step);
                if number == 0 {
                    add_run(&bench, &place);
                }
                replace(&place, how);
                reader.go_on(step);
            }
            let listed = reader.printed();
            let mut names: Vec<&str> = listed.lines().collect();
            // Its own files of a folder, such as the table.
            names.retain(|name| !name.starts_with('.'));
            let set: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(set.len(), names.len(), "{folder}: a name twice");
            let (missing, new): (Vec<_>, Vec<_>) = expected
                .symmetric_difference(&set)
                .partition(|name| expected.contains(*name));
            assert_eq!((missing, new), (vec![], vec![]), "{folder}");
        }
    }
}

/// Programs that have something open over a replacement, and print the large file, or all
/// of the small ones.
const HELD: [(&str, &str); 5] = [
    (
        "read",
        "fd = os.open('artifacts/a/latest/large', os.O_RDONLY)
read = os.read(fd, 100000)
pause(1)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
while piece := os.read(fd, 100000):
    read += piece
sys.stdout.buffer.write(read)",
    ),
    (
        "map",
        "fd = os.open('artifacts/a/latest/large', os.O_RDONLY)
read = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
os.close(fd)
begin = read[:5]
pause(1)
assert begin == read[:5]
sys.stdout.buffer.write(read[:])",
    ),
    (
        "pread",
        "fd = os.open('artifacts/a/latest/large', os.O_RDONLY)
size = os.fstat(fd).st_size
end = os.pread(fd, 1000000, size - 1000000)
pause(1)
assert os.fstat(fd).st_size == size
begin = b''
while len(begin) < size - 1000000:
    begin += os.pread(fd, min(70000, size - 1000000 - len(begin)), len(begin))
sys.stdout.buffer.write(begin + end)",
    ),
    (
        "openat",
        "fd = os.open('artifacts/a/latest/many', os.O_RDONLY)
pause(1)
for name in sorted(os.listdir(fd)):
    file = os.open(name, os.O_RDONLY, dir_fd=fd)
    assert os.fstat(file).st_ino == os.stat(name, dir_fd=fd).st_ino
    sys.stdout.buffer.write(os.read(file, 1000))
    os.close(file)",
    ),
    (
        "chdir",
        "os.chdir('artifacts/a/latest/many')
files = [open(name, 'rb') for name in sorted(os.listdir('.'))]
pause(1)
assert os.getcwd().endswith('/many')
for file in files:
    sys.stdout.buffer.write(file.read())",
    ),
];

/// What these print.
#[track_caller]
fn is_printed(name: &str, printed: &[u8]) {
    let small: String = (0..200).map(text).collect();
    let expected = match name {
        "openat" | "chdir" => small.into_bytes(),
        _ => noise(LARGE),
    };
    let lengths = (printed.len(), expected.len());
    assert!(printed == expected, "{name}: {lengths:?}");
}

#[test]
fn files_and_folders_that_are_open_go_on() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        place.run("ls artifacts/a/latest/ > /dev/null");
        let direct = "exec 3< artifacts/a/latest/large
            dd <&3 iflag=direct bs=64k count=9 status=none
            pause 1
            dd <&3 iflag=direct bs=128k status=none";
        for (round, how) in [How::Kill(SIGKILL), How::Upgrade].into_iter().enumerate() {
            let mut programs: Vec<(&str, Stepped)> = HELD
                .into_iter()
                .map(|(name, text)| {
                    let folder = format!("{name}{round}");
                    (name, Stepped::python(&bench, &place, &folder, text))
                })
                .collect();
            let folder = format!("direct{round}");
            programs.push(("direct", Stepped::shell(&bench, &place, &folder, direct)));
            programs.iter_mut().for_each(|(_, program)| program.wait(1));
            bench.server.clear_requests();
            replace(&place, how);
            for (name, program) in &mut programs {
                program.go_on(1);
                is_printed(name, &program.succeeded());
            }
            assert_eq!(bench.downloads().len(), 0, "it is on disk");
        }
    }
}

#[test]
fn a_file_that_is_evicted_between_two_workers_goes_on() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        place.run("ls artifacts/a/latest/ > /dev/null");
        let mut programs = HELD.map(|(name, text)| {
            let program = Stepped::python(&bench, &place, name, text);
            (name, program)
        });
        programs.iter_mut().for_each(|(_, program)| program.wait(1));
        bench.server.clear_requests();
        evict_between_workers(&bench, &place, &["--all"]);
        for (name, program) in &mut programs {
            program.go_on(1);
            is_printed(name, &program.succeeded());
        }
        assert!(!bench.downloads().is_empty(), "it had been evicted");
    }
}

/// Replaces the worker, and clears the cache while none holds any of it.
#[track_caller]
fn evict_between_workers(bench: &Bench, place: &Place, arguments: &[&str]) {
    let supervisor = place.pid();
    kill(supervisor, SIGSTOP);
    let worker = place.worker();
    kill(worker, SIGKILL);
    until("no worker is there", || {
        !place.processes().contains(&worker)
    });
    let mut clear = bench.command(place.who);
    let said = finish(clear.args(["cache", "clear"]).args(arguments)).succeeded();
    assert!(said.contains("freed"), "{said}");
    kill(supervisor, SIGCONT);
    until("another worker serves", || workers(place)["replaced"] == 1);
}

#[test]
fn a_file_whose_archive_is_made_anew_between_two_workers_goes_on() {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    place.run("ls artifacts/a/latest/ > /dev/null");
    let mut programs = HELD.map(|(name, text)| {
        let program = Stepped::python(&bench, &place, name, text);
        (name, program)
    });
    programs.iter_mut().for_each(|(_, program)| program.wait(1));
    // The same files in another order.
    let tar = (0..200).rev().fold(Tar::default(), |tar, number| {
        tar.file(format!("many/{number:03}"), text(number))
    });
    let other = tar.file("large", noise(LARGE)).gz_in_blocks();
    bench
        .server
        .fault(Fault::store(Action::WrongBody(other.into())));
    bench.server.fault(Fault::store(Action::ChangeEtag));
    evict_between_workers(&bench, &place, &[]);
    for (name, program) in &mut programs {
        program.go_on(1);
        is_printed(name, &program.succeeded());
    }
}

/// The path of everything in the mount, with its inode number and kind.
fn inodes(place: &Place) -> BTreeSet<String> {
    let found = place.run(
        "find . -printf '%i %y %p\\n'; \
         find -L artifacts volumes agents -maxdepth 5 -printf '%i %y %p\\n'; true",
    );
    found.lines().map(str::to_owned).collect()
}

#[test]
fn inode_numbers_and_what_git_knows_of_them_stay() {
    for who in Who::all() {
        let mut world = world();
        let then = world.ago(500);
        world.add_agent(crate::support::fake::Agent::new("writer", then));
        for status in ["running", "completed", "failed"] {
            world.add_run(Run::new("writer", then).status(status));
        }
        let id = world.add_storage(Kind::Volume, "v");
        let files = vec![
            File::new("text", "text\n"),
            File::symlink("link", "text"),
            File::hard_link("hard", "text"),
            File::folder("empty"),
        ];
        world.add_version(&id, VersionSpec::files(files));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        let folder = bench.folder("git", who);
        let git = |arguments: &str| {
            place.run(&format!(
                "export HOME='{0}' GIT_DIR='{0}/git' GIT_WORK_TREE=\"$PWD/artifacts/a/latest/\"; \
                 git {arguments}",
                folder.display()
            ))
        };
        git("init -q && git add -A && git -c user.name=a -c user.email=b commit -qm all");
        // What git would have to read again to know whether it has changed.
        assert_eq!(git("diff-files --name-only"), "");
        let before = inodes(&place);
        assert!(before.len() > 250, "{}", before.len());
        bench.server.clear_requests();
        for how in [How::Kill(SIGKILL), How::Upgrade, How::Kill(SIGSEGV)] {
            replace(&place, how);
            assert_eq!(git("diff-files --name-only"), "", "{how:?}");
            let after = inodes(&place);
            let changed: Vec<_> = before.symmetric_difference(&after).collect();
            assert_eq!(changed, Vec::<&String>::new(), "{how:?}");
        }
        assert_eq!(git("status --porcelain"), "");
        assert_eq!((bench.links(), bench.downloads().len()), (0, 0));
    }
}

#[test]
fn a_small_folder_read_by_a_few_names_is_never_two_listings() {
    for who in Who::all() {
        let mut world = small_world();
        for number in 0..12 {
            world.add_storage(Kind::Volume, &format!("volume-{number:02}"));
        }
        let bench = Bench::new(world);
        let place = mounted(&bench, who);
        // As of libraries with small buffers. The kernel has all names after the first call.
        let text = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def names(fd, size=400):
    buffer = ctypes.create_string_buffer(size)
    got = libc.getdents64(fd, buffer, size)
    if got < 0:
        raise OSError(ctypes.get_errno(), 'getdents64')
    at, found = 0, []
    while at < got:
        length = int.from_bytes(buffer.raw[at + 16:at + 18], 'little')
        found.append(buffer.raw[at + 19:at + length].split(b'\\0')[0].decode())
        at += length
    return found
for number, folder in enumerate(['agents', 'volumes']):
    fd = os.open(folder, os.O_RDONLY)
    found = names(fd)
    pause(number)
    while more := names(fd):
        found += more
    print(*sorted(found))";
        let mut reader = Stepped::python(&bench, &place, "reader", text);
        reader.wait(0);
        replace(&place, How::Kill(SIGKILL));
        reader.go_on(0);
        reader.wait(1);
        // As many as before, and all others: of which it is to see none.
        let mut world = bench.server.world();
        world
            .storages
            .retain(|storage| storage.kind != Kind::Volume);
        for number in 0..12 {
            world.add_storage(Kind::Volume, &format!("new-{number:02}"));
        }
        drop(world);
        until("they are shown", || {
            place
                .run("ls volumes")
                .lines()
                .all(|name| name.starts_with("new"))
        });
        replace(&place, How::Kill(SIGKILL));
        reader.go_on(1);
        let printed = reader.printed();
        let (agents, volumes) = printed.split_once('\n').unwrap();
        assert_eq!(agents, ". .. writer");
        let old = (0..12).map(|number| format!(" volume-{number:02}"));
        assert_eq!(volumes, format!(". ..{}\n", old.collect::<String>()));
    }
}
