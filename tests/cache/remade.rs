//! The archive of a version is made anew, with the same files in another order: every name
//! goes on to lead to its own file.

use crate::support::fake::{Action, Fault, File, Kind, VersionSpec, World};
use crate::{
    commands::{finish, until},
    support::{Bench, Mount, Who, archive::Tar, store::PATIENCE},
};

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
