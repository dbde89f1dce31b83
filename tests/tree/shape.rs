//! Every directory and file of the tree, and what it says.

use super::Example;
use crate::support::{Bench, Who, reason};
use serde_json::Value;
use vm0fs::demo::{Agent, Kind, Run, World};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn folders_list_what_the_service_has() {
    for who in Who::all() {
        let Example {
            world,
            complete,
            failed,
            running,
            report: [first, second, third],
            data,
        } = Example::new();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let sorted = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let top = [".vm0fs", "agents", "artifacts", "runs", "volumes"];
        assert_eq!(mount.list("."), top);
        let pages = [
            "activity.json",
            "errors",
            "help",
            "help.txt",
            "status.json",
            "transfers",
        ];
        assert_eq!(mount.list(".vm0fs"), pages);
        assert_eq!(mount.list("agents"), ["bare", "writer"]);
        let tables = [".runs.csv", ".runs.jsonl"];
        let agent = [
            "agent.json",
            "config.yaml",
            "latest",
            "run",
            "runs",
            "versions.json",
        ];
        assert_eq!(mount.list("agents/writer"), [&tables[..], &agent].concat());
        let without = ["agent.json", "latest", "run", "runs", "versions.json"];
        let without = [&tables[..], &without].concat();
        assert_eq!(mount.list("agents/bare"), without);
        mount.fails("cat agents/bare/config.yaml", reason::MISSING);
        let runs = mount.list("agents/writer/runs");
        assert_eq!(runs, sorted(&[&complete, &failed]));
        assert_eq!(mount.list("agents/bare/runs"), [running.as_str()]);
        assert_eq!(
            mount.list("runs"),
            sorted(&[
                ".by-status",
                ".runs.csv",
                ".runs.jsonl",
                &complete,
                &failed,
                &running
            ])
        );
        let shown = mount.run("ls runs");
        assert!(!shown.contains(['.']), "hidden: {shown}");
        let files = [
            "agent",
            "agent.log",
            "cancel",
            "error",
            "events.jsonl",
            "logs",
            "logs.jsonl",
            "metrics.csv",
            "metrics.json",
            "metrics.svg",
            "network.log",
            "prompt",
            "report.html",
            "result",
            "run.json",
            "status",
            "system.log",
            "transcript.md",
            "usage.json",
            "volumes",
        ];
        let with_artifact = [&files[..], &["artifact"]].concat();
        assert_eq!(
            mount.list(&format!("runs/{complete}")),
            sorted(&with_artifact)
        );
        assert_eq!(mount.list(&format!("runs/{failed}")), files);
        assert_eq!(mount.list(&format!("runs/{complete}/volumes")), ["data"]);
        assert!(mount.list(&format!("runs/{failed}/volumes")).is_empty());
        assert_eq!(
            mount.list("runs/.by-status"),
            [
                "cancelled",
                "completed",
                "failed",
                "pending",
                "running",
                "timeout"
            ]
        );
        assert_eq!(mount.list("runs/.by-status/failed"), [failed.as_str()]);
        assert_eq!(mount.list("runs/.by-status/completed"), [complete.as_str()]);
        assert!(mount.list("runs/.by-status/timeout").is_empty());
        assert_eq!(mount.list("volumes"), ["data"]);
        assert_eq!(mount.list("artifacts"), ["other", "report"]);
        assert_eq!(
            mount.list("volumes/data"),
            sorted(&[".versions.json", &data, "latest"])
        );
        assert_eq!(
            mount.list("artifacts/report"),
            sorted(&[".versions.json", &first, &second, &third, "latest"])
        );
        let version = format!("artifacts/report/{second}");
        assert_eq!(mount.list(&version), ["bin", "data", "report.md"]);
        assert_eq!(mount.list(&format!("{version}/data")), ["empty"]);
        assert!(
            mount.list("artifacts/report/latest/").is_empty(),
            "no files"
        );
    }
}

#[test]
fn a_run_folder_has_its_files() {
    let Example {
        world,
        complete,
        failed,
        running,
        ..
    } = Example::new();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let cat = |run: &str, file: &str| mount.cat(&format!("runs/{run}/{file}"));
    assert_eq!(cat(&complete, "status"), "completed\n");
    assert_eq!(cat(&failed, "status"), "failed\n");
    assert_eq!(cat(&running, "status"), "running\n");
    assert_eq!(cat(&complete, "prompt"), "Write the report\n");
    assert_eq!(cat(&complete, "error"), "");
    assert_eq!(cat(&failed, "error"), "Agent exited with code 1\n");
    let run = json(&cat(&complete, "run.json"));
    assert_eq!(run["id"], complete.as_str());
    assert_eq!(run["artifact_name"], "report");
    assert!(cat(&complete, "run.json").lines().count() > 5, "pretty");

    let logs = cat(&complete, "logs");
    let of = |kind: &str| -> String {
        // A further line of a message is indented.
        let mut keep = false;
        let rows = logs.lines().filter(|line| {
            if !line.starts_with("    ") {
                keep = line.split(' ').nth(1) == Some(kind);
            }
            keep
        });
        rows.map(|line| format!("{line}\n")).collect()
    };
    assert!(logs.contains("agent info hello\n"), "{logs}");
    assert!(
        logs.contains("agent info two\n    lines \\e[31m\n"),
        "{logs}"
    );
    assert!(
        logs.contains("system info sandbox started\n    mounted"),
        "{logs}"
    );
    assert!(
        logs.contains("network error GET https://example.com/ - 404 (31ms)\n"),
        "{logs}"
    );
    assert_eq!(cat(&complete, "agent.log"), of("agent"));
    assert_eq!(cat(&complete, "system.log"), of("system"));
    assert_eq!(cat(&complete, "network.log"), of("network"));
    assert_eq!(of("network").lines().count(), 1, "{logs}");
    let jsonl = cat(&complete, "logs.jsonl");
    let rows: Vec<Value> = jsonl.lines().map(json).collect();
    assert_eq!(rows.len(), 4);
    assert!(
        rows.iter()
            .any(|row| row["metadata"]["eventData"]["message"]["content"][0]["text"] == "hello")
    );
    assert!(
        rows.iter()
            .any(|row| row["message"] == "sandbox started\nmounted \u{1b}[31mall\n")
    );
    assert_eq!(cat(&failed, "logs"), "");

    let metrics = json(&cat(&complete, "metrics.json"));
    assert_eq!(metrics["data"][0]["cpu_percent"], 12.5);
    assert!(metrics["summary"].is_object());
    assert_eq!(
        json(&cat(&failed, "metrics.json"))["data"],
        Value::Array(vec![])
    );
}

#[test]
fn files_of_a_live_run_follow_its_status() {
    let Example { world, running, .. } = Example::new();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "0s"]).start();
    assert_eq!(mount.cat(&format!("runs/{running}/status")), "running\n");
    let status = format!("runs/.by-status/running/{running}");
    mount.run(&format!("test -L {status}"));
    bench.server.world().set_status(&running, "completed");
    assert_eq!(mount.cat(&format!("runs/{running}/status")), "completed\n");
    assert!(mount.list("runs/.by-status/running").is_empty());
    let run = mount.cat(&format!("runs/{running}/run.json"));
    assert_eq!(json(&run)["status"], "completed");
    let new = bench.server.world().add_run(Run::new("writer", now()));
    assert!(mount.list("runs").contains(&new));
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[test]
fn agent_and_storage_folders_have_their_files() {
    let Example {
        world,
        report: [first, second, third],
        ..
    } = Example::new();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let agent = json(&mount.cat("agents/writer/agent.json"));
    assert_eq!(agent["name"], "writer");
    assert_eq!(agent["config"]["version"], "1.0");
    let config = mount.cat("agents/writer/config.yaml");
    assert!(config.contains("agents:\n"), "{config}");
    assert!(config.contains("image: vm0/claude\n"), "{config}");
    let versions = json(&mount.cat("agents/writer/versions.json"));
    assert_eq!(versions[0]["version_number"], 2);
    assert_eq!(versions[1]["version_number"], 1);
    assert_eq!(
        json(&mount.cat("agents/bare/versions.json")),
        Value::Array(vec![])
    );
    let versions = json(&mount.cat("artifacts/report/.versions.json"));
    let ids: Vec<&str> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&third, &second, &first]);
    assert_eq!(versions[2]["message"], "First draft");
    assert_eq!(versions[1]["file_count"], 3);
    let read = mount.cat(&format!("artifacts/report/{second}/report.md"));
    assert_eq!(read, "# Two\n");
}

#[test]
fn an_agent_whose_configuration_is_withheld_has_no_file_of_it() {
    let Example { mut world, .. } = Example::new();
    world.quirks.hide_agent_config = true;
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let names = mount.list("agents/writer");
    assert!(!names.contains(&"config.yaml".into()), "{names:?}");
    assert!(names.contains(&"versions.json".into()), "{names:?}");
    mount.fails("stat agents/writer/config.yaml", reason::MISSING);
}

#[test]
fn links_lead_where_they_say() {
    for who in Who::all() {
        let Example {
            world,
            complete,
            report: [_, second, third],
            data,
            ..
        } = Example::new();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let link = |path: &str| mount.run(&format!("readlink {path}")).trim_end().to_owned();
        let run = format!("runs/{complete}");
        assert_eq!(
            link(&format!("{run}/agent")),
            "../../agents/writer/agent.json"
        );
        assert_eq!(
            link(&format!("{run}/artifact")),
            format!("../../artifacts/report/{second}")
        );
        assert_eq!(
            link(&format!("{run}/volumes/data")),
            format!("../../../volumes/data/{data}")
        );
        assert_eq!(
            link(&format!("agents/writer/runs/{complete}")),
            format!("../../../runs/{complete}")
        );
        assert_eq!(
            link(&format!("runs/.by-status/completed/{complete}")),
            format!("../../{complete}")
        );
        assert_eq!(link("artifacts/report/latest"), third);
        assert_eq!(mount.cat("volumes/data/latest/in.csv"), "a,b\n1,2\n");
        assert_eq!(
            mount.cat(&format!("{run}/volumes/data/in.csv")),
            "a,b\n1,2\n"
        );
        assert_eq!(mount.cat(&format!("{run}/artifact/report.md")), "# Two\n");
        let dangling = mount.run("find . -type l ! -exec test -e {} \\; -print");
        assert_eq!(dangling, "", "a link of a consistent world leads nowhere");
        let links = mount.run("find . -type l | wc -l");
        // Three runs below agents and states, agents of runs, two latest, …
        assert!(links.trim().parse::<u32>().unwrap() >= 14, "{links}");
    }
}

#[test]
fn dot_vm0fs_shows_the_mount_itself() {
    let bench = Bench::new(Example::new().world);
    let mount = bench.mount().with(["--list-ttl", "45s"]).start();
    let help = mount.cat(".vm0fs/help.txt");
    assert!(help.contains("agents/<name>/"), "{help}");
    assert_eq!(mount.cat(".vm0fs/errors"), "");
    let status = json(&mount.cat(".vm0fs/status.json"));
    assert_eq!(status["vm0fs"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], mount.pid());
    assert_eq!(status["api"]["origin"], bench.server.api_url());
    assert_eq!(status["api"]["calls"], 1);
    assert_eq!(status["listings"]["ttl_seconds"], 45.0);
    assert!(!status.to_string().contains(bench.server.token()));
    bench.server.clear_requests();
    mount.run("cat .vm0fs/*; ls -lR .vm0fs; df .");
    bench.expect_calls(0, "the mount tells of itself from memory");
}

#[test]
fn an_empty_account_has_empty_folders() {
    let bench = Bench::new(World::empty());
    let mount = bench.mount().start();
    for folder in ["agents", "volumes", "artifacts"] {
        assert!(mount.list(folder).is_empty(), "{folder}");
    }
    assert_eq!(
        mount.list("runs"),
        [".by-status", ".runs.csv", ".runs.jsonl"]
    );
    assert_eq!(mount.cat("runs/.runs.jsonl"), "");
    assert_eq!(mount.run("wc -l < runs/.runs.csv").trim(), "1");
    mount.run("ls -lR . > /dev/null");
}

#[test]
fn a_storage_without_versions_is_a_folder_without_latest() {
    let mut world = World::empty();
    world.add_storage(Kind::Volume, "new");
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert_eq!(mount.list("volumes/new"), [".versions.json"]);
    mount.fails("ls volumes/new/latest", reason::MISSING);
    assert_eq!(mount.cat("volumes/new/.versions.json"), "[]\n");
}

#[test]
fn listings_longer_than_a_page_are_complete() {
    let mut world = World::empty();
    for n in 0..130 {
        let at = world.ago(1_000 + n);
        world.add_agent(Agent::new(format!("agent-{n:03}"), at));
        world.add_run(Run::new(format!("agent-{n:03}"), at));
    }
    // Documented paging loses nothing; the running service's can, see `access`.
    world.quirks.cursor_by_id = false;
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert_eq!(mount.run("ls agents | sort -u | wc -l").trim(), "130");
    assert_eq!(mount.run("ls runs | sort -u | wc -l").trim(), "130");
}

#[test]
fn unknown_states_of_runs_are_shown() {
    let mut world = World::empty();
    let [queued, odd] = ["queued", "a/b"].map(|word| {
        let run = Run::new("writer", world.ago(10)).status(word);
        world.add_run(run)
    });
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert_eq!(mount.cat(&format!("runs/{queued}/status")), "queued\n");
    assert_eq!(mount.cat(&format!("runs/{odd}/status")), "a/b\n");
    let words = mount.list("runs/.by-status");
    assert!(
        words.contains(&"queued".into()) && words.contains(&"a%2Fb".into()),
        "{words:?}"
    );
    assert_eq!(mount.list("runs/.by-status/queued"), [queued.as_str()]);
    assert_eq!(mount.list("runs/.by-status/a%2Fb"), [odd.as_str()]);
    mount.run(&format!("cat runs/.by-status/a%2Fb/{odd}/prompt"));
    mount.fails("ls runs/.by-status/none", reason::MISSING);
}

#[test]
fn a_run_has_no_link_to_a_version_that_was_not_stored() {
    let mut world = World::empty();
    let id = world.add_storage(Kind::Artifact, "a");
    world.add_version(&id, vm0fs::demo::VersionSpec::files(Vec::new()));
    let at = world.ago(100);
    let mut run = Run::new("gone", at).status("running");
    run.artifact_name = Some("a".into());
    let unstored = world.add_run(run);
    let lost = world.add_run(Run::new("gone", at).artifact("a", "f".repeat(64)));
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    assert!(
        !mount
            .list(&format!("runs/{unstored}"))
            .contains(&"artifact".into())
    );
    mount.fails(
        &format!("readlink -v runs/{unstored}/artifact"),
        reason::MISSING,
    );
    // What has been deleted since is missing, not broken.
    mount.fails(&format!("ls runs/{lost}/artifact/"), reason::MISSING);
    mount.fails(&format!("cat runs/{lost}/agent"), reason::MISSING);
    assert_eq!(mount.cat(".vm0fs/errors"), "");
}

#[test]
fn the_guide_is_the_same_in_the_mount_and_by_the_command() {
    let bench = Bench::new(World::empty());
    for who in Who::all() {
        let mount = bench.mount_as(who).start();
        let topics: Vec<String> = vm0fs::guide::PAGES
            .iter()
            .map(|page| page.name.to_owned())
            .collect();
        let mut files: Vec<String> = topics.iter().map(|topic| format!("{topic}.md")).collect();
        files.sort();
        assert_eq!(mount.list(".vm0fs/help"), files);
        for topic in topics {
            let told = bench.command(who).args(["help", &topic]).output().unwrap();
            assert!(told.status.success());
            let shown = mount.cat(&format!(".vm0fs/help/{topic}.md"));
            assert_eq!(String::from_utf8_lossy(&told.stdout), shown, "{topic}");
        }
        mount.fails("cat .vm0fs/help/nothing.md", "No such file");
    }
}
