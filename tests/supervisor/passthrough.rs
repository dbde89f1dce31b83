//! Large files of root's mounts, which the kernel reads by itself from the cache.

use super::stepped::{How, Stepped, replace};
use crate::{
    cache::versions_in,
    commands::{Place, finish, until},
    support::{
        Bench, Who,
        disk::Disk,
        fake::{File, Kind, VersionSpec, World},
        noise,
    },
};
use nix::sys::signal::Signal::{SIGCONT, SIGKILL};
use sha2::{Digest, Sha256};
use std::{fs, os::unix::fs::FileExt, path::Path};
use vm0fs::text::hex;

const LARGE: usize = 8 << 20;
const PATH: &str = "artifacts/a/latest/large";

fn world() -> World {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let files = vec![
        File::new("large", noise(LARGE)),
        File::new("small", "small"),
    ];
    world.add_version(&id, VersionSpec::files(files));
    world
}

/// What [`READER`] prints for the large file.
fn sum() -> String {
    format!("{}\n", hex(&Sha256::digest(noise(LARGE))))
}

/// What a program in Python needs to read and print.
const READER: &str = "
import hashlib
def opened():
    return os.open('artifacts/a/latest/large', os.O_RDONLY)
def sum(fd):
    print(hashlib.sha256(os.pread(fd, 1 << 30, 0)).hexdigest(), flush=True)
";

fn program(bench: &Bench, place: &Place, name: &str, text: &str) -> Stepped {
    Stepped::python(bench, place, name, &format!("{READER}{text}"))
}

#[track_caller]
fn mounted(bench: &Bench, cache: &Path) -> Place {
    let place = Place::new(bench, Who::Myself, "mnt");
    finish(place.mount(bench).arg("--cache-dir").arg(cache)).succeeded();
    place
}

fn drop_caches() {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
}

/// Reads the large file of a program that stands at its first pause, while no process
/// serves the mount.
#[track_caller]
fn reads_alone(place: &Place, reader: &mut Stepped) {
    reader.wait(1);
    place.stop();
    reader.go_on(1);
    reader.wait(2);
    place.signal_all(SIGCONT);
}

#[test]
#[ignore = "needs root"]
fn the_kernel_reads_by_itself_what_was_just_unpacked() {
    let bench = Bench::new(world());
    let cache = bench.folder("cache", Who::Myself);
    let place = mounted(&bench, &cache);
    place.run("cat artifacts/a/latest/small");
    // mmap asks for the size, which the worker is asked for again after a read.
    let text = "
fd = opened()
shared = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
pause(1)
sum(fd)
print(hashlib.sha256(shared).hexdigest(), flush=True)
pause(2)";
    let mut reader = program(&bench, &place, "reader", text);
    reads_alone(&place, &mut reader);
    reader.go_on(2);
    assert_eq!(reader.printed(), sum().repeat(2));
}

#[test]
#[ignore = "needs root"]
fn all_handles_of_a_file_are_read_in_one_way_under_any_worker() {
    let bench = Bench::new(world());
    let disk = Disk::new(&bench.folder("cache", Who::Myself), Who::Myself, "256m");
    let place = mounted(&bench, &disk.0);
    place.run("cat artifacts/a/latest/small");
    let mut holder = program(
        &bench,
        &place,
        "holder",
        "
first = opened()
pause(1)
second = opened()
sum(first)
sum(second)
os.close(first)
pause(2)
sum(second)
third = opened()
sum(third)
pause(3)",
    );
    holder.wait(1);
    replace(&place, How::Kill(SIGKILL));
    holder.go_on(1);
    holder.wait(2);
    replace(&place, How::Reload);
    holder.go_on(2);
    holder.wait(3);
    // What is open goes on where it was cleared away meanwhile, and its space is free
    // once it is closed.
    let clear = |place: &Place| {
        let mut command = bench.command(place.who);
        command.args(["cache", "clear", "--cache-dir"]).arg(&disk.0);
        finish(&mut command).succeeded();
    };
    holder.go_on(3);
    assert_eq!(holder.printed(), sum().repeat(4));
    until("the worker lets its lock go", || {
        clear(&place);
        versions_in(&disk.0)
            .iter()
            .all(|version| !version.join("blob-0").exists())
    });
    until("the kernel lets go of the file", || {
        disk.used() < LARGE as u64 / 2
    });
}

#[test]
#[ignore = "needs root"]
fn content_that_was_not_verified_is_read_by_the_worker_first() {
    let bench = Bench::new(world());
    let cache = bench.folder("cache", Who::Myself);
    let place = mounted(&bench, &cache);
    place.run("cat artifacts/a/latest/small");
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
    let damage = |offset| {
        let blob = versions_in(&cache).remove(0).join("blob-0");
        let blob = fs::OpenOptions::new().write(true).open(blob).unwrap();
        blob.write_all_at(b"damage", offset).unwrap();
    };
    let read_right = |place: &Place| {
        let read = place.run(&format!("sha256sum < {PATH}"));
        assert!(read.starts_with(sum().trim()), "{read}");
    };
    // Damage that came while no mount was there is found by the first read.
    damage(5 << 20);
    let place = mounted(&bench, &cache);
    // The first read mends, the second brings the rest, the third verifies all of it. What
    // the page cache holds would be read without the worker in any case.
    for _ in 0..3 {
        read_right(&place);
        drop_caches();
    }
    // All of it is verified now, and no handle is open.
    let text = "fd = opened()\npause(1)\nsum(fd)\npause(2)";
    let mut reader = program(&bench, &place, "reader", text);
    reads_alone(&place, &mut reader);
    reader.go_on(2);
    assert_eq!(reader.printed(), sum());
    // A change is found when the file is opened next.
    damage(3 << 20);
    read_right(&place);
}
