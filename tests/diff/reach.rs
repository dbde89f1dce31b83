//! Through a mount, without one, and what it says where that fails.

use super::*;
use crate::support::{
    archive::Tar,
    fake::{Action, Agent, Fault, File, Run, uuid},
};

fn small() -> (Bench, [String; 3]) {
    let mut world = World::empty();
    let storage = world.add_storage(Kind::Artifact, "site");
    let version = |text: &str| VersionSpec::files(vec![File::new("f", text.to_owned())]);
    let ids = [
        world.add_version(&storage, VersionSpec::files(Vec::new())),
        world.add_version(&storage, version("one\n")),
        world.add_version(&storage, version("two\n")),
    ];
    world.add_storage(Kind::Artifact, "other");
    world.add_agent(Agent::new("writer", world.ago(20)));
    let run = Run::new("writer", world.ago(10)).artifact("site", &ids[1]);
    world.add_run(run.id(uuid("run")));
    let volume = world.add_storage(Kind::Volume, "site");
    world.add_version(&volume, version("volume\n"));
    (Bench::new(world), ids)
}

#[test]
fn it_is_the_same_through_a_mount_and_without() {
    for who in Who::all() {
        let (bench, [none, one, two]) = small();
        let cache = bench.folder("other-cache", who);
        let url = bench.server.api_url();
        // Says how to reach the service: no mount is asked.
        let service = ["--api-url", &url, "--cache-dir", cache.to_str().unwrap()];
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        let path = mount.join("artifacts/site");
        let path = path.to_str().unwrap();
        for (old, new, code) in [
            (&*one, "latest", 1),
            (&one[..8], &*two, 1),
            (&none, &one, 1),
            (&two, &none, 1),
            (&two, "latest", 0),
            (&none, &none, 0),
        ] {
            for form in ["--name-status", "--json", "--stat", "-v"] {
                let through = diff(&bench, who, &[path, old, new, form]);
                let without = [&["site", old, new, form][..], &service].concat();
                let without = diff(&bench, who, &without);
                assert_eq!(through.code, Some(code), "{old} {new}: {through:?}");
                assert_eq!((through.code, through.out), (without.code, without.out));
            }
        }
        let patch = diff(&bench, who, &[path, &one, &two]);
        let expected = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+two\n";
        assert_eq!(patch.out, expected);
        let volume = [&["volumes/site", "latest", "latest"][..], &service].concat();
        assert_eq!(diff(&bench, who, &volume).code, Some(0));
        // By its name: it is of the same account.
        bench.server.clear_requests();
        assert_eq!(diff(&bench, who, &["site", &one, &two]).out, expected);
        assert_eq!(bench.api_calls().len(), 0, "the mount knows it");
        // In the folder that it is in, and anywhere in the mount.
        for (folder, name) in [
            ("artifacts", "site"),
            ("artifacts/site", "."),
            ("", "site"),
            ("artifacts", "artifacts/site"),
            ("artifacts/other", "../site"),
            ("volumes/site", "../../artifacts/site/latest"),
            ("agents/writer/latest", "./artifact"),
            ("artifacts", "../agents/writer/latest/artifact"),
        ] {
            let mut command = bench.command(who);
            command.current_dir(mount.join(folder));
            let told = finish(command.args(["diff", name, &one, &two]));
            assert_eq!(told.out, expected, "{folder} {name}: {told:?}");
        }
    }
}

#[test]
fn a_second_machine_compares_by_what_the_first_has_shared() {
    let folder = tempfile::tempdir().unwrap();
    let make = "mkdir old new; seq 100000 > old/f; seq 100001 > new/f; echo same > old/s;
        cp old/s new/moved; mkdir old/many; for n in $(seq 600); do echo $n > old/many/$n; done
        cp -r old/many new";
    shell(folder.path(), make);
    for who in Who::all() {
        let (bench, [old, new]) = packed(folder.path());
        let shared = format!("file://{}", bench.folder("shared", who).display());
        let options = |name: &str| {
            let cache = bench.folder(name, who).display().to_string();
            [
                "--cache-dir".into(),
                cache,
                "--shared-cache".into(),
                shared.clone(),
            ]
        };
        let machine = |name: &str| {
            let options = options(name);
            let options = options.each_ref().map(String::as_str);
            bench.mount_as(who).with(options).start()
        };
        let first = machine("first");
        for id in [&old, &new] {
            first.run(&format!("ls artifacts/a/{id}/"));
        }
        until("index and hashes of both are shared", || {
            let status: serde_json::Value =
                serde_json::from_str(&first.cat(".vm0fs/status.json")).unwrap();
            status["shared_cache"]["puts"] == 4
        });
        first.unmount();
        bench.server.clear_requests();
        let expected = "M\tf\nR100\ts\tmoved\n";
        let second = machine("second");
        let path = second.join("artifacts/a");
        let compared = [path.to_str().unwrap(), &old, &new, "--name-status"];
        assert_eq!(diff(&bench, who, &compared).out, expected);
        second.unmount();
        // Without a mount.
        let mut third = bench.command(who);
        third.args(["diff", "a", &old, &new, "--name-status"]);
        third.args(["--api-url", &bench.server.api_url()]);
        third.arg("--cache-dir").arg(bench.folder("third", who));
        let told = finish(third.env("VM0FS_SHARED_CACHE", &shared));
        assert_eq!(told.out, expected, "{told:?}");
        assert_eq!(bench.downloads().len(), 0, "no byte of an archive");
        assert_eq!(bench.links(), 0);
    }
}

#[test]
fn paths_longer_than_the_kernel_takes_are_compared() {
    let folder = "n".repeat(200);
    let path = format!("{}/f", vec![&*folder; 30].join("/"));
    let mut world = World::empty();
    let storage = world.add_storage(Kind::Artifact, "deep");
    let ids = ["one\n", "two\n"].map(|text| {
        let name = [("path", path.as_bytes())];
        let tar = Tar::default().pax(b'x', &name).file("f", text);
        world.add_version(&storage, VersionSpec::archive(tar.gz()))
    });
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let named = mount.join("artifacts/deep");
    let told = diff(
        &bench,
        Who::Myself,
        &[named.to_str().unwrap(), &ids[0], &ids[1]],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    let lines = format!("+++ b/{path}\n@@ -1 +1 @@\n-one\n+two\n");
    assert!(told.out.ends_with(&lines), "{told:?}");
}

#[test]
fn trouble_is_told_and_is_exit_code_2() {
    let (bench, [_, one, two]) = small();
    bench.server.world().add_storage(Kind::Volume, "none");
    let mount = bench.mount().start();
    let path = mount.join("artifacts/site");
    let path = path.to_str().unwrap();
    let nowhere = mount.join("artifacts/nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let url = bench.server.api_url();
    let service = ["--api-url", &url];
    let trouble = |arguments: &[&str], words: &[&str]| {
        let told = diff(&bench, Who::Myself, arguments);
        assert_eq!((told.code, &*told.out), (Some(2), ""), "{told:?}");
        told.told(words);
    };
    let (shown, newest) = (format!("{} (", &one[..12]), format!("{} (", &two[..12]));
    let no_version = [
        "artifacts/site has no version \"00000000\"; it has",
        &shown,
        &newest,
    ];
    trouble(&[path, "00000000", &two], &no_version);
    trouble(
        &[path, ".versions.json", &two],
        &["is not the name of a version"],
    );
    trouble(
        &[path, "../site/latest", &two],
        &["is not the name of a version"],
    );
    trouble(
        &[nowhere, &one, &two],
        &["there is no artifact \"nowhere\"", "vm0fs ls artifacts"],
    );
    trouble(&[path, &one, &two, "g"], &["g: is in neither version"]);
    for path_in in ["../f", "./f/../f"] {
        let told = format!("{path_in}: `..` cannot be used");
        trouble(&[path, &one, &two, path_in], &[&told]);
    }
    trouble(&["/tmp", &one, &two], &["/tmp is in no artifact or volume"]);
    trouble(
        &["/no\nne", &one, &two],
        &["/no ne: No such file", "volumes/NAME"],
    );
    let short = format!("{:?} is too short", &one[..5]);
    trouble(&[path, &one[..5], &two], &[&short, "8 characters", &shown]);
    let volumes = mount.join("volumes/none");
    trouble(
        &[volumes.to_str().unwrap(), "latest", "latest"],
        &["volumes/none has no version yet"],
    );
    let other = mount.join("artifacts/none");
    trouble(
        &[other.to_str().unwrap(), "latest", "latest"],
        &["there is no artifact \"none\", but there is volumes/none"],
    );
    trouble(
        &[path, &one, &two, "--stat", "--json"],
        &["cannot be used with"],
    );
    let without = |named, version| [&[named, version, "latest"][..], &service].concat();
    trouble(
        &without("nowhere", &one),
        &["there is no artifact \"nowhere\"", "vm0fs ls artifacts"],
    );
    trouble(&without("site", "00000000"), &no_version);
    trouble(
        &without("site", "runs/x"),
        &["is not the name of a version"],
    );
    // What the object store says is passed on.
    let (bench, [_, one, two]) = small();
    let gone = Action::Status {
        status: 404,
        body: "gone".into(),
        content_type: "text/plain".into(),
        headers: Vec::new(),
    };
    bench.server.fault(Fault::object(&one, gone));
    let mount = bench.mount().start();
    let path = mount.join("artifacts/site");
    let told = diff(&bench, Who::Myself, &[path.to_str().unwrap(), &one, &two]);
    assert_eq!((told.code, &*told.out), (Some(2), ""), "{told:?}");
    told.told(&["404"]);
    let service = [
        "diff",
        "site",
        &one,
        &two,
        "--api-url",
        &bench.server.api_url(),
    ];
    let told = finish(bench.command(Who::Myself).args(service));
    assert_eq!((told.code, &*told.out), (Some(2), ""), "{told:?}");
    told.told(&["404"]);
}
