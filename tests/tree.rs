//! The readable tree: its names, its content, and what it refuses.

mod access;
mod attributes;
mod downloads;
mod links;
mod names;
mod numbers;
mod refused;
mod shape;
mod symlinks;
mod tables;

use vm0fs::demo::{Agent, Claude, File, Kind, LogRow, Run, Sample, VersionSpec, World};

/// A whole and consistent world: two agents, three runs, a volume, and two
/// artifacts of which one has three versions.
struct Example {
    world: World,
    /// A completed run with everything.
    complete: String,
    /// A failed run with nothing but its error.
    failed: String,
    /// A run that is going on.
    running: String,
    /// The versions of `report`, oldest first; the last has no files.
    report: [String; 3],
    /// The version of the volume `data`.
    data: String,
}

impl Example {
    fn new() -> Self {
        let mut world = World::empty();
        let (old, new) = (world.ago(5_000), world.ago(4_000));
        let config =
            serde_json::json!({"version": "1.0", "agents": {"writer": {"image": "vm0/claude"}}});
        world.add_agent(
            Agent::new("writer", old)
                .version(old, Some(config.clone()))
                .version(new, Some(config)),
        );
        world.add_agent(Agent::new("bare", world.ago(6_000)));
        let volume = world.add_storage(Kind::Volume, "data");
        let data = world.add_version(
            &volume,
            VersionSpec::files(vec![File::new("in.csv", "a,b\n1,2\n")]).created_at(old),
        );
        let artifact = world.add_storage(Kind::Artifact, "report");
        let first = vec![File::new("report.md", "# One\n")];
        let second = vec![
            File::new("report.md", "# Two\n").modified(1_700_000_000),
            File::new("bin/build.sh", "#!/bin/sh\necho built\n").executable(),
            File::new("data/empty", ""),
        ];
        let report = [
            VersionSpec::files(first)
                .message("First draft")
                .created_by("agent:writer")
                .created_at(old),
            VersionSpec::files(second)
                .message("Second draft")
                .created_at(new),
            VersionSpec::files(Vec::new()).created_at(world.ago(3_000)),
        ]
        .map(|spec| world.add_version(&artifact, spec));
        let other = world.add_storage(Kind::Artifact, "other");
        let spec = VersionSpec::files(vec![File::new("x", "x")]).created_at(world.ago(9_000));
        world.add_version(&other, spec);

        let begun = world.ago(3_000);
        let mut run = Run::new("writer", begun)
            .prompt("Write the report")
            .artifact("report", &report[1])
            .volume("data", &data);
        run.event(begun, Claude::said("hello"));
        run.log(LogRow::system(
            begun,
            "sandbox started\nmounted \u{1b}[31mall\n",
        ));
        let url = "https://example.com/";
        run.log(LogRow::network(world.ago(2_990), "GET", url, 404, 31));
        run.event(world.ago(2_980), Claude::said("two\nlines \u{1b}[31m"));
        run.metrics.push(Sample {
            at: world.ago(2_990),
            cpu_percent: 12.5,
            memory_used_mb: 100,
            memory_total_mb: 2_048,
            disk_used_mb: 10,
            disk_total_mb: 100,
        });
        let complete = world.add_run(run);
        let failed = world.add_run(Run::new("writer", world.ago(2_000)).status("failed"));
        let running = world.add_run(Run::new("bare", world.ago(1_000)).status("running"));
        Self {
            world,
            complete,
            failed,
            running,
            report,
            data,
        }
    }
}
