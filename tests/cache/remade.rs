//! The archive of a version is made anew, with the same files in another order: every name
//! goes on to lead to its own file.

use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::{
    commands::{finish, until},
    support::{Bench, Mount, Who, archive::Tar, store::PATIENCE},
};
use std::os::fd::AsRawFd;

const NAMES: [&str; 4] = ["a.txt", "b.txt", "d/a.txt", "e/a.txt"];

/// An artifact `a` of files of equal size.
fn bench() -> Bench {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let files = NAMES.map(|name| File::new(name, content(name)));
    world.add_version(&id, VersionSpec::files(files.into()));
    Bench::new(world)
}

fn content(name: &str) -> String {
    format!("I am {name:>8}\n")
}

/// Has the object store send another archive of the same files from now on.
fn make_anew(bench: &Bench) {
    let tar = NAMES
        .iter()
        .rev()
        .fold(Tar::default(), |tar, name| tar.file(name, content(name)));
    let other = tar.gz_in_blocks();
    bench
        .server
        .fault(Fault::store(Action::WrongBody(other.into())));
    bench.server.fault(Fault::store(Action::ChangeEtag));
}

fn mount(bench: &Bench, name: &str) -> Mount {
    let (cache, shared) = (
        bench.folder(name, Who::Myself),
        bench.folder("shared", Who::Myself),
    );
    let url = format!("file://{}", shared.display());
    let mount = bench.mount().env(PATIENCE, "10000");
    mount
        .with([
            "--cache-dir",
            cache.to_str().unwrap(),
            "--shared-cache",
            &url,
        ])
        .start()
}

/// One that nothing is shared with but its cache.
fn mount_alone(bench: &Bench) -> Mount {
    let cache = bench.folder("cache", Who::Myself);
    let mount = bench.mount();
    mount.with(["--cache-dir", cache.to_str().unwrap()]).start()
}

/// Names and numbers as the kernel has them.
fn listed(mount: &Mount) -> String {
    mount.run("cd artifacts/a/latest/ && find . -printf '%p %i %s\\n' | sort")
}

#[track_caller]
fn is_right(mount: &Mount, before: &str) {
    for name in NAMES {
        assert_eq!(
            mount.cat(&format!("artifacts/a/latest/{name}")),
            content(name)
        );
    }
    assert_eq!(listed(mount), before);
}

#[test]
fn names_that_the_kernel_knows_lead_to_their_own_files() {
    let bench = bench();
    let mount = mount(&bench, "cache");
    let before = listed(&mount);
    let cache = bench.folder("cache", Who::Myself);
    until("the content is evicted", || {
        let mut clear = bench.command(Who::Myself);
        clear.args(["cache", "clear", "--cache-dir"]).arg(&cache);
        let said = finish(&mut clear).succeeded();
        said.contains("freed")
    });
    bench.server.clear_requests();
    make_anew(&bench);
    is_right(&mount, &before);
    assert!(!bench.downloads().is_empty(), "it had been evicted");
}

#[test]
fn names_that_another_machine_has_shared_lead_to_their_own_files() {
    let bench = bench();
    let first = mount(&bench, "first");
    let before = listed(&first);
    // It writes what is left when it ends.
    first.unmount();
    bench.server.clear_requests();
    let second = mount(&bench, "second");
    assert_eq!(listed(&second), before);
    assert_eq!(bench.downloads().len(), 0);
    make_anew(&bench);
    is_right(&second, &before);
}

/// Removes all versions from a cache, with their trees.
fn remove_versions(bench: &Bench, cache: &str) {
    let versions = bench.folder(cache, Who::Myself).join("v1/versions");
    for version in std::fs::read_dir(&versions).unwrap() {
        std::fs::remove_dir_all(version.unwrap().path()).unwrap();
    }
}

/// Numbers that were given by an index which this process has no more lead to nothing, and the
/// kernel looks each path up again.
#[track_caller]
fn is_right_by_path(mount: &Mount, before: &str) {
    let held = std::fs::File::open(mount.join("artifacts/a/latest/d")).unwrap();
    for name in NAMES {
        let shown = mount.cat(&format!("artifacts/a/latest/{name}"));
        assert_eq!(shown, content(name));
    }
    let inside = format!("/proc/self/fd/{}/a.txt", held.as_raw_fd());
    match std::fs::read_to_string(inside) {
        Ok(shown) => assert_eq!(shown, content("d/a.txt")),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE), "{error}"),
    }
    let count = |listed: &str| listed.lines().count();
    assert_eq!(count(&listed(mount)), count(before));
}

#[test]
fn names_lead_to_their_own_files_where_another_mount_has_fetched_the_version_anew() {
    let bench = bench();
    let mounts = [(); 2].map(|()| mount_alone(&bench));
    let before = listed(&mounts[0]);
    remove_versions(&bench, "cache");
    make_anew(&bench);
    assert_eq!(mounts[1].cat("artifacts/a/latest/a.txt"), content("a.txt"));
    is_right_by_path(&mounts[0], &before);
    is_right_by_path(&mounts[1], &before);
}

#[test]
fn names_lead_to_their_own_files_where_a_new_worker_fetches_the_version_anew() {
    let bench = bench();
    let mount = mount_alone(&bench);
    let before = listed(&mount);
    remove_versions(&bench, "cache");
    make_anew(&bench);
    mount.signal_worker(nix::sys::signal::Signal::SIGKILL);
    bench.server.clear_requests();
    is_right_by_path(&mount, &before);
    assert!(!bench.downloads().is_empty(), "it was not on disk");
}
