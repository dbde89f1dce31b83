//! Trouble is not absence, and absence costs nothing.

use super::*;

#[test]
fn an_archive_that_is_missing_is_trouble_not_an_empty_place() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Volume, "data");
    let version = world.add_version(&id, files("one"));
    let bench = Bench::new(world);
    let missing = Action::api_error(
        404,
        "not_found_error",
        "resource_not_found",
        "No such volume",
    );
    bench
        .server
        .fault(Fault::api(&format!("/v1/volumes/{id}/download"), missing));
    let root = bench.ino(&format!("volumes/data/{version}"));
    let error = bench.lookup(root, "a.txt").unwrap_err();
    assert_eq!(error.errno(), libc::EIO, "{error}");
    assert!(error.to_string().contains("404"), "{error}");
    let Err(error) = bench.ask(|view| view.directory(root)) else {
        panic!("a listing without an archive");
    };
    assert_eq!(error.errno(), libc::EIO, "{error}");
    let errors = bench.text(".vm0fs/errors");
    assert!(errors.contains("404"), "{errors}");
}

#[test]
fn inside_a_version_that_is_gone_nothing_is_absent_for_good() {
    let mut world = World::empty();
    let id = world.add_storage(Storages::Volume, "data");
    let version = world.add_version(&id, files("one"));
    let bench = Bench::new(world);
    let root = bench.ino(&format!("volumes/data/{version}"));
    // A kernel may hold the inode for longer than the answers are kept.
    let fresh = Bench::new(World::empty());
    let node = Node::Entry(VersionId::new(StorageKind::Volume, id, version), 0);
    let again = node.ino(&fresh.tree.inodes);
    assert_eq!(again, root, "inodes outlive a restart");
    let answer = fresh.lookup(again, "a.txt");
    assert!(
        !matches!(answer, Ok(Found::Absent(lasts)) if !lasts.is_zero()),
        "{answer:?}"
    );
}

#[test]
fn a_list_that_is_not_found_is_trouble() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.add_agent(Agent::new("writer", then));
    let bench = Bench::new(world);
    bench.server.fault(Fault::api("/v1/", html(404)));
    for top in ["agents", "runs", "volumes", "artifacts"] {
        let ino = bench.ino(top);
        let Err(error) = bench.ask(|view| view.directory(ino)) else {
            panic!("{top} is listed");
        };
        // Nothing has shown that this is the right server.
        assert_eq!(error.errno(), libc::EPROTONOSUPPORT, "{top}: {error}");
    }
    let agents = bench.ino("agents");
    let error = bench.lookup(agents, "writer").unwrap_err();
    assert_eq!(error.errno(), libc::EPROTONOSUPPORT, "{error}");
    assert_eq!(bench.text(".vm0fs/errors").lines().count(), 4);
}

#[test]
fn a_404_of_a_gateway_does_not_make_an_object_vanish() {
    let mut world = World::empty();
    let then = world.ago(60);
    let run = world.add_run(Run::new("writer", then));
    let bench = Bench::new(world);
    bench.server.fault(Fault::api("/v1/runs/", html(404)));
    let agents = bench.ino("agents");
    bench.ask(|view| view.directory(agents)).unwrap();
    let runs = bench.ino("runs");
    let error = bench.lookup(runs, &run).unwrap_err();
    assert_eq!(error.errno(), libc::EIO, "{error}");
    bench.server.clear_faults();
    bench.server.fault(Fault::api(
        "/v1/runs/",
        Action::api_error(404, "not_found_error", "resource_not_found", "No such run"),
    ));
    thread::sleep(Duration::from_millis(2100));
    let found = bench.lookup(runs, &run).unwrap();
    assert!(
        matches!(found, Found::Absent(lasts) if lasts.is_zero()),
        "{found:?}"
    );
}

#[test]
fn names_that_programs_probe_for_cost_no_call() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.add_agent(Agent::new("writer", then));
    let id = world.add_storage(Storages::Volume, "data");
    world.add_version(&id, files("one"));
    let run = world.add_run(Run::new("writer", then));
    let bench = Bench::with_ttl(world, Duration::from_secs(60));
    let folders = [
        bench.ino("runs"),
        bench.ino("runs/.by-status/running"),
        bench.ino("agents"),
        bench.ino("agents/writer"),
        bench.ino("agents/writer/runs"),
        bench.ino("volumes/data"),
        bench.ino(&format!("runs/{run}")),
        bench.ino(&format!("runs/{run}/volumes")),
    ];
    let by_status = bench.ino("runs/.by-status");
    bench.calls();
    for name in [".git", ".hidden", "autorun.inf", "HEAD"] {
        let found = bench.lookup(by_status, name).unwrap();
        assert!(matches!(found, Found::Absent(_)), "{name}: {found:?}");
    }
    for folder in folders {
        for name in [
            ".git",
            ".hidden",
            ".Trash-1000",
            "autorun.inf",
            "HEAD",
            "node_modules",
            "Makefile",
            "Dockerfile",
        ] {
            let found = bench.lookup(folder, name).unwrap();
            assert!(matches!(found, Found::Absent(_)), "{name}: {found:?}");
        }
    }
    assert_eq!(bench.calls(), [""; 0]);
}

#[test]
fn a_status_of_any_form_has_a_folder_that_holds_its_runs() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.pace = None;
    let run = world.add_run(Run::new("writer", then).status("on/hold"));
    let bench = Bench::new(world);
    let names = bench.entries("runs/.by-status/on%2Fhold");
    assert_eq!(names.len(), 1);
    bench.walk(&format!("runs/.by-status/on%2Fhold/{run}"));
}

#[test]
fn an_object_of_any_name_that_no_page_shows_is_reached_by_its_id() {
    let mut world = World::empty();
    let then = world.ago(60);
    world.quirks = Quirks::none();
    let mut agent = Agent::new("a/b", then);
    agent.id = "0b7f1c9e-3c1d-4a52-9b1e-2f0a6f4f9d11".into();
    let id = world.add_agent(agent);
    let bench = Bench::with_ttl(world, Duration::from_secs(60));
    // A page that does not show it.
    let none = r#"{"data":[],"pagination":{"has_more":false,"next_cursor":null}}"#;
    bench.server.fault(Fault::api_exact(
        "/v1/agents",
        Action::WrongBody(none.into()),
    ));
    assert_eq!(bench.target(&format!("agents/{id}")), "a%2Fb");
    let (stat, _) = bench.walk("agents/a%2Fb");
    assert_eq!(stat.attributes.kind, Kind::Directory);
}
