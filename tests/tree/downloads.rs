//! Archives that are empty or lost, or whose download meets a fault.

use crate::support::fake::{Action, Fault, File, Kind, Port, VersionSpec, World};
use crate::support::{Bench, noise, reason};
use std::fs;

/// A world with one artifact `a` of one version, and the version's id.
fn one(spec: VersionSpec) -> (World, String) {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    let version = world.add_version(&id, spec);
    (world, version)
}

#[test]
fn a_version_without_files_is_an_empty_directory() {
    let (world, version) = one(VersionSpec::files(Vec::new()));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert!(mount.list(&format!("artifacts/a/{version}")).is_empty());
    mount.fails(&format!("cat artifacts/a/{version}/x"), reason::MISSING);
    let copy = bench.dir().join("copy");
    mount.run(&format!(
        "cp -a artifacts/a/{version} {0} && test -d {0}",
        copy.display()
    ));
    assert!(bench.downloads().is_empty(), "there is nothing to download");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}

#[test]
fn an_archive_that_is_lost_is_an_error() {
    let (world, version) = one(VersionSpec::lost());
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    mount.fails("ls artifacts/a/latest/", reason::IO);
    let errors = mount.cat(".vm0fs/errors");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains(&version), "{errors}");
    assert!(mount.list("artifacts/a").contains(&version));
}

#[test]
fn a_download_that_breaks_off_is_resumed() {
    let content = noise(2_000_000);
    let (world, _) = one(VersionSpec::files(vec![File::new("f", content.clone())]));
    let bench = Bench::new(world);
    bench
        .server
        .fault(Fault::store(Action::Truncate { after: 300_000 }).times(2));
    let mount = bench.mount().start();
    assert!(fs::read(mount.join("artifacts/a/latest/f")).unwrap() == content);
    let downloads = bench.downloads();
    assert_eq!(downloads.len(), 3);
    assert!(downloads[1].range.is_some() && downloads[2].range.is_some());
}

#[test]
fn an_expired_link_is_asked_for_again() {
    let (world, _) = one(VersionSpec::files(vec![File::new("f", "content")]));
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::ExpireUrl).times(1));
    let mount = bench.mount().start();
    assert_eq!(mount.cat("artifacts/a/latest/f"), "content");
    let asked = bench.server.requests_to(Port::Api, "/v1/artifacts/");
    let asked = asked.iter().filter(|call| call.path.ends_with("/download"));
    assert_eq!(asked.count(), 2);
}
