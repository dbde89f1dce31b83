//! Waits: a request that hangs delays no other, and every wait ends.
//!
//! Nothing here is timed but against [`SOON`], which only a hang exceeds.

pub(crate) mod deadlines;
mod quick;

use crate::support::fake::{Agent, File, Kind, Port, Run, VersionSpec, World};
use crate::support::{Bench, Running, SOON};

/// Artifacts `slow` and `quick` of one version each, an agent and a run, whose
/// id it gives.
pub(crate) fn world() -> (World, String) {
    let mut world = World::empty();
    for name in ["slow", "quick"] {
        let id = world.add_storage(Kind::Artifact, name);
        let files = vec![
            // First, so that `f` is not there before nearly all has come.
            File::new("a-noise", crate::support::noise(200_000)),
            File::new("f", format!("content of {name}\n")),
        ];
        world.add_version(&id, VersionSpec::files(files));
    }
    // Ended long enough ago for its logs to be final.
    world.add_agent(Agent::new("writer", world.ago(100)));
    let run = world.add_run(Run::new("writer", world.ago(9_000)));
    (world, run)
}

/// The id of `slow`'s version, to put faults on.
fn slow_version(bench: &Bench) -> String {
    let world = bench.server.world();
    let storage = world.storage(Kind::Artifact, "slow").unwrap();
    storage.current().unwrap().id.clone()
}

/// Waits until a request has reached the object store.
#[track_caller]
pub(crate) fn wait_for_download(bench: &Bench) {
    let came = bench.server.wait_for(SOON, |requests| {
        requests.iter().any(|request| request.port == Port::Store)
    });
    assert!(came, "no download has begun");
}

/// What a command that failed has said.
#[track_caller]
pub(crate) fn complaint(running: Running) -> String {
    let output = running.output();
    assert!(!output.status.success(), "it did not fail: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}
